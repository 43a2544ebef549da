//! Members: who has which role on an account or workspace, and the outbox through which the permission system learns of it.

use std::time::Duration;

use async_trait::async_trait;
use saga::{StoreError, Time};
use uuid::Uuid;

use super::{Answer, Idempotency, IdempotencyKey, Page, Written};
use crate::Principal;
use crate::audit::Draft;
use crate::model::{Freeze, Member, MembershipChange, NamedMember, Role, ScopeRef};

/// What is to become of a principal's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleChange {
    /// Of who has none.
    Add(Role),
    /// Of who has one.
    Change(Role),
    /// Whether there is one or not.
    Set(Role),
    Remove,
    /// Whatever it is: the permission system is to be told once more. Unchanged while it is still to be told of an earlier change.
    Tell,
}

/// A change of one principal's role on one account or workspace.
#[derive(Debug, Clone)]
pub struct NewMembershipChange {
    pub id: Uuid,
    pub on: ScopeRef,
    pub principal: Principal,
    pub change: RoleChange,
    /// The store fills in the roles before and after, which are known under the lock only.
    pub audit: Draft,
    pub replay: Option<MemberReplay>,
}

/// An `Idempotency-Key`, and how the member that the change makes is worded as the answer that will be replayed.
#[derive(Debug, Clone)]
pub struct MemberReplay {
    pub key: IdempotencyKey,
    /// Of the principal.
    pub name: String,
    pub words: fn(&NamedMember) -> Answer,
}

impl MemberReplay {
    #[must_use]
    pub fn keep(&self, member: Member) -> Idempotency {
        let answer = (self.words)(&NamedMember { member, name: self.name.clone() });
        Idempotency { key: self.key.clone(), answer }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum ChangeAnswer {
    Made(Changed),
    /// The role was that already.
    Unchanged(Changed),
    MemberAlready,
    NotMember,
    /// What has an owner keeps one.
    LastOwner,
    /// Carries the status of the account or workspace; `None` if there is none.
    NotActive {
        status: Option<&'static str>,
    },
    /// The workspace's gate is shut.
    Frozen(Vec<Freeze>),
}

/// A member after a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// `None`: a member no more.
    pub member: Option<Member>,
    /// Changes of this principal here that the permission system is still to be told, in their order.
    pub undelivered: Vec<MembershipChange>,
}

/// What is due in the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// At most one per principal and scope: the first that is not delivered.
    pub changes: Vec<MembershipChange>,
    /// How long until there may be more; `None` if nothing waits.
    pub next: Option<Duration>,
}

/// Whether somebody's roles are what the permission system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Settled,
    /// One changed so lately that a stale read may not see it.
    Changed,
    /// One was reduced, and the permission system does not know yet.
    RemovalPending,
}

/// What the outbox holds; for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    pub undelivered: u64,
    pub oldest_at: Option<Time>,
    pub now: Time,
}

#[async_trait]
pub trait Members: Send + Sync + 'static {
    /// By the principal's id.
    async fn list(&self, on: ScopeRef, page: Page) -> Result<Vec<Member>, StoreError>;
    /// Row, outbox, audit entry, idempotency record: one commit, decided under the lock of the account's or workspace's row.
    /// Additions and promotions pass the workspace's gate.
    async fn change(&self, new: NewMembershipChange) -> Result<Written<ChangeAnswer>, StoreError>;
    /// Takes what is due, so that nobody else takes it before `lease` is over.
    async fn take_due(&self, limit: u32, lease: Duration) -> Result<Due, StoreError>;
    /// The changes of this principal here that are not delivered, in their order.
    async fn undelivered(&self, on: ScopeRef, principal: Principal) -> Result<Vec<MembershipChange>, StoreError>;
    /// The permission system has the change. `token`: of the write that made it so, kept beside the account or workspace;
    /// `None` if there was nothing to write. `answer` takes the place of the one that the change's key was stored with.
    async fn delivered(&self, change: &MembershipChange, token: Option<String>, answer: Option<Idempotency>) -> Result<(), StoreError>;
    /// It is due again after `again_in`.
    async fn postpone(&self, change: &MembershipChange, error: &str, again_in: Duration) -> Result<(), StoreError>;
    /// Forgets changes that have settled and whose place another took, or the purge of their workspace, `kept` ago at least: at
    /// most `limit`. Answers how many. The last of a line is what the next one's delivery seals, and stays.
    async fn forget(&self, limit: u32, kept: Duration) -> Result<u64, StoreError>;
    /// Of all `principals` together, on these accounts and workspaces, and on the accounts of these workspaces.
    async fn standing(&self, principals: &[Principal], scopes: &[Uuid]) -> Result<Standing, StoreError>;
    async fn backlog(&self) -> Result<Backlog, StoreError>;
}
