//! Tokens of one workspace: whether one may be issued, and whether those that were are good.

use async_trait::async_trait;
use saga::StoreError;
use uuid::Uuid;

use crate::audit::Draft;
use crate::model::{Freeze, WorkspaceStatus};

#[derive(Debug, Clone, PartialEq)]
pub enum MintAnswer {
    Minted,
    /// The workspace's gate is shut.
    Frozen(Vec<Freeze>),
    /// What it has become gets no tokens.
    NotAllowed {
        status: WorkspaceStatus,
    },
}

/// Whether the tokens of a workspace may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStanding {
    Good,
    /// Its freezes have been carried to them, and may be lifted.
    Frozen,
    /// It is deleted, has failed, or never was.
    Gone,
}

#[async_trait]
pub trait WorkspaceTokens: Send + Sync + 'static {
    /// Passes the workspace's gate and writes the audit entry: one commit.
    async fn minted(&self, workspace: Uuid, audit: Draft) -> Result<MintAnswer, StoreError>;
    /// Asked for every request with such a token.
    async fn standing(&self, workspace: Uuid) -> Result<TokenStanding, StoreError>;
}

/// What an account says about what is made for it.
#[async_trait]
pub trait AccountSettings: Send + Sync + 'static {
    /// Where a workspace goes that a token was asked for by name.
    async fn default_region(&self, account: Uuid) -> Result<Option<String>, StoreError>;
    /// Setting, audit entry: one commit.
    async fn set_default_region(&self, account: Uuid, region: Option<String>, audit: Draft) -> Result<(), StoreError>;
}
