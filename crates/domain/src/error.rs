//! What a use case answers when it does not do what was asked.

use saga::{RunId, StoreError};
use uuid::Uuid;

use crate::model::Freeze;
use crate::permissions::PermissionsError;

/// One thing wrong with a request, where it stands and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// JSON pointer into the body (`/name`), or `?name` for a query parameter, or a header's name.
    pub pointer: String,
    pub detail: String,
}

impl Invalid {
    #[must_use]
    pub fn new(pointer: &str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.to_owned(), detail: detail.into() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the request is not valid")]
    Invalid(Vec<Invalid>),
    /// It does not exist, or the caller may not know that it does.
    #[error("there is no such {what}, or you may not see it")]
    NotFound { what: &'static str },
    #[error("this needs `{permission}` on the {what}")]
    Forbidden { what: &'static str, permission: &'static str },
    #[error("the slug `{slug}` is taken by another workspace of this account")]
    SlugTaken { slug: String },
    #[error("the account holds {max} workspaces, which is its quota")]
    QuotaExceeded { max: i64 },
    #[error("the account is {status}, not active")]
    AccountNotActive { status: &'static str },
    /// One mutating run per workspace at a time.
    #[error("run {run} is still at work on this workspace")]
    RunInProgress { run: RunId },
    /// Freezes shut the workspace; 423.
    #[error("the workspace is frozen")]
    Frozen { freezes: Vec<Freeze> },
    /// What the workspace is rules it out.
    #[error("a workspace that is {status} allows no `{transition}`")]
    InvalidTransition { status: &'static str, transition: &'static str, allowed: Vec<String> },
    /// The row is at another revision than those that the caller takes; 412.
    #[error("the workspace has changed; it is at revision {revision} now")]
    PreconditionFailed { revision: i64 },
    /// The caller has to say which revision he has seen; 428.
    #[error("a deletion says which revision of the workspace it is about")]
    PreconditionRequired,
    #[error("the workspace is protected against deletion")]
    TerminationProtected,
    /// Several live workspaces have the name; those that the caller may read.
    #[error("several workspaces of the account have this name")]
    NameAmbiguous { workspaces: Vec<Uuid> },
    /// Whose the name was has another one now, or is deleted; it comes first, if the caller may read it.
    #[error("the name belonged to a workspace that has another one now, or is deleted")]
    NameRetired { workspaces: Vec<Uuid> },
    #[error("you have {max} long-lived tokens, which is as many as one may have at once")]
    TokensExhausted { max: usize },
    #[error("the account has no default region")]
    DefaultRegionMissing,
    #[error("the workspace is {status}, not active")]
    WorkspaceNotActive { status: &'static str },
    #[error("a service account of this account has the name already")]
    ServiceAccountExists,
    #[error("the service account is disabled")]
    ServiceAccountDisabled,
    #[error("the service account has {max} secrets, which is as many as it may have at once")]
    SecretsExhausted { max: usize },
    #[error("another user has this identity")]
    IdentityTaken,
    /// Whoever is let in could not be changed by anybody any more.
    #[error("no operator who is let in would be left")]
    LastOperator,
    #[error("this principal is a member already")]
    MemberExists,
    #[error("the {scope} would be left without an owner")]
    LastOwner { scope: &'static str },
    /// A role of the caller's was reduced here, and the permission system does not know yet; 503.
    #[error("a change of your role here is not in force yet")]
    RemovalPending,
    /// The run's journal rules the verb out.
    #[error("{detail}")]
    VerbConflict { detail: String },
    /// As many exports as may run at once are running.
    #[error("as many exports as may run at once are running")]
    ExportBusy,
    #[error("the Idempotency-Key was used for another request")]
    KeyReused,
    #[error("a request with this Idempotency-Key is still being served")]
    KeyBusy,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Permissions(#[from] PermissionsError),
}

impl Error {
    /// Something was away, or did not say what became of a write: the same may be done another time.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Unavailable(_) | StoreError::Unknown(_))
                | Self::Permissions(PermissionsError::Unavailable(_) | PermissionsError::Unknown(_))
        )
    }

    pub fn invalid(pointer: &str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Invalid::new(pointer, detail)])
    }
}
