//! A Berth whose ports are in memory: rights are what a test grants, answers of mutations are what a test sets, and what
//! the use cases asked for is kept.

mod changes;
mod freezes;
mod nothing;
mod outside;
mod ready;
mod rights;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::audit::{Draft, Entry, seal};
use domain::berth::{Region, Settings};
use domain::model::*;
use domain::permissions::{Consistency, Object, Revision};
use domain::ports::*;
use domain::{Berth, Caller, Principal, PrincipalKind, steps};
use saga::{DefinitionId, Registry, RunId, StoreError, Time};
use uuid::Uuid;

use nothing::Nothing;
pub use ready::ready;
use rights::right;

pub const ACCOUNT: Uuid = Uuid::from_u128(0xacc0_0042);
pub const WORKSPACE: Uuid = Uuid::from_u128(0x0e50_0042);
pub const RUN: RunId = RunId(Uuid::from_u128(0x0123_0042));
pub const USER: Principal = Principal { kind: PrincipalKind::User, id: Uuid::from_u128(0x05e4) };
pub const OTHER: Principal = Principal { kind: PrincipalKind::User, id: Uuid::from_u128(0x07e4) };
pub const ROBOT: Principal = Principal { kind: PrincipalKind::ServiceAccount, id: Uuid::from_u128(0x40b0) };

pub fn caller(principal: Principal) -> Caller {
    Caller {
        principal,
        on_behalf_of: None,
        workspace: None,
        credential_id: Some("jti".to_owned()),
        source_ip: Some([192, 0, 2, 7].into()),
        user_agent: None,
        request_id: "req-1".to_owned(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    }
}

#[derive(Default)]
pub struct World {
    /// Rights of whoever calls, as `account:ID#read`.
    rights: Mutex<BTreeSet<String>>,
    pub is_permission_system_away: Mutex<bool>,
    /// The consistency of each call.
    pub asked: Mutex<Vec<Consistency>>,
    pub accounts: Mutex<BTreeMap<Uuid, Account>>,
    pub workspaces: Mutex<BTreeMap<Uuid, Workspace>>,
    pub runs: Mutex<BTreeMap<Uuid, RunDetail>>,
    pub created_workspaces: Mutex<Vec<NewWorkspace>>,
    pub created_accounts: Mutex<Vec<NewAccount>>,
    pub requests: Mutex<Vec<NewRequest>>,
    pub retries: Mutex<Vec<RetryRun>>,
    pub entries: Mutex<Vec<Draft>>,
    pub listed_accounts: Mutex<Vec<Option<Vec<Uuid>>>>,
    /// What a create of a workspace answers instead of `Created`.
    pub create_answer: Mutex<Option<Written<CreateWorkspace>>>,
    pub edits: Mutex<Vec<EditWorkspace>>,
    /// What an edit answers instead of `Done`.
    pub edit_answer: Mutex<Option<EditAnswer>>,
    pub named: Mutex<Named>,
    pub deletes: Mutex<Vec<DeleteWorkspace>>,
    /// What a delete answers instead of `Deleted`.
    pub delete_answer: Mutex<Option<DeleteAnswer>>,
    pub restores: Mutex<Vec<RestoreWorkspace>>,
    /// What a restore answers instead of `Restored`.
    pub restore_answer: Mutex<Option<RestoreAnswer>>,
    pub to_purge: Mutex<ToPurge>,
    pub purges: Mutex<Vec<StartPurge>>,
    pub retry_answer: Mutex<Option<RetryAnswer>>,
    pub room: Mutex<Option<Room>>,
    pub freeze_changes: Mutex<Vec<ChangeFreezes>>,
    /// What a change of freezes answers instead of `Done`.
    pub freeze_answer: Mutex<Option<FreezeAnswer>>,
    pub expired: Mutex<Expired>,
    pub unapplied: Mutex<Unapplied>,
    pub remembered: Mutex<Option<Answer>>,
    pub woken: AtomicUsize,
    pub exports: crate::exports::Receipts,
    /// Revisions that checks came with.
    pub seen: Mutex<Vec<Revision>>,
    ids: AtomicU64,
}

/// That of the relationships whenever a workspace is read with its run.
pub const SEEN: Revision = Revision { number: 7, mark: None };

impl World {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    pub fn grant(&self, rights: impl IntoIterator<Item = (Object, &'static str)>) {
        self.rights.lock().unwrap().extend(rights.into_iter().map(|(object, permission)| right(&object, permission)));
    }

    pub fn account(&self, status: AccountStatus) {
        self.account_of(ACCOUNT, status, OTHER);
    }

    pub fn account_of(&self, id: Uuid, status: AccountStatus, created_by: Principal) {
        let account = Account {
            id,
            name: "Acme".to_owned(),
            slug: "acme".to_owned(),
            status,
            created_by,
            created_at: Time::from_micros(0),
            workspaces_max: 10,
            permissions_token: Some("token of the account".to_owned()),
            roles_unsettled: false,
        };
        self.accounts.lock().unwrap().insert(id, account);
    }

    pub fn workspace(&self, status: WorkspaceStatus) {
        self.workspace_of(WORKSPACE, status);
    }

    pub fn workspace_of(&self, id: Uuid, status: WorkspaceStatus) {
        let workspace = Workspace {
            id,
            account_id: ACCOUNT,
            name: "Sales".to_owned(),
            slug: "sales".to_owned(),
            status,
            region: "here".to_owned(),
            tenancy_model: TenancyModel::Shared,
            created_by: OTHER,
            created_at: Time::from_micros(0),
            updated_at: Time::from_micros(0),
            revision: 1,
            permissions_token: Some("token of the workspace".to_owned()),
            roles_unsettled: false,
            run_id: RUN,
            made_by: RUN,
            labels: std::collections::BTreeMap::new(),
            termination_protection: false,
            freezes: Vec::new(),
            freeze_revision: 0,
            freeze_applied: 0,
            status_before: None,
            deleted_at: None,
            purge_at: None,
            purged_at: None,
        };
        self.workspaces.lock().unwrap().insert(id, workspace);
    }

    /// Puts the workspace under a freeze.
    pub fn freeze(&self, source: FreezeSource, mode: FreezeMode) {
        let freeze = Freeze {
            source,
            mode,
            code: "why".to_owned(),
            note: None,
            created_by: OTHER,
            created_at: Time::from_micros(0),
            expires_at: None,
        };
        self.workspaces.lock().unwrap().get_mut(&WORKSPACE).unwrap().freezes.push(freeze);
    }

    pub fn run(&self, detail: RunDetail) {
        self.runs.lock().unwrap().insert(detail.run.id.0, detail);
    }

    pub fn wakes(&self) -> usize {
        self.woken.load(Ordering::Relaxed)
    }

    pub fn berth(self: &Arc<Self>) -> Berth {
        self.berth_with(false)
    }

    pub fn berth_with(self: &Arc<Self>, self_serve_accounts: bool) -> Berth {
        Berth {
            accounts: self.clone(),
            workspaces: self.clone(),
            freezes: self.clone(),
            edits: self.clone(),
            deletions: self.clone(),
            members: Arc::new(crate::members::Outbox::default()),
            runs: self.clone(),
            audit: self.clone(),
            exports: self.clone(),
            retention: Arc::new(Nothing),
            principals: self.clone(),
            service_accounts: Arc::new(Nothing),
            api_tokens: Arc::new(Nothing),
            tokens: Arc::new(Nothing),
            account_settings: Arc::new(Nothing),
            identities: Arc::new(crate::users::AllWell::default()),
            pauses: Arc::new(crate::pauses::Kept::default()),
            health: self.clone(),
            permissions: self.clone(),
            ids: self.clone(),
            wake: self.clone(),
            timer: Arc::new(crate::members::AtOnce),
            sagas: Arc::new(self.sagas()),
            settings: Arc::new(Settings {
                regions: vec![Region { name: "here".to_owned(), backend: "local".to_owned() }],
                workspaces_max: 10,
                self_serve_accounts,
                default_workspace: None,
                mint_creates: true,
                purge_after: std::time::Duration::from_hours(720),
            }),
        }
    }

    fn sagas(self: &Arc<Self>) -> Registry<domain::Change> {
        let nothing = Arc::new(Nothing);
        let outside = steps::Outside { permissions: self.clone(), backends: nothing.clone(), freezes: nothing.clone(), tokens: nothing };
        let code = steps::all(&outside);
        let mut registry = Registry::default();
        for (file, text) in steps::DEFINITIONS {
            registry.add(saga::definition::load(file, text).unwrap(), &code, steps::on_end).unwrap();
        }
        registry
    }

    pub fn definition(self: &Arc<Self>, saga: &str) -> DefinitionId {
        self.sagas().newest(saga).unwrap().definition.id.clone()
    }
}

fn page_of<'a, T: Clone + 'a>(rows: impl Iterator<Item = (&'a Uuid, &'a T)>, page: Page) -> Vec<T> {
    let after = rows.filter(|(id, _)| page.after.is_none_or(|after| **id > after));
    after.take(usize::try_from(page.limit).unwrap()).map(|(_, row)| row.clone()).collect()
}

#[async_trait]
impl Accounts for World {
    async fn create(&self, new: NewAccount) -> Result<Written<()>, StoreError> {
        self.created_accounts.lock().unwrap().push(new);
        Ok(Written::Done(()))
    }

    async fn get(&self, id: Uuid) -> Result<Option<Account>, StoreError> {
        Ok(self.accounts.lock().unwrap().get(&id).cloned())
    }

    async fn list(&self, _: Option<Principal>, page: Page) -> Result<Vec<Account>, StoreError> {
        Ok(page_of(self.accounts.lock().unwrap().iter(), page))
    }
}

#[async_trait]
impl Workspaces for World {
    async fn create(&self, new: NewWorkspace) -> Result<Written<CreateWorkspace>, StoreError> {
        self.created_workspaces.lock().unwrap().push(new);
        let answer = self.create_answer.lock().unwrap().clone();
        Ok(answer.unwrap_or(Written::Done(CreateWorkspace::Created { slug: "slug".to_owned() })))
    }

    async fn room(&self, _: Uuid, _: &Slug) -> Result<Option<Room>, StoreError> {
        Ok(self.room.lock().unwrap().clone())
    }

    async fn get(&self, id: Uuid) -> Result<Option<Workspace>, StoreError> {
        Ok(self.workspaces.lock().unwrap().get(&id).cloned())
    }

    async fn with_run(&self, id: Uuid) -> Result<Option<WithRun>, StoreError> {
        let run_of = |w: &Workspace| self.runs.lock().unwrap().get(&w.run_id.0).cloned();
        Ok(Workspaces::get(self, id).await?.map(|workspace| WithRun { run: run_of(&workspace), workspace, seen: Some(SEEN) }))
    }

    async fn list_by_member(&self, _: &[Principal], _: &WorkspaceFilter, page: Page) -> Result<Vec<Workspace>, StoreError> {
        Ok(page_of(self.workspaces.lock().unwrap().iter(), page))
    }

    async fn list_by_account(&self, _: Uuid, _: Option<Principal>, _: &WorkspaceFilter, page: Page) -> Result<Vec<Workspace>, StoreError> {
        Ok(page_of(self.workspaces.lock().unwrap().iter(), page))
    }

    async fn blocked(&self, ids: &[Uuid]) -> Result<Vec<Workspace>, StoreError> {
        let workspaces = self.workspaces.lock().unwrap();
        let is_blocked = |w: &&Workspace| ids.contains(&w.id) && w.freezes.iter().any(|f| f.mode == FreezeMode::Blocked);
        Ok(workspaces.values().filter(is_blocked).cloned().collect())
    }

    async fn environments(&self, _: Uuid) -> Result<Vec<Environment>, StoreError> {
        Ok(Vec::new())
    }

    async fn backend_workspaces(&self, _: Uuid) -> Result<Vec<BackendWorkspace>, StoreError> {
        Ok(Vec::new())
    }

    async fn memberships(&self, _: Scope, _: Uuid) -> Result<Vec<Membership>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl ProvisioningRuns for World {
    async fn get(&self, id: RunId) -> Result<Option<RunDetail>, StoreError> {
        Ok(self.runs.lock().unwrap().get(&id.0).cloned())
    }

    async fn list(&self, accounts: Option<&[Uuid]>, _: &RunFilter, page: Page) -> Result<Vec<ProvisioningRun>, StoreError> {
        self.listed_accounts.lock().unwrap().push(accounts.map(<[Uuid]>::to_vec));
        let runs = self.runs.lock().unwrap();
        let before = runs.values().rev().filter(|d| page.after.is_none_or(|after| d.run.id.0 < after));
        Ok(before.take(usize::try_from(page.limit).unwrap()).map(|d| d.run.clone()).collect())
    }

    async fn versions(&self, _: &[RunId]) -> Result<Vec<(RunId, i64)>, StoreError> {
        Ok(Vec::new())
    }

    async fn request(&self, new: NewRequest) -> Result<Written<RequestAnswer>, StoreError> {
        self.requests.lock().unwrap().push(new);
        Ok(Written::Done(RequestAnswer::Requested))
    }

    async fn retry(&self, new: RetryRun) -> Result<Written<RetryAnswer>, StoreError> {
        self.retries.lock().unwrap().push(new);
        Ok(Written::Done(self.retry_answer.lock().unwrap().clone().unwrap_or(RetryAnswer::Created)))
    }

    async fn recall(&self, _: &IdempotencyKey) -> Result<Written<()>, StoreError> {
        Ok(self.remembered.lock().unwrap().clone().map_or(Written::Done(()), Written::Replayed))
    }

    async fn counts(&self) -> Result<RunCounts, StoreError> {
        Ok(RunCounts { by_state: Vec::new(), oldest_live_at: None, now: Time::from_micros(0) })
    }
}

#[async_trait]
impl AuditLog for World {
    async fn append(&self, draft: Draft) -> Result<Entry, StoreError> {
        self.entries.lock().unwrap().push(draft.clone());
        Ok(seal(&draft, 1, Time::from_micros(0), &[0; 32]).0)
    }

    async fn list(&self, _: AuditOf, _: &AuditFilter, _: AuditPage) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Principals for World {
    async fn get(&self, principal: Principal) -> Result<Option<StoredPrincipal>, StoreError> {
        Ok(Some(StoredPrincipal { principal, name: "ada".to_owned(), account_id: None }))
    }

    async fn find(&self, _: PrincipalKind, _: &str) -> Result<Option<StoredPrincipal>, StoreError> {
        Ok(None)
    }

    async fn ensure(&self, kind: PrincipalKind, name: &str, account: Option<Uuid>, id: Uuid) -> Result<StoredPrincipal, StoreError> {
        Ok(StoredPrincipal { principal: Principal { kind, id }, name: name.to_owned(), account_id: account })
    }

    async fn by_ids(&self, ids: &[Uuid]) -> Result<Vec<StoredPrincipal>, StoreError> {
        let known = [USER, OTHER, ROBOT].into_iter().filter(|principal| ids.contains(&principal.id));
        Ok(known.map(|principal| StoredPrincipal { principal, name: "ada".to_owned(), account_id: None }).collect())
    }

    async fn account_of(&self, _: Scope, _: Uuid) -> Result<Option<Uuid>, StoreError> {
        Ok(None)
    }
}
