//! Members of accounts.

pub mod add;
pub mod change;
pub mod list;
pub mod remove;
