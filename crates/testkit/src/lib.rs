//! What tests share: databases of both kinds.

pub mod database;
mod postgres;

pub use database::{Backend, TestDb};
