//! The freezes of a workspace: changed as a set, under the workspace's lock.

use std::time::Duration;

use async_trait::async_trait;
use saga::{RunId, StoreError, Time};
use uuid::Uuid;

use super::{IfMatch, NewRun};
use crate::Principal;
use crate::audit::Draft;
use crate::model::{FreezeMode, FreezeSource, Workspace, WorkspaceStatus};

/// A freeze or an unfreeze, with the run that would carry it to the backends.
#[derive(Debug, Clone)]
pub struct ChangeFreezes {
    pub workspace_id: Uuid,
    pub change: FreezeChange,
    pub if_match: Option<IfMatch>,
    /// Who asks: of the freeze, and of the run that is parked by it.
    pub by: Principal,
    /// Of `apply-freezes`; inserted if none is alive.
    pub run: NewRun,
    /// The sets before and after it, and the run, are filled in.
    pub audit: Draft,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FreezeChange {
    /// Takes the place of the freeze of its source, if there is one.
    Freeze {
        source: FreezeSource,
        mode: FreezeMode,
        code: String,
        note: Option<String>,
        expires_at: Option<Time>,
    },
    Unfreeze {
        sources: Vec<FreezeSource>,
    },
}

/// Nothing was changed unless it is `Done`.
#[derive(Debug, Clone, PartialEq)]
pub enum FreezeAnswer {
    Done(Box<Shut>),
    /// The row is not one that the caller takes.
    OtherRevision {
        revision: i64,
    },
    /// What the workspace has become rules it out.
    NotAllowed {
        status: WorkspaceStatus,
    },
    /// The freeze would expire in the past, or too far in the future.
    ExpiresOutOfRange {
        now: Time,
    },
}

/// How far a workspace is shut, and how far that is carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Shut {
    pub workspace: Workspace,
    /// The latest run of `apply-freezes`; `None` if there has been no freeze yet.
    pub run: Option<RunId>,
    /// The rows of the workspace's backend workspaces: which revision of the set each was brought to.
    pub backends: Vec<(Uuid, i64)>,
    pub changed: bool,
}

/// Workspaces that hold freezes whose time is over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// Account and workspace.
    pub due: Vec<(Uuid, Uuid)>,
    /// How long until the next freeze expires that has not yet.
    pub next: Option<Duration>,
}

/// Workspaces whose freezes are not carried out and have no run at it, because theirs was given up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unapplied {
    pub due: Vec<Uuid>,
    /// How long until another one's run has rested.
    pub next: Option<Duration>,
}

#[async_trait]
pub trait Freezes: Send + Sync + 'static {
    /// The set, its revision, the parking of the workspace's run, the run that carries it on, the audit entry: one commit.
    /// Waits for every mutation that has passed the workspace's gate.
    async fn change(&self, new: ChangeFreezes) -> Result<FreezeAnswer, StoreError>;
    /// At most `limit` of them.
    async fn expired(&self, limit: u32) -> Result<Expired, StoreError>;
    /// Takes away what has expired, as [`Freezes::change`] would; false if there is nothing any more.
    async fn expire(&self, workspace: Uuid, audit: Draft) -> Result<bool, StoreError>;
    /// At most `limit` of them, whose run ended `rest` ago at least. A run whose step a person skipped has carried them out.
    async fn unapplied(&self, limit: u32, rest: Duration) -> Result<Unapplied, StoreError>;
    /// Run, audit entry: one commit; false if it is not one of [`Freezes::unapplied`] any more.
    async fn apply_again(&self, workspace: Uuid, rest: Duration) -> Result<bool, StoreError>;
}
