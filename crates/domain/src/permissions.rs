//! What Berth asks of a permission system: relationships, checks, and writes with preconditions.
//!
//! The shapes are those of SpiceDB's API v1, whose semantics the embedded evaluator shares
//! (`deploy/spicedb/schema.zed` is the schema of both).

use async_trait::async_trait;
use saga::{Attempt, RunId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Principal, PrincipalKind};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Object {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: String,
}

impl Object {
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "ids are `Copy` or `&str`; `&id` at every call would only be noise")]
    pub fn new(kind: &str, id: impl ToString) -> Self {
        Self { kind: kind.to_owned(), id: id.to_string() }
    }

    #[must_use]
    pub fn platform() -> Self {
        Self::new("platform", "main")
    }

    #[must_use]
    pub fn account(id: Uuid) -> Self {
        Self::new("account", id)
    }

    #[must_use]
    pub fn workspace(id: Uuid) -> Self {
        Self::new("workspace", id)
    }

    #[must_use]
    pub fn environment(id: Uuid) -> Self {
        Self::new("environment", id)
    }
}

impl From<Principal> for Object {
    fn from(p: Principal) -> Self {
        Self::new(
            match p.kind {
                PrincipalKind::User => "user",
                PrincipalKind::ServiceAccount => "service_account",
            },
            p.id,
        )
    }
}

/// One tuple: `resource#relation@subject`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Relationship {
    pub resource: Object,
    pub relation: String,
    pub subject: Object,
}

impl Relationship {
    #[must_use]
    pub fn new(resource: Object, relation: &str, subject: Object) -> Self {
        Self { resource, relation: relation.to_owned(), subject }
    }
}

/// Matches relationships; an absent field matches all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub resource_kind: String,
    pub resource_id: Option<String>,
    pub relation: Option<String>,
    pub subject: Option<Object>,
}

impl Filter {
    #[must_use]
    pub fn matches(&self, tuple: &Relationship) -> bool {
        self.resource_kind == tuple.resource.kind
            && self.resource_id.as_ref().is_none_or(|id| *id == tuple.resource.id)
            && self.relation.as_ref().is_none_or(|relation| *relation == tuple.relation)
            && self.subject.as_ref().is_none_or(|subject| *subject == tuple.subject)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// Fails if the tuple exists.
    Create(Relationship),
    /// Creates the tuple or leaves it.
    Touch(Relationship),
    /// Deletes the tuple or does nothing.
    Delete(Relationship),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    MustMatch(Filter),
    MustNotMatch(Filter),
}

/// Why a write is made. A permission system that can keeps it with the transaction, for whoever asks later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A step of a run, or its undo.
    Step { run: RunId, step: String, attempt: u32 },
    /// A change of a member's role.
    MembershipChange(Uuid),
    /// Of drift; its own seal bears this id.
    Repair(Uuid),
    /// The first start, a repair, a test: what it is called.
    Hand(&'static str),
}

impl Cause {
    #[must_use]
    pub fn of(attempt: &Attempt) -> Self {
        Self::Step { run: attempt.run, step: attempt.step.clone(), attempt: attempt.number }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consistency {
    FullyConsistent,
    AtLeastAsFresh(String),
    MinimizeLatency,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub resource: Object,
    /// A permission or a relation.
    pub permission: String,
    pub subject: Object,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermissionsError {
    /// Nothing was changed. For a check: 503, never a "no".
    #[error("the permission system is not available: {0}")]
    Unavailable(String),
    /// A write whose reply was lost.
    #[error("it is not known whether the permission system applied the write: {0}")]
    Unknown(String),
    /// A precondition did not hold; `index` into the request's preconditions.
    #[error("precondition {index} did not hold")]
    PreconditionFailed { index: usize },
    #[error("the tuple exists already")]
    AlreadyExists,
    /// A lookup found more than it may hold: go through one's own table and check instead.
    #[error("the subject has the permission on more than {most} resources")]
    TooMany { most: usize },
    /// A type, relation, permission or id that the schema does not allow: a fault of ours.
    #[error("the permission system refused the request: {0}")]
    Invalid(String),
}

/// The most updates that one write may hold.
pub const UPDATES_MAX: usize = 1000;

/// The permission system. Each call ends by its own deadline, a few seconds at most: a saga step awaits its write, because
/// a write that was dropped half-way could still be applied.
#[async_trait]
pub trait Permissions: Send + Sync + 'static {
    /// One answer per check, in order. An unknown permission is an error, not a "no".
    async fn check(&self, checks: &[Check], consistency: &Consistency) -> Result<Vec<bool>, PermissionsError>;

    /// As [`Permissions::check`], about a row that was read in one moment with the revision `seen` of [`Tuples`]: an answer of that one is
    /// new enough. Whoever keeps relationships elsewhere has no use for it.
    async fn check_of_row(&self, checks: &[Check], consistency: &Consistency, _seen: Revision) -> Result<Vec<bool>, PermissionsError> {
        self.check(checks, consistency).await
    }

    /// All updates or none; returns the token of the revision that holds them. Naming one tuple twice is an error.
    async fn write(&self, updates: &[Update], preconditions: &[Precondition], cause: &Cause) -> Result<String, PermissionsError>;

    /// All relationships that match, fully consistent; for drills, reconciliation and tests.
    async fn read(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError>;

    /// Ids of all resources of `kind` on which `subject` has `permission`, each once; [`PermissionsError::TooMany`] above the
    /// implementation's cap.
    async fn lookup(
        &self,
        kind: &str,
        permission: &str,
        subject: &Object,
        consistency: &Consistency,
    ) -> Result<Vec<String>, PermissionsError>;

    /// Whether it answers, and has the schema that this version of Berth works with.
    async fn ready(&self) -> Result<(), PermissionsError>;
}

/// A stretch of all relationships of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationshipPage {
    pub relationships: Vec<Relationship>,
    /// Where the next one begins; `None`: this was the last.
    pub next: Option<String>,
}

/// The permission system, read from one end to the other: for comparing it with what the database means.
#[async_trait]
pub trait RelationshipPages: Send + Sync + 'static {
    /// At most `limit` relationships whose resource is of `kind`, each once over all pages. The state that a later page is of may
    /// be as old as the first page: what was found is to be looked at again before anything is made of it.
    async fn page(&self, kind: &str, after: Option<&str>, limit: u32) -> Result<RelationshipPage, PermissionsError>;
}

/// One state of the tuples: where two are equal, so are the tuples. Each write raises the number and makes a new mark, which tells a write
/// that the database has lost (a standby became the primary, a backup was put back) from the one that has its number now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    pub number: i64,
    /// `None`: of a database that nobody has written to since it has marks.
    pub mark: Option<Uuid>,
}

/// Subjects of `resource#relation`: all there are, or this one if it is among them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    pub resource: Object,
    pub relation: &'static str,
    pub subject: Option<Object>,
}

/// Where the embedded evaluator keeps its tuples: one consistent state with a revision that each write raises.
#[async_trait]
pub trait Tuples: Send + Sync + 'static {
    async fn revision(&self) -> Result<Revision, PermissionsError>;

    /// The subjects of each of these, and the revision at which they are.
    async fn subjects(&self, wanted: &[Wanted]) -> Result<(Revision, Vec<Vec<Object>>), PermissionsError>;

    /// Tuples whose subject is one of these (the reverse index), and the revision at which they are.
    async fn by_subject(&self, subjects: &[Object]) -> Result<(Revision, Vec<Relationship>), PermissionsError>;

    async fn matching(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError>;

    /// At most `limit` whose resource is of `kind`, in the order of resource, relation and subject, after that one.
    async fn page(&self, kind: &str, after: Option<&Relationship>, limit: u32) -> Result<Vec<Relationship>, PermissionsError>;

    /// Preconditions and updates in one transaction; returns the new revision.
    async fn write(&self, updates: &[Update], preconditions: &[Precondition]) -> Result<i64, PermissionsError>;
}
