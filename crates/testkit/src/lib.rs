//! What tests share: databases of both kinds, and the contract that answers are held against.

pub mod contract;
pub mod database;
mod postgres;
pub mod whole;

pub use database::{Backend, TestDb};
