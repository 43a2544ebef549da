//! Users whom other issuers vouch for, users who are let in no more, and the keys that outside issuers sign with.

use std::sync::Arc;

use async_trait::async_trait;
use saga::{StoreError, Time};
use serde_json::Value;
use uuid::Uuid;

use super::{Idempotency, Keyed, Written};
use crate::audit::Draft;

/// Somebody as an outside issuer names them. Neither half means anything without the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OutsideIdentity {
    pub issuer: String,
    pub subject: String,
}

/// Whether a user is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    pub user: Uuid,
    /// Set while nothing that bears the user's name is accepted.
    pub revoked_at: Option<Time>,
    /// Tokens that were issued before are not accepted, whoever issued them.
    pub tokens_not_before: Option<Time>,
}

impl Admission {
    /// That of a user who was never revoked.
    #[must_use]
    pub fn of(user: Uuid) -> Self {
        Self { user, revoked_at: None, tokens_not_before: None }
    }
}

/// An outside identity that is to be a user's.
#[derive(Debug, Clone)]
pub struct LinkIdentity {
    pub identity: OutsideIdentity,
    pub user: Uuid,
    pub audit: Draft,
    /// Kept unless the identity is another's.
    pub idempotency: Option<Idempotency>,
}

/// A revocation or its end.
#[derive(Debug, Clone)]
pub struct ChangeAdmission {
    pub user: Uuid,
    /// Whether the user is to be revoked; otherwise to be restored.
    pub revoke: bool,
    /// Users of whom one at least has to be let in still when this is committed; where none is named, nobody has to be.
    pub keepers: Vec<Uuid>,
    pub audit: Draft,
    pub idempotency: Option<Keyed<Admission>>,
}

#[async_trait]
pub trait Identities: Send + Sync + 'static {
    /// Asked for each request: one question, one row by its key. Whoever was never revoked has no row.
    async fn admission(&self, user: Uuid) -> Result<Admission, StoreError>;
    /// Whose the identity is, which never changes; `None`: nobody's here yet.
    async fn known(&self, identity: &OutsideIdentity) -> Result<Option<Uuid>, StoreError>;
    /// With its audit entry, unless the identity is somebody's already; whose it is now.
    async fn link(&self, new: LinkIdentity) -> Result<Written<Uuid>, StoreError>;
    /// With its audit entry, unless it is so already; how it is now, or `None`, and nothing is changed, where no keeper is let in. A
    /// revocation ends the user's long-lived tokens as well. The commit is the moment from which on it holds in every process.
    async fn change_admission(&self, new: ChangeAdmission) -> Result<Written<Option<Admission>>, StoreError>;
}

/// Why nobody can tell which key it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the keys of {issuer} cannot be had: {cause}")]
pub struct KeysAway {
    pub issuer: String,
    pub cause: String,
}

/// The public keys of one outside issuer, as it publishes them.
#[async_trait]
pub trait IssuerKeys: Send + Sync + 'static {
    /// The keys of this id, or all of them without one, each a JSON Web Key; none: the issuer does not publish it. An answer that is not
    /// known for certain is no answer.
    async fn keys(&self, id: Option<&str>) -> Result<Vec<Arc<Value>>, KeysAway>;
}
