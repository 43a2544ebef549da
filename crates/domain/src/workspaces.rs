//! Use cases about workspaces.

pub mod create;
pub mod delete;
pub mod edit;
pub mod named;
pub mod read;
pub mod status;
pub mod tokens;
