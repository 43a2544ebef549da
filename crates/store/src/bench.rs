//! What `berth bench` asks of a database beside what requests ask: rows in bulk, in databases of its own.

pub(crate) mod audit;
pub(crate) mod finished;
pub(crate) mod owned;
pub(crate) mod submit;

use crate::Store;

pub use audit::Filling;

/// Bulk statements over a store; never used on a database with data of anybody's.
#[derive(Clone)]
pub struct Bench {
    store: Store,
}

impl Store {
    /// For a database that was made for a measurement.
    #[must_use]
    pub fn bench(&self) -> Bench {
        Bench { store: self.clone() }
    }
}
