//! What the database means the permission system to hold: one side of the comparison that finds drift.

use async_trait::async_trait;
use saga::StoreError;
use uuid::Uuid;

use crate::Principal;
use crate::model::{Role, Scope, ScopeRef};

/// What an account or workspace is to have in the permission system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intended {
    /// A run is at work on it: what it has now says nothing.
    InFlight,
    /// Its own relationships.
    Granted,
    /// None: its creation failed.
    Nothing,
    /// None, and the seal of the run that made it: it was purged.
    Purged,
}

/// What the database means about one account or workspace, all of it read at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub on: ScopeRef,
    pub intended: Intended,
    /// The run that made it.
    pub made_by: Uuid,
    pub members: Vec<(Principal, Role)>,
    /// Whose role changed lately: the permission system may be on its way to it.
    pub unsettled: Vec<Principal>,
    /// Of which changes and runs the seals must stand.
    pub sealed: Vec<Uuid>,
    /// Of a workspace.
    pub environments: Vec<Uuid>,
}

/// Whose a service account is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    pub service_account: Uuid,
    /// Of the principal: no two have the same.
    pub name: String,
    /// `None`: it is of no account, and nothing is meant.
    pub account: Option<Uuid>,
    /// `InFlight` also while the permission system is still to be told whose it is.
    pub intended: Intended,
}

#[async_trait]
pub trait Intents: Send + Sync + 'static {
    /// At most `limit` accounts or workspaces, in an order that does not change, after that one.
    async fn after(&self, scope: Scope, after: Option<Uuid>, limit: u32) -> Result<Vec<Intent>, StoreError>;
    /// Of these; those that the database does not know are left out.
    async fn of(&self, scope: Scope, ids: &[Uuid]) -> Result<Vec<Intent>, StoreError>;
    /// At most `limit` service accounts that are of an account, by name, after that one.
    async fn homes_after(&self, after: Option<&str>, limit: u32) -> Result<Vec<Home>, StoreError>;
    /// Of these service accounts; those that the database does not know are left out.
    async fn homes_of(&self, ids: &[Uuid]) -> Result<Vec<Home>, StoreError>;
}
