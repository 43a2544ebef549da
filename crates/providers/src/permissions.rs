//! Permission systems: the embedded evaluator, and the schema that it shares with SpiceDB.

mod embedded;
mod schema;

pub use embedded::Embedded;
