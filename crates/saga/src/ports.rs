//! What the engine needs of a store. One method is one transaction; batches answer per member.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::journal::{Ending, Record, Turn, Verb};
use crate::{DefinitionId, RunId, Time, WorkerId};

/// A store's failure, sorted by what the caller may conclude.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Nothing was changed; worth another try later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The commit may have happened: re-read before trying again.
    #[error("the outcome of the commit is not known: {0}")]
    Unknown(String),
    /// Nothing was changed, and the same request would fail again.
    #[error("the database refused the statement: {0}")]
    Broken(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    Rollback,
    Hold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Pending,
    Running,
    Waiting,
    Compensating,
    Stuck,
    Succeeded,
    Failed,
    Cancelled,
    Abandoned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingFor {
    Retry,
    Backend,
    Unfreeze,
    Operator,
}

/// What never changes about a run.
#[derive(Debug, Clone)]
pub struct Facts {
    pub run: RunId,
    pub definition: DefinitionId,
    pub input: Value,
    pub on_failure: OnFailure,
    pub created_at: Time,
    /// What the run as a whole belongs to; a [`Pause`] of one of these stops it at its next step.
    pub scopes: Vec<String>,
    /// W3C trace context and request id of the request that made the run; for logs and spans only.
    pub trace: BTreeMap<String, String>,
}

/// What a run's row shows, derived from its journal by the owner.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    pub state: State,
    pub waiting_for: Option<WaitingFor>,
    pub ending: Option<Ending>,
    /// Why the run turned, if it did.
    pub turn: Option<Turn>,
    pub done: u32,
    pub total: u32,
    pub deadline_at: Option<Time>,
    /// Scopes of the pauses that hold the run, or steps of it, back.
    pub paused_by: Vec<String>,
}

/// An operator's order that nothing new starts in a scope. What a scope is, only the store and the steps know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    pub scope: String,
    /// Undos do not start either.
    pub undo: bool,
}

/// A request that waits to be journaled by the run's owner.
#[derive(Debug, Clone)]
pub struct Request {
    pub id: Uuid,
    pub verb: Verb,
    pub step: Option<String>,
    /// Opaque to the engine; who asked.
    pub actor: Value,
    pub comment: Option<String>,
}

#[derive(Debug, Clone)]
pub struct ClaimedRun {
    pub facts: Facts,
    /// Raised by this claim; every write of this owner carries it.
    pub epoch: i64,
    pub journal: Vec<Record>,
    pub requests: Vec<Request>,
}

#[derive(Debug, Clone)]
pub struct Claim {
    pub worker: WorkerId,
    pub limit: u32,
    /// A worker claims only what it knows.
    pub definitions: Vec<DefinitionId>,
    /// Runs of these scopes are left to others: this worker has its fill of them.
    pub without: Vec<String>,
    pub sought: Sought,
}

/// What a claim looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// Runs that nobody has claimed yet, lowest turn first: what a hint tells of.
    New,
    /// First what is due, orphaned or asked something, oldest first; then what is new.
    All,
}

#[derive(Debug, Clone)]
pub struct Claimed {
    pub now: Time,
    pub runs: Vec<ClaimedRun>,
    /// When the next run falls due that is not due yet, if one is known; not looked for by [`Sought::New`].
    pub next_due: Option<Time>,
}

#[derive(Debug, Clone)]
pub enum Renewal {
    Alive {
        now: Time,
        /// Runs of this worker with requests that are not journaled yet.
        requested: Vec<RunId>,
        /// All there are, sorted by scope.
        pauses: Vec<Pause>,
        /// When the first of the other workers is dead, unless it renews its lease before.
        others_until: Option<Time>,
        /// None of the living workers has been registered for longer.
        is_first: bool,
    },
    /// The lease had ended and somebody noticed: drop all runs, register anew.
    Dead,
}

/// What becomes of the ownership of a run with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    Keep,
    /// Nobody owns it until it is due; `None`: not before a request comes.
    Release {
        due_at: Option<Time>,
    },
    /// The run has ended.
    End,
}

/// One run's transition: applied whole, or not at all.
#[derive(Debug, Clone)]
pub struct Commit<C> {
    pub run: RunId,
    pub epoch: i64,
    /// New records, and from the 20th attempt of a step on, records that replace an older one of the same sequence.
    pub records: Arc<Vec<Record>>,
    pub changes: Vec<C>,
    /// Requests that `records` journal.
    pub requests: Vec<Uuid>,
    pub head: Head,
    pub disposition: Disposition,
    /// It was sent before, and what became of it is not known: if its records stand in the journal, it was applied, and is
    /// not applied again.
    pub resent: bool,
}

#[derive(Debug, Clone)]
pub enum CommitAnswer {
    Committed {
        now: Time,
        /// Requests wait to be journaled. A released run with requests is due now.
        requested: bool,
    },
    /// Somebody else owns the run; nothing was changed.
    Fenced,
    /// This member's change cannot be applied (a constraint, a size); nothing of it was changed.
    Rejected(String),
    /// What this member's change was made from has moved on meanwhile; nothing of it was changed. The step is to run again.
    Stale(String),
    /// Requests wait to be journaled, and this member, which does not journal them all, starts a forward attempt: one of them
    /// may forbid it. Nothing of it was changed; the owner reads them and plans again.
    Requested,
    /// Nothing was changed; or, with `Unknown`, it may have been.
    Failed(StoreError),
}

/// The engine's store. `C` is what a step may ask to have changed together with its outcome.
#[async_trait]
pub trait Runs<C>: Send + Sync + 'static {
    /// Registers a worker under a fresh id, and what it can execute.
    async fn register(&self, worker: WorkerId, lease: Duration, known: &[DefinitionId]) -> Result<Time, StoreError>;

    /// Extends the lease, and tells which of the worker's runs have requests, and what is paused.
    async fn renew(&self, worker: WorkerId, lease: Duration) -> Result<Renewal, StoreError>;

    /// Marks workers dead whose lease has ended; their runs can be claimed from the next commit on. Returns how many.
    async fn bury(&self) -> Result<u64, StoreError>;

    /// Ends a registration: its runs are free at once.
    async fn retire(&self, worker: WorkerId) -> Result<(), StoreError>;

    /// Takes runs that nobody alive owns, and raises their epochs. With [`StoreError::Unknown`] some may have been taken.
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError>;

    /// Makes runs due that nobody owns and that wait for pauses which are over, spread evenly `over` the time from now;
    /// answers how many. Idempotent: what is due by then already stays as it is.
    async fn resume(&self, over: Duration) -> Result<u64, StoreError>;

    /// Requests of one run that are not journaled yet, oldest first.
    async fn requests(&self, run: RunId) -> Result<Vec<Request>, StoreError>;

    /// Applies transitions; the answers are in the order of the batch.
    async fn commit(&self, batch: Vec<Commit<C>>) -> Vec<CommitAnswer>;

    /// The journal as it stands, to learn what became of an unknown commit; `None` if `epoch` is no longer the run's.
    async fn journal(&self, run: RunId, epoch: i64) -> Result<Option<Vec<Record>>, StoreError>;

    /// Live runs whose definition is not among `known`, by definition.
    async fn unknown(&self, known: &[DefinitionId]) -> Result<Vec<(DefinitionId, u64)>, StoreError>;

    /// Live runs whose definition no live worker knows, by definition. A worker of a version that does not say what it knows is
    /// taken to know `known`.
    async fn unclaimable(&self, known: &[DefinitionId]) -> Result<Vec<(DefinitionId, u64)>, StoreError>;
}
