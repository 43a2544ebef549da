//! What the use cases need of the outside. One method is one transaction (store) or one remote call (backends).

mod api_tokens;
mod audit_log;
mod deletions;
mod edits;
mod exports;
mod freezes;
mod idempotency;
mod identity;
mod if_match;
mod intents;
mod logins;
mod members;
mod pauses;
mod platform;
mod retention;
mod retries;
mod service_accounts;
mod signing_keys;
mod timer;
mod workspace_tokens;

use std::collections::HashMap;

use async_trait::async_trait;
use saga::definition::DefinitionId;
use saga::ports::OnFailure;
use saga::{CancellationToken, Fault, RunId, StoreError, Time, Verb};
use serde_json::Value;
use uuid::Uuid;

use crate::audit::Draft;
use crate::labels::Labels;
use crate::model::{
    Account, BackendWorkspace, Environment, Freeze, Membership, ProvisioningRun, RunDetail, Scope, StoredPrincipal, TenancyModel,
    Workspace, WorkspaceStatus,
};
use crate::permissions::Revision;
use crate::{Principal, PrincipalKind};

pub use api_tokens::*;
pub use audit_log::*;
pub use deletions::*;
pub use edits::*;
pub use exports::*;
pub use freezes::*;
pub use idempotency::*;
pub use identity::*;
pub use if_match::*;
pub use intents::*;
pub use logins::*;
pub use members::*;
pub use pauses::*;
pub use platform::*;
pub use retention::*;
pub use retries::*;
pub use service_accounts::*;
pub use signing_keys::*;
pub use timer::*;
pub use workspace_tokens::*;

/// Makes ids; randomness and time are behind it.
pub trait Ids: Send + Sync + 'static {
    /// For accounts: UUIDv4.
    fn account(&self) -> Uuid;
    /// For all that belongs to an account: UUIDv7 ending in the account's last byte.
    fn within(&self, account: Uuid) -> Uuid;
    /// For what belongs to no account: UUIDv7.
    fn free(&self) -> Uuid;
    /// 32 random bytes, for the keys of an audit entry's personal values.
    fn key(&self) -> [u8; 32];
}

/// Tells this process's worker that a run is due. A hint: losing it costs a poll, nothing else.
pub trait Wake: Send + Sync + 'static {
    /// Something may be due, or asked of a run, or paused.
    fn wake(&self);

    /// A new run waits for its first claim, and nothing else has changed: a smaller thing to look for.
    fn new_run(&self) {
        self.wake();
    }
}

// ---- Accounts, workspaces ------------------------------------------------------------------------------------------

/// A run to be inserted with what it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    pub id: RunId,
    pub definition: DefinitionId,
    pub account_id: Uuid,
    pub workspace_id: Option<Uuid>,
    pub retry_of: Option<RunId>,
    /// Owns its workspace or account: at most one such run of it is alive. Others run beside it.
    pub exclusive: bool,
    pub input: Value,
    pub on_failure: OnFailure,
    /// How many steps the definition has.
    pub total: u32,
    pub created_by: Principal,
    pub trace: HashMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct NewAccount {
    pub id: Uuid,
    pub name: String,
    pub slug: String,
    pub created_by: Principal,
    /// The creator's role, as in [`NewWorkspace`].
    pub role: crate::model::Role,
    pub workspaces_max: i64,
    pub run: NewRun,
    pub audit: Draft,
    pub idempotency: Option<Idempotency>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewWorkspace {
    pub id: Uuid,
    pub account_id: Uuid,
    pub name: String,
    /// `name` in its folded form, for the alias.
    pub folded_name: String,
    pub slug: Slug,
    pub region: String,
    pub tenancy_model: TenancyModel,
    pub labels: Labels,
    pub termination_protection: bool,
    pub created_by: Principal,
    /// The creator's role: `owner` for a user, `admin` for a service account.
    pub role: crate::model::Role,
    pub run: NewRun,
    pub audit: Draft,
    pub idempotency: Option<Idempotency>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slug {
    /// Taken is a conflict.
    Given(String),
    /// Taken gets a suffix `-2`, `-3`, …
    Generated(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum CreateWorkspace {
    Created {
        slug: String,
    },
    SlugTaken {
        slug: String,
    },
    QuotaExceeded {
        max: i64,
    },
    /// Carries the account's status; `None` if there is no such account.
    AccountNotActive {
        status: Option<crate::model::AccountStatus>,
    },
}

/// What a dry run wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    pub status: crate::model::AccountStatus,
    /// Workspaces that hold quota.
    pub live: i64,
    pub max: i64,
    /// The slug that a create would get now; `None` if a given one is taken.
    pub slug: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkspaceFilter {
    /// `deleted` finds those that are being purged as well; without a status both are left out, and what is purged always is.
    pub status: Option<WorkspaceStatus>,
    /// Whether a freeze is to be in force.
    pub frozen: Option<bool>,
    /// All of these have to be there.
    pub labels: Vec<LabelFilter>,
    pub region: Option<String>,
    /// Case-insensitive.
    pub name_contains: Option<String>,
    pub created_after: Option<Time>,
    pub created_before: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFilter {
    pub key: String,
    /// `None`: any.
    pub value: Option<String>,
}

/// A page in key order: rows after `after`, at most `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    pub after: Option<Uuid>,
    pub limit: u32,
}

#[async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// Row, head, creator's membership, run, audit entry, idempotency record: one commit.
    async fn create(&self, new: NewAccount) -> Result<Written<()>, StoreError>;
    async fn get(&self, id: Uuid) -> Result<Option<Account>, StoreError>;
    /// Accounts that `member` created or is a member of (`None`: all), by id.
    async fn list(&self, member: Option<Principal>, page: Page) -> Result<Vec<Account>, StoreError>;
}

/// A workspace with the run that owns it, of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct WithRun {
    pub workspace: Workspace,
    /// As [`ProvisioningRuns::glance`] shows it; `None`: it is kept no longer.
    pub run: Option<RunDetail>,
    /// That of the tuples at that moment, where the store keeps them.
    pub seen: Option<Revision>,
}

#[async_trait]
pub trait Workspaces: Send + Sync + 'static {
    /// Idempotency record, quota, row, alias, membership, run, audit entry: one commit.
    async fn create(&self, new: NewWorkspace) -> Result<Written<CreateWorkspace>, StoreError>;
    async fn room(&self, account: Uuid, slug: &Slug) -> Result<Option<Room>, StoreError>;
    /// Deleted ones included.
    async fn get(&self, id: Uuid) -> Result<Option<Workspace>, StoreError>;
    /// As [`Workspaces::get`], with what else its reader is told.
    async fn with_run(&self, id: Uuid) -> Result<Option<WithRun>, StoreError>;
    /// Those that each of `members` (one or two) has a membership row on, `deleted` and `purging` left out, by id.
    async fn list_by_member(&self, members: &[Principal], filter: &WorkspaceFilter, page: Page) -> Result<Vec<Workspace>, StoreError>;
    /// Those of an account, as the filter's status has it, only the ones `member` has a membership row on if given, by id.
    async fn list_by_account(
        &self,
        account: Uuid,
        member: Option<Principal>,
        filter: &WorkspaceFilter,
        page: Page,
    ) -> Result<Vec<Workspace>, StoreError>;
    /// Those of these that a blocking freeze is in force on, in any order.
    async fn blocked(&self, ids: &[Uuid]) -> Result<Vec<Workspace>, StoreError>;
    async fn environments(&self, workspace: Uuid) -> Result<Vec<Environment>, StoreError>;
    async fn backend_workspaces(&self, workspace: Uuid) -> Result<Vec<BackendWorkspace>, StoreError>;
    async fn memberships(&self, scope: Scope, id: Uuid) -> Result<Vec<Membership>, StoreError>;
}

// ---- Runs ----------------------------------------------------------------------------------------------------------

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunFilter {
    pub account_id: Option<Uuid>,
    pub workspace_id: Option<Uuid>,
    pub state: Option<saga::ports::State>,
}

/// A verb to be journaled by the run's owner.
#[derive(Debug, Clone)]
pub struct NewRequest {
    pub id: Uuid,
    pub run: RunId,
    /// The workspace whose gate the verb has to pass; `None` for those that are exempt.
    pub gate: Option<Uuid>,
    pub verb: Verb,
    pub step: Option<String>,
    pub actor: Principal,
    pub comment: Option<String>,
    pub audit: Draft,
    pub idempotency: Option<Idempotency>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestAnswer {
    Requested,
    /// The run has ended in the meantime.
    Ended,
    /// The run has ended and been forgotten in the meantime.
    Forgotten,
    /// The workspace's gate is shut.
    Frozen(Vec<Freeze>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCounts {
    /// Live runs by state.
    pub by_state: Vec<(saga::ports::State, u64)>,
    pub oldest_live_at: Option<Time>,
    pub now: Time,
}

#[async_trait]
pub trait ProvisioningRuns: Send + Sync + 'static {
    /// Row, journal and requests that are not journaled yet, of one moment.
    async fn get(&self, id: RunId) -> Result<Option<RunDetail>, StoreError>;
    /// As [`ProvisioningRuns::get`], for who only tells how the run stands: its input may be left out (null), and of a run that has ended its
    /// journal and requests as well.
    async fn glance(&self, id: RunId) -> Result<Option<RunDetail>, StoreError> {
        self.get(id).await
    }
    /// Newest first (by id, falling); `page.after` is the last id of the page before. `accounts`: only runs of these,
    /// `None`: of all.
    async fn list(&self, accounts: Option<&[Uuid]>, filter: &RunFilter, page: Page) -> Result<Vec<ProvisioningRun>, StoreError>;
    /// The `version` of each of these runs that exists; what watchers poll.
    async fn versions(&self, ids: &[RunId]) -> Result<Vec<(RunId, i64)>, StoreError>;
    /// Inserts the verb under the run row's lock, and makes the run due.
    async fn request(&self, new: NewRequest) -> Result<Written<RequestAnswer>, StoreError>;
    async fn retry(&self, new: RetryRun) -> Result<Written<RetryAnswer>, StoreError>;
    /// What `key` was answered before: `Replayed` or `KeyReused`; `Done(())` if nothing is stored under it. Asked where a
    /// verb is ruled out by now, which must not hide that this very request once ruled it out.
    async fn recall(&self, key: &IdempotencyKey) -> Result<Written<()>, StoreError>;
    async fn counts(&self) -> Result<RunCounts, StoreError>;
}

// ---- Principals, health -------------------------------------------------------------------------------------

#[async_trait]
pub trait Principals: Send + Sync + 'static {
    async fn get(&self, principal: Principal) -> Result<Option<StoredPrincipal>, StoreError>;
    async fn find(&self, kind: PrincipalKind, name: &str) -> Result<Option<StoredPrincipal>, StoreError>;
    /// Those of these ids that there are, in any order; ids are unique across kinds.
    async fn by_ids(&self, ids: &[Uuid]) -> Result<Vec<StoredPrincipal>, StoreError>;
    /// The principal of that name; made with `id` if there is none.
    async fn ensure(&self, kind: PrincipalKind, name: &str, account: Option<Uuid>, id: Uuid) -> Result<StoredPrincipal, StoreError>;
    async fn account_of(&self, scope: Scope, id: Uuid) -> Result<Option<Uuid>, StoreError>;
}

#[async_trait]
pub trait Health: Send + Sync + 'static {
    /// Answers if the database does; also tells its time.
    async fn now(&self) -> Result<Time, StoreError>;
}

// ---- Backends ------------------------------------------------------------------------------------------------------

/// A backend workspace to be made. Every name in it derives from ids that were fixed before the first effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendSpec {
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub environment_id: Uuid,
    pub environment: crate::model::EnvironmentName,
    pub region: String,
    /// The mark that the object bears.
    pub run: RunId,
    /// `run:step`.
    pub key: String,
}

/// How a call to a backend failed.
#[derive(Debug, Clone, PartialEq)]
pub enum CallError {
    /// Changed nothing.
    Failed(Fault),
    /// May have happened.
    Unknown(Fault),
    /// Our own limit, breaker or pause refused it.
    Refused { retry_after: std::time::Duration },
}

/// The configured data platforms of all regions.
///
/// A call that has returned is over: nothing that it began goes on, blocking work included. Callers therefore await it
/// and never drop it; to be rid of it they fire `stop`, upon which it gives up what can be given up and returns soon.
#[async_trait]
pub trait Backends: Send + Sync + 'static {
    /// The backend's name, as in the glossary (`local`, `postgres`, …).
    fn name(&self, region: &str) -> Option<String>;
    /// Creates, or finds what the same key created before; refused for good once `drop` has sealed it. Returns the locator.
    async fn create(&self, spec: &BackendSpec, stop: &CancellationToken) -> Result<String, CallError>;
    /// Takes away what `create` may have made, and seals against a late copy of it. Idempotent.
    async fn drop(&self, spec: &BackendSpec, stop: &CancellationToken) -> Result<(), CallError>;
    /// Proves that the workspace's own credentials open it; refused with the retryable fault `login_frozen` while it is shut.
    async fn login(&self, spec: &BackendSpec, stop: &CancellationToken) -> Result<(), CallError>;
    /// Opens or shuts the login of what `spec`'s run made, as of a revision of the workspace's freezes. A new one is open,
    /// as of revision 0. The order is kept with the object: one of an older revision changes nothing, nor does one that
    /// shuts what the same revision has opened (within a revision freezes only expire).
    async fn set_login(&self, spec: &BackendSpec, open: bool, revision: i64, stop: &CancellationToken) -> Result<LoginAnswer, CallError>;
}
