//! What a saga step may ask the store to change, in the transaction that records the step's outcome.

use saga::RunId;
use saga::journal::Ending;
use uuid::Uuid;

use crate::model::EnvironmentName;
use crate::ports::NewWorkspace;

#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    InsertEnvironments {
        workspace_id: Uuid,
        environments: Vec<NewEnvironment>,
    },
    /// With the rows of backend workspaces in them whose undo a person skipped.
    DeleteEnvironments {
        workspace_id: Uuid,
    },
    InsertBackendWorkspace {
        id: Uuid,
        workspace_id: Uuid,
        environment_id: Uuid,
        backend: String,
        locator: String,
    },
    DeleteBackendWorkspace {
        id: Uuid,
    },
    /// Keeps the permission system's token beside the row that it is about.
    KeepPermissionsToken {
        subject: Subject,
        token: String,
    },
    /// The pivot of creation: the workspace and its environments become `active`.
    ActivateWorkspace {
        workspace_id: Uuid,
    },
    /// The pivot of an account's creation: it becomes `active`, and its first workspace is accepted with that, if it is to have one.
    ActivateAccount {
        account_id: Uuid,
        workspace: Option<Box<NewWorkspace>>,
    },
    /// Every login of the workspace, and its tokens, are as its freezes of this revision have them. Stale if the revision has
    /// moved on.
    FreezesApplied {
        workspace_id: Uuid,
        revision: i64,
        open: bool,
        /// Whether they have rows or not.
        backend_workspaces: Vec<Uuid>,
    },
    /// All that the workspace had is dropped: its rows go, its own is left blank, its quota is free.
    PurgeWorkspace {
        workspace_id: Uuid,
    },
    /// The run has ended: its closing audit entry, with the journal's digest; and where it did not succeed, `failed` for
    /// what it was to make, its slug freed, its quota freed unless it was abandoned.
    RunEnded {
        run: RunId,
        subject: Subject,
        ending: Ending,
    },
}

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Account(Uuid),
    Workspace(Uuid),
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewEnvironment {
    pub id: Uuid,
    pub name: EnvironmentName,
    pub is_default: bool,
}
