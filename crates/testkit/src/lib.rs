//! What tests share: databases of both kinds, the contract that answers are held against, a world in memory, and the drills
//! that every saga goes through.

pub mod bulk;
pub mod cluster;
pub mod contract;
pub mod database;
pub mod drill;
pub mod oidc;
pub mod output;
mod postgres;
pub mod sagas;
pub mod spicedb;
mod timer;
pub mod whole;
pub mod world;

pub use cluster::Cluster;
pub use database::{Backend, TestDb};
pub use timer::RealTimer;
