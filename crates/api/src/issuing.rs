//! The endpoints that give tokens, and that tell what one is.

pub mod application;
pub mod by_name;
pub mod keys;
pub mod own;
pub mod workspace;
