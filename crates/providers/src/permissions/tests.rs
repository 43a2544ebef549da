//! The two permission systems held against each other, and each against what the port promises.

mod differential;
mod generated;
pub mod memory;
pub mod notation;
mod planted;
mod promises;
mod recorded;
mod schema_in_spicedb;
mod script;
mod servers;
mod steps;

use std::sync::Arc;

use domain::permissions::{Cause, Permissions};
use uuid::Uuid;

use crate::permissions::Embedded;
use crate::permissions::spicedb::{Key, Settings, SpiceDb};
use memory::Memory;

pub const CAUSE: Cause = Cause::Hand("test");

/// Which permission system a test is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    Embedded,
    SpiceDb,
}

impl System {
    /// An empty one, with the schema.
    pub async fn open(self) -> Arc<dyn Permissions> {
        match self {
            Self::Embedded => Arc::new(Embedded::new(Arc::new(Memory::default()))),
            Self::SpiceDb => Arc::new(spicedb().await),
        }
    }
}

/// Generous where a busy machine might be slow.
pub fn settings(endpoint: &str, key: Key) -> Settings {
    let minute = std::time::Duration::from_mins(1);
    Settings { read: (minute, minute), write: (minute, minute), ..Settings::new(endpoint, key, Arc::new(|| 0.5)) }
}

/// A store that no other test has, without a schema.
pub async fn blank_spicedb() -> SpiceDb {
    SpiceDb::new(settings(testkit::spicedb::shared(), Key::Given(Uuid::new_v4().to_string()))).await.unwrap()
}

pub async fn spicedb() -> SpiceDb {
    let spicedb = blank_spicedb().await;
    spicedb.write_schema().await.unwrap();
    spicedb
}
