//! Permission systems: the embedded evaluator, SpiceDB, and the schema that both have.

mod embedded;
mod schema;
pub mod spicedb;
#[cfg(test)]
mod tests;

pub use embedded::Embedded;
