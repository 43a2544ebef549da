//! Long-lived tokens.

use async_trait::async_trait;
use saga::{StoreError, Time};
use uuid::Uuid;

use super::{KeptReplay, Page, Written};
use crate::Principal;
use crate::audit::Draft;
use crate::secrets::Hash;

/// A long-lived token, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    pub id: Uuid,
    pub principal: Principal,
    /// For people.
    pub name: String,
    pub created_at: Time,
    pub expires_at: Time,
    /// To within some minutes.
    pub last_used_at: Option<Time>,
}

#[derive(Debug, Clone)]
pub struct NewApiToken {
    pub id: Uuid,
    pub principal: Principal,
    pub name: String,
    pub hash: Hash,
    /// `None`: after [`LIFETIME`].
    pub expires_at: Option<Time>,
    pub audit: Draft,
    pub replay: Option<KeptReplay<ApiToken>>,
}

/// How long one lives that does not say.
pub const LIFETIME: std::time::Duration = std::time::Duration::from_hours(90 * 24);
/// How long one lives at most.
pub const LIFETIME_MAX: std::time::Duration = std::time::Duration::from_hours(366 * 24);
/// The most that a principal has at once.
pub const API_TOKENS_MAX: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateApiToken {
    Created(ApiToken),
    /// Its holder has as many as it may.
    Enough,
    /// Would be over before it begins, or lives too long.
    ExpiresOutOfRange,
}

/// A token's row, for who presents it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredApiToken {
    pub token: ApiToken,
    pub hash: Hash,
    pub is_revoked: bool,
    pub now: Time,
}

#[async_trait]
pub trait ApiTokens: Send + Sync + 'static {
    /// Row, audit entry, idempotency record: one commit.
    async fn create(&self, new: NewApiToken) -> Result<Written<CreateApiToken>, StoreError>;
    /// Those of a principal that are not revoked, by id; the expired included.
    async fn list(&self, of: Principal, page: Page) -> Result<Vec<ApiToken>, StoreError>;
    /// Row, audit entry: one commit. False if the principal has no such token.
    async fn revoke(&self, of: Principal, id: Uuid, audit: Draft) -> Result<bool, StoreError>;
    async fn get(&self, id: Uuid) -> Result<Option<StoredApiToken>, StoreError>;
    /// Keeps when it was used, where what is kept is old.
    async fn used(&self, token: &StoredApiToken) -> Result<(), StoreError>;
}
