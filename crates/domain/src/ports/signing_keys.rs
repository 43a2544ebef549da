//! The keys that the built-in issuer signs tokens with. All processes of an installation have the same ones.

use std::time::Duration;

use async_trait::async_trait;
use saga::{StoreError, Time};
use uuid::Uuid;

use crate::audit::Draft;

/// A key as it is kept: its private part is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSigningKey {
    pub id: Uuid,
    /// 1 is the installation's first.
    pub number: i64,
    pub public_key: Vec<u8>,
    pub sealed_key: Vec<u8>,
    pub created_at: Time,
    pub signs_from: Time,
    pub revoked_at: Option<Time>,
}

#[derive(Debug, Clone)]
pub struct NewSigningKey {
    pub id: Uuid,
    /// The newest key that the caller knows of; `None`: there is none.
    pub after: Option<Uuid>,
    pub public_key: Vec<u8>,
    pub sealed_key: Vec<u8>,
    /// How long after now it begins to sign.
    pub signs_in: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeKeyAnswer {
    Revoked,
    /// It was revoked before.
    Already,
    Unknown,
    /// No other key would be left that signs by now.
    Needed,
}

/// One transaction each.
#[async_trait]
pub trait SigningKeys: Send + Sync + 'static {
    /// All of them, revoked ones too, in the order of their numbers.
    async fn all(&self) -> Result<Vec<StoredSigningKey>, StoreError>;

    /// False: another one was added meanwhile, and this one was not.
    async fn add(&self, new: NewSigningKey, audit: Draft) -> Result<bool, StoreError>;

    async fn revoke(&self, id: Uuid, audit: Draft) -> Result<RevokeKeyAnswer, StoreError>;
}
