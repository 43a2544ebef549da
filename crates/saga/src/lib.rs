//! The saga engine: definitions, the journal and its two pure functions, and the worker that executes runs.
//!
//! It knows no workspace and no database. What a step does is behind [`Step`], what is stored is behind [`Runs`],
//! and a change that a step asks the store for is the type parameter `C`.

pub mod definition;
pub mod journal;
pub mod machine;
pub mod ports;
pub mod registry;
pub mod step;
mod time;
pub mod worker;

pub use definition::{Definition, DefinitionId};
pub use journal::{Event, Fault, Record, Verb};
pub use machine::{Decision, RunState};
pub use ports::{Runs, StoreError};
pub use registry::{Registry, Saga};
pub use step::{Attempt, Outcome, Step, UndoOutcome};
pub use time::Time;
/// What an attempt's `cancelled` is, for ports that are told when to give up.
pub use tokio_util::sync::CancellationToken;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names one provisioning run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

/// Names one registration of a worker; a worker that finds itself dead registers under a fresh one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub Uuid);

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for WorkerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
