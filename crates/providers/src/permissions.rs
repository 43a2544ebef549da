//! Permission systems: the embedded evaluator, SpiceDB, and the schema that both have.

mod embedded;
mod schema;
pub mod spicedb;

pub use embedded::Embedded;
