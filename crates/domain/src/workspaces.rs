//! Use cases about workspaces.

pub mod create;
pub mod read;
pub mod status;
