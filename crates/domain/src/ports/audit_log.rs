//! Where audit entries are kept.

use async_trait::async_trait;
use saga::{RunId, StoreError, Time};
use uuid::Uuid;

use crate::audit::{Draft, Entry};

/// Whose entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditOf {
    /// All of a chain; the nil uuid's is the platform's.
    Account(Uuid),
    /// Those of the workspace's account that are about it, whatever has become of it.
    Workspace(Uuid),
}

/// Which actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionFilter {
    Exactly(String),
    /// Those that begin so: `run.` for all about runs.
    Prefix(String),
}

/// What an entry has to be; all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub actor: Option<Uuid>,
    pub action: Option<ActionFilter>,
    pub outcome: Option<String>,
    pub target: Option<Uuid>,
    pub run: Option<RunId>,
    pub occurred_after: Option<Time>,
    pub occurred_before: Option<Time>,
}

/// A stretch of a chain, both ends left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditPage {
    pub above: Option<u64>,
    pub below: Option<u64>,
    pub oldest_first: bool,
    pub limit: u32,
}

#[async_trait]
pub trait AuditLog: Send + Sync + 'static {
    /// An entry of its own, where no mutation carries it.
    async fn append(&self, draft: Draft) -> Result<Entry, StoreError>;

    /// At most `limit` entries in the order of their `seq`; none of a workspace that never was.
    async fn list(&self, of: AuditOf, filter: &AuditFilter, page: AuditPage) -> Result<Vec<Entry>, StoreError>;

    /// A workspace's entries, newest first, with `seq` below `before` if given.
    async fn of_workspace(&self, workspace: Uuid, before: Option<u64>, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let page = AuditPage { above: None, below: before, oldest_first: false, limit };
        self.list(AuditOf::Workspace(workspace), &AuditFilter::default(), page).await
    }

    /// An account's entries in the order of the chain, with `seq` above `after`.
    async fn of_account(&self, account: Uuid, after: u64, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let page = AuditPage { above: Some(after), below: None, oldest_first: true, limit };
        self.list(AuditOf::Account(account), &AuditFilter::default(), page).await
    }
}
