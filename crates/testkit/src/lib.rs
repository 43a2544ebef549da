//! What tests share: databases of both kinds.

pub mod database;
mod postgres;
pub mod whole;

pub use database::{Backend, TestDb};
