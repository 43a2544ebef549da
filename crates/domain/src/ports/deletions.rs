//! The end of a workspace: deleted, restored, and at last purged; each decided under the workspace's lock.

use std::time::Duration;

use async_trait::async_trait;
use saga::{RunId, StoreError};
use uuid::Uuid;

use super::{Answer, IdempotencyKey, IfMatch, NewRun, Written};
use crate::Principal;
use crate::audit::Draft;
use crate::model::{Freeze, Workspace, WorkspaceStatus};

#[derive(Debug, Clone)]
pub struct DeleteWorkspace {
    pub workspace_id: Uuid,
    pub if_match: IfMatch,
    /// How long it can be restored.
    pub purge_after: Duration,
    pub by: Principal,
    /// Of `apply-freezes`; inserted if none is alive.
    pub run: NewRun,
    /// What was before and what is afterwards, and the run, are filled in.
    pub audit: Draft,
}

/// Nothing was changed unless it is `Deleted`.
#[derive(Debug, Clone, PartialEq)]
pub enum DeleteAnswer {
    Deleted(Box<Ended>),
    /// It was deleted before.
    Already(Box<Ended>),
    /// It is purged, or was never there.
    Gone,
    /// The row is not one that the caller takes.
    OtherRevision {
        revision: i64,
    },
    /// One mutating run per workspace at a time.
    RunInProgress {
        run: RunId,
    },
    /// What the workspace is rules it out.
    NotAllowed {
        status: WorkspaceStatus,
    },
    /// Freezes that a deletion must not get round.
    Held(Vec<Freeze>),
    Protected,
}

/// A workspace as a deletion or a restore left it, with the run that carries that to its logins and tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub workspace: Workspace,
    pub apply: Option<RunId>,
}

/// An `Idempotency-Key`, and how what is done under it will be answered: known only once it is done.
#[derive(Debug, Clone)]
pub struct Keyed<T> {
    pub key: IdempotencyKey,
    pub answer: fn(&T) -> Answer,
}

#[derive(Debug, Clone)]
pub struct RestoreWorkspace {
    pub workspace_id: Uuid,
    /// In the place of the one that it had.
    pub slug: Option<String>,
    pub by: Principal,
    /// As in [`DeleteWorkspace`].
    pub run: NewRun,
    /// As in [`DeleteWorkspace`].
    pub audit: Draft,
    pub idempotency: Option<Keyed<Ended>>,
}

/// Nothing was changed unless it is `Restored`.
#[derive(Debug, Clone, PartialEq)]
pub enum RestoreAnswer {
    Restored(Box<Ended>),
    Gone,
    NotAllowed { status: WorkspaceStatus },
    SlugTaken { slug: String },
}

/// Deleted workspaces whose time is over and which nothing holds, and those whose purge has ended before they were gone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToPurge {
    pub due: Vec<Workspace>,
    /// How long until another one's time is over.
    pub next: Option<Duration>,
}

#[derive(Debug, Clone)]
pub struct StartPurge {
    pub workspace_id: Uuid,
    /// The row that the run was prepared for: another one is left alone.
    pub revision: i64,
    /// How long the run rests that was to purge it before.
    pub rest: Duration,
    pub run: NewRun,
    pub audit: Draft,
}

#[async_trait]
pub trait Deletions: Send + Sync + 'static {
    /// Row, freeze, the run that carries it on, audit entry: one commit. Quota and aliases stay, the slug is free.
    async fn delete(&self, new: DeleteWorkspace) -> Result<DeleteAnswer, StoreError>;
    /// Idempotency record, row, freeze, the run that carries it on, audit entry: one commit.
    async fn restore(&self, new: RestoreWorkspace) -> Result<Written<RestoreAnswer>, StoreError>;
    /// At most `limit` of each kind: the longest due first, then those whose purge ended `rest` ago at least.
    async fn to_purge(&self, limit: u32, rest: Duration) -> Result<ToPurge, StoreError>;
    /// Row, run, audit entry: one commit; false if it is to be purged no more, or not yet.
    async fn purge(&self, new: StartPurge) -> Result<bool, StoreError>;
}
