//! The ports of a running Berth, bundled for the use cases.

use std::sync::Arc;
use std::time::Duration;

use saga::Registry;
use uuid::Uuid;

use crate::names::Name;
use crate::permissions::Permissions;
use crate::ports::{
    AccountSettings, Accounts, Answer, ApiTokens, AuditLog, Deletions, Edits, Exports, Freezes, Health, Idempotency, IdempotencyKey,
    Identities, Ids, Keyed, Members, Pauses, Principals, ProvisioningRuns, Retention, ServiceAccounts, Timer, Wake, WorkspaceTokens,
    Workspaces, Written,
};
use crate::{Caller, Change, Error};

#[derive(Clone)]
pub struct Berth {
    pub accounts: Arc<dyn Accounts>,
    pub workspaces: Arc<dyn Workspaces>,
    pub freezes: Arc<dyn Freezes>,
    pub edits: Arc<dyn Edits>,
    pub deletions: Arc<dyn Deletions>,
    pub members: Arc<dyn Members>,
    pub runs: Arc<dyn ProvisioningRuns>,
    pub audit: Arc<dyn AuditLog>,
    pub exports: Arc<dyn Exports>,
    pub retention: Arc<dyn Retention>,
    pub principals: Arc<dyn Principals>,
    pub service_accounts: Arc<dyn ServiceAccounts>,
    pub tokens: Arc<dyn WorkspaceTokens>,
    pub api_tokens: Arc<dyn ApiTokens>,
    pub account_settings: Arc<dyn AccountSettings>,
    pub identities: Arc<dyn Identities>,
    pub pauses: Arc<dyn Pauses>,
    pub health: Arc<dyn Health>,
    pub permissions: Arc<dyn Permissions>,
    pub ids: Arc<dyn Ids>,
    pub wake: Arc<dyn Wake>,
    pub timer: Arc<dyn Timer>,
    pub sagas: Arc<Registry<Change>>,
    pub settings: Arc<Settings>,
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub regions: Vec<Region>,
    /// The quota of a new account.
    pub workspaces_max: i64,
    /// Whether any authenticated user may create an account; otherwise `platform#administer` is needed.
    pub self_serve_accounts: bool,
    /// The workspace that a new account comes with.
    pub default_workspace: Option<DefaultWorkspace>,
    /// Whether a token for a workspace that is not there yet makes it.
    pub mint_creates: bool,
    /// How long a deleted workspace can be restored.
    pub purge_after: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultWorkspace {
    pub name: Name,
    /// One of [`Settings::regions`].
    pub region: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    pub name: String,
    /// Of this region's backend: `local`, `postgres`, …
    pub backend: String,
}

/// An `Idempotency-Key` as the request gave it, and how this dialect words the answer that will be replayed.
#[derive(Debug, Clone)]
pub struct Replay<T> {
    pub key: String,
    pub method: String,
    pub path: String,
    /// SHA-256 over query and body.
    pub fingerprint: Vec<u8>,
    pub answer: fn(&T) -> Answer,
}

impl<T> Replay<T> {
    /// What the mutation's transaction keeps: the key in `account`'s scope, and the answer that `done` will be worded as.
    pub(crate) fn keep(self, caller: &Caller, account: Uuid, done: &T) -> Idempotency {
        let answer = (self.answer)(done);
        Idempotency { key: self.key(caller, account), answer }
    }

    /// As [`Replay::keep`], where the answer is known only once it is done.
    pub(crate) fn keyed(self, caller: &Caller, account: Uuid) -> Keyed<T> {
        Keyed { answer: self.answer, key: self.key(caller, account) }
    }

    pub(crate) fn key(self, caller: &Caller, account: Uuid) -> IdempotencyKey {
        IdempotencyKey {
            account_id: account,
            principal: caller.principal,
            on_behalf_of: caller.on_behalf_of,
            method: self.method,
            path: self.path,
            key: self.key,
            fingerprint: self.fingerprint,
        }
    }
}

/// What a mutation did, or what the first request with the same key was answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply<T> {
    Fresh(T),
    Replayed(Answer),
}

impl<T> Written<T> {
    /// What the mutation answered, or the answer that is replayed instead.
    pub(crate) fn fresh(self) -> Result<Reply<T>, Error> {
        match self {
            Self::Done(done) => Ok(Reply::Fresh(done)),
            Self::Replayed(answer) => Ok(Reply::Replayed(answer)),
            Self::KeyReused => Err(Error::KeyReused),
            Self::KeyBusy => Err(Error::KeyBusy),
        }
    }
}
