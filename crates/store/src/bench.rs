//! What `berth bench` asks of a database beside what requests ask: rows in bulk, in databases of its own.

pub(crate) mod audit;
pub(crate) mod finished;
pub(crate) mod owned;
pub(crate) mod submit;

use domain::Principal;
use domain::ids::bucket;
use saga::DefinitionId;
use sqlx::error::BoxDynError;
use uuid::Uuid;

use crate::Store;
use crate::db::{Arguments, Bind};

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

/// Whose runs, of which saga, made by whom: seven values of a statement that inserts runs.
#[derive(Clone, Copy)]
struct Runs<'a> {
    account: Uuid,
    definition: &'a DefinitionId,
    creator: Principal,
}

impl Bind for Runs<'_> {
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
        bucket(self.account).add(to)?;
        self.account.add(to)?;
        self.definition.name.as_str().add(to)?;
        i64::from(self.definition.version).add(to)?;
        self.definition.digest.as_str().add(to)?;
        self.creator.kind.as_str().add(to)?;
        self.creator.id.add(to)
    }
}
