//! Members of workspaces.

pub mod add;
pub mod change;
pub mod list;
pub mod remove;
