//! Service accounts and their secrets.

use async_trait::async_trait;
use saga::{StoreError, Time};
use uuid::Uuid;

use super::{Idempotency, IdempotencyKey, Page, Written};
use crate::Principal;
use crate::audit::Draft;
use crate::berth::Replay;
use crate::secrets::Hash;

/// A program's principal, which belongs to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    pub id: Uuid,
    pub account_id: Uuid,
    /// Unique in its account, those that are disabled included.
    pub name: String,
    pub created_by: Principal,
    pub created_at: Time,
    pub disabled_at: Option<Time>,
}

/// One of a service account's secrets, without the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSecret {
    pub id: Uuid,
    pub service_account_id: Uuid,
    pub created_by: Principal,
    pub created_at: Time,
    pub expires_at: Option<Time>,
    /// To within some minutes.
    pub last_used_at: Option<Time>,
}

#[derive(Debug, Clone)]
pub struct NewServiceAccount {
    /// Of the principal, which is there already.
    pub id: Uuid,
    pub account_id: Uuid,
    pub name: String,
    pub created_by: Principal,
    pub audit: Draft,
    pub replay: Option<KeptReplay<ServiceAccount>>,
}

#[derive(Debug, Clone)]
pub struct NewClientSecret {
    pub id: Uuid,
    pub service_account_id: Uuid,
    pub hash: Hash,
    pub expires_at: Option<Time>,
    pub created_by: Principal,
    pub audit: Draft,
    pub replay: Option<KeptReplay<ClientSecret>>,
}

/// An `Idempotency-Key`, and how what is made is worded for who repeats the request: without a secret.
#[derive(Debug, Clone)]
pub struct KeptReplay<T> {
    pub key: IdempotencyKey,
    pub words: fn(&T) -> super::Answer,
}

impl<T> KeptReplay<T> {
    pub(crate) fn of(replay: Replay<T>, caller: &crate::Caller, account: Uuid) -> Self {
        Self { words: replay.answer, key: replay.key(caller, account) }
    }

    #[must_use]
    pub fn keep(&self, made: &T) -> Idempotency {
        Idempotency { key: self.key.clone(), answer: (self.words)(made) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateServiceAccount {
    Created(ServiceAccount),
    NameTaken,
    /// Carries the account's status; `None` if there is no such account.
    AccountNotActive {
        status: Option<&'static str>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddClientSecret {
    Added(ClientSecret),
    /// It has as many as it may.
    Enough,
    Disabled,
    /// Would be over before it begins, or is too far away.
    ExpiresOutOfRange,
}

/// A secret's row, for who presents it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSecret {
    pub service_account: ServiceAccount,
    pub hash: Hash,
    /// Neither deleted nor expired, and its service account is not disabled.
    pub is_live: bool,
}

/// The most secrets that a service account has at once: one in use, and the one that takes its place.
pub const SECRETS_MAX: usize = 2;

#[async_trait]
pub trait ServiceAccounts: Send + Sync + 'static {
    /// Row, audit entry, idempotency record: one commit.
    async fn create(&self, new: NewServiceAccount) -> Result<Written<CreateServiceAccount>, StoreError>;
    /// The permission system knows whose it is.
    async fn related(&self, id: Uuid) -> Result<(), StoreError>;
    /// At most `limit` of those that it was not told of: id and account.
    async fn unrelated(&self, limit: u32) -> Result<Vec<(Uuid, Uuid)>, StoreError>;
    /// Those of an account, by id.
    async fn list(&self, account: Uuid, page: Page) -> Result<Vec<ServiceAccount>, StoreError>;
    async fn get(&self, id: Uuid) -> Result<Option<ServiceAccount>, StoreError>;
    /// Row, audit entry: one commit. Says whether it was enabled before.
    async fn disable(&self, id: Uuid, audit: Draft) -> Result<bool, StoreError>;
    /// Whether it was disabled; one that is kept as a principal only never was. Asked for every request with one of its tokens.
    async fn is_disabled(&self, id: Uuid) -> Result<bool, StoreError>;
    /// Row, audit entry, idempotency record: one commit, under the service account's lock.
    async fn add_secret(&self, new: NewClientSecret) -> Result<Written<AddClientSecret>, StoreError>;
    /// Those that are not deleted, the oldest first; the expired included.
    async fn secrets(&self, service_account: Uuid) -> Result<Vec<ClientSecret>, StoreError>;
    /// Row, audit entry: one commit. False if there is no such secret of this service account.
    async fn delete_secret(&self, service_account: Uuid, secret: Uuid, audit: Draft) -> Result<bool, StoreError>;
    async fn secret(&self, id: Uuid) -> Result<Option<StoredSecret>, StoreError>;
    /// Takes down that a token was got with the secret: audit entry, time of use. False, and nothing is written, if the secret
    /// is no longer live: decided under its lock.
    async fn issued(&self, secret: Uuid, audit: Draft) -> Result<bool, StoreError>;
}
