//! What a freeze reaches outside our database: the backend workspaces' own logins, and tokens.
//!
//! Every effect is fenced by the revision of the workspace's freezes that it was made from, so that of two that meet the
//! newer one stands, whichever arrives last.

use async_trait::async_trait;
use saga::{Fault, StoreError};
use uuid::Uuid;

use super::{BackendSpec, CallError};

/// What a backend made of an order to open or shut a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginAnswer {
    /// The login is as it was ordered, and bears the order's revision.
    Set,
    /// It bears a newer order, and stays as it is.
    NewerStands,
    /// There is nothing to log in to: never made, or dropped.
    Absent,
}

/// How the logins of a workspace are to be as of one revision of its freezes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeSet {
    pub revision: i64,
    /// No freeze is in force. One of either mode shuts logins: what a login may do is the platform's own affair, so that
    /// "read only" cannot be promised there.
    pub open: bool,
    /// All that the workspace's runs may have made, whether a row tells of it yet or not.
    pub backends: Vec<BackendSpec>,
}

/// The freezes of workspaces, for the step that carries them out. Only reads: what the step then does bears the revision
/// that it read, and is refused wherever a newer one stands.
#[async_trait]
pub trait FreezeSets: Send + Sync + 'static {
    /// As of now; `None` where there is nothing left to open or shut: no such workspace, or a purged one.
    async fn current(&self, workspace: Uuid) -> Result<Option<FreezeSet>, StoreError>;
}

/// The tokens that are issued for a workspace.
#[async_trait]
pub trait Tokens: Send + Sync + 'static {
    /// Makes the workspace's tokens useless, or useful again, as of a revision of its freezes. Idempotent; an order older than
    /// the one that stands changes nothing and is a success.
    async fn set_frozen(&self, workspace: Uuid, frozen: bool, revision: i64) -> Result<(), CallError>;
}

/// What a backend refuses a log-in to a shut workspace with: worth another try, for the freeze may be lifted.
#[must_use]
pub fn login_frozen() -> Fault {
    Fault::new("login_frozen", "A freeze has shut the backend workspace's login").retryable()
}
