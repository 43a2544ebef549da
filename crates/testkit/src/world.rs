//! A world to work in: platforms in memory that keep the promises of their ports, and permissions that are the embedded
//! evaluator over the store's tuples.
//!
//! Faults are not injected here but around the steps (`drill`): what is faked is a platform that works.

mod backends;
mod lagging;
mod permissions;

pub use backends::FakeBackends;
pub use lagging::{LAG, Lagging};
pub use permissions::RememberedWrites;
