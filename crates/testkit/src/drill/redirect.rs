//! Between the use cases and the store: pins the runs that they ask for to the drilled saga, whichever its version is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::Principal;
use domain::audit::Draft;
use domain::model::{Account, BackendWorkspace, Environment, Membership, Scope, Workspace};
use domain::ports::{
    Accounts, ChangeFreezes, CreateWorkspace, DeleteAnswer, DeleteWorkspace, Deletions, Expired, FreezeAnswer, Freezes, NewAccount, NewRun,
    NewWorkspace, Page, RestoreAnswer, RestoreWorkspace, Room, Slug, StartPurge, ToPurge, Unapplied, WithRun, WorkspaceFilter, Workspaces,
    Written,
};
use saga::{Definition, StoreError};
use store::Store;
use uuid::Uuid;

use super::asking::Kind;

/// The store, with runs pinned to the drilled saga.
pub(super) struct Redirect {
    store: Store,
    to: Mutex<Option<(Kind, Definition)>>,
}

impl Redirect {
    pub fn new(store: Store) -> Self {
        Self { store, to: Mutex::default() }
    }

    /// From now on.
    pub fn to(&self, kind: Kind, definition: Definition) {
        *self.to.lock().unwrap_or_else(PoisonError::into_inner) = Some((kind, definition));
    }

    fn pin(&self, kind: Kind, run: &mut NewRun) {
        if let Some((_, to)) = self.to.lock().unwrap_or_else(PoisonError::into_inner).as_ref().filter(|(of, _)| *of == kind) {
            run.definition = to.id.clone();
            run.total = u32::try_from(to.steps.len()).unwrap_or(u32::MAX);
        }
    }
}

#[async_trait]
impl Accounts for Redirect {
    async fn create(&self, mut new: NewAccount) -> Result<Written<()>, StoreError> {
        self.pin(Kind::Account, &mut new.run);
        Accounts::create(&self.store, new).await
    }

    async fn get(&self, id: Uuid) -> Result<Option<Account>, StoreError> {
        Accounts::get(&self.store, id).await
    }

    async fn list(&self, member: Option<Principal>, page: Page) -> Result<Vec<Account>, StoreError> {
        Accounts::list(&self.store, member, page).await
    }
}

#[async_trait]
impl Workspaces for Redirect {
    async fn create(&self, mut new: NewWorkspace) -> Result<Written<CreateWorkspace>, StoreError> {
        self.pin(Kind::Workspace, &mut new.run);
        Workspaces::create(&self.store, new).await
    }

    async fn room(&self, account: Uuid, slug: &Slug) -> Result<Option<Room>, StoreError> {
        self.store.room(account, slug).await
    }

    async fn get(&self, id: Uuid) -> Result<Option<Workspace>, StoreError> {
        Workspaces::get(&self.store, id).await
    }

    async fn with_run(&self, id: Uuid) -> Result<Option<WithRun>, StoreError> {
        self.store.with_run(id).await
    }

    async fn list_by_member(&self, members: &[Principal], filter: &WorkspaceFilter, page: Page) -> Result<Vec<Workspace>, StoreError> {
        self.store.list_by_member(members, filter, page).await
    }

    async fn list_by_account(
        &self,
        account: Uuid,
        member: Option<Principal>,
        filter: &WorkspaceFilter,
        page: Page,
    ) -> Result<Vec<Workspace>, StoreError> {
        self.store.list_by_account(account, member, filter, page).await
    }

    async fn blocked(&self, ids: &[Uuid]) -> Result<Vec<Workspace>, StoreError> {
        self.store.blocked(ids).await
    }

    async fn environments(&self, workspace: Uuid) -> Result<Vec<Environment>, StoreError> {
        self.store.environments(workspace).await
    }

    async fn backend_workspaces(&self, workspace: Uuid) -> Result<Vec<BackendWorkspace>, StoreError> {
        self.store.backend_workspaces(workspace).await
    }

    async fn memberships(&self, scope: Scope, id: Uuid) -> Result<Vec<Membership>, StoreError> {
        self.store.memberships(scope, id).await
    }
}

#[async_trait]
impl Freezes for Redirect {
    async fn change(&self, mut new: ChangeFreezes) -> Result<FreezeAnswer, StoreError> {
        self.pin(Kind::Freeze, &mut new.run);
        Freezes::change(&self.store, new).await
    }

    async fn expired(&self, limit: u32) -> Result<Expired, StoreError> {
        self.store.expired(limit).await
    }

    async fn expire(&self, workspace: Uuid, audit: Draft) -> Result<bool, StoreError> {
        self.store.expire(workspace, audit).await
    }

    async fn unapplied(&self, limit: u32, rest: Duration) -> Result<Unapplied, StoreError> {
        self.store.unapplied(limit, rest).await
    }

    async fn apply_again(&self, workspace: Uuid, rest: Duration) -> Result<bool, StoreError> {
        self.store.apply_again(workspace, rest).await
    }
}

#[async_trait]
impl Deletions for Redirect {
    async fn delete(&self, mut new: DeleteWorkspace) -> Result<DeleteAnswer, StoreError> {
        self.pin(Kind::Freeze, &mut new.run);
        Deletions::delete(&self.store, new).await
    }

    async fn restore(&self, mut new: RestoreWorkspace) -> Result<Written<RestoreAnswer>, StoreError> {
        self.pin(Kind::Freeze, &mut new.run);
        Deletions::restore(&self.store, new).await
    }

    async fn to_purge(&self, limit: u32, rest: Duration) -> Result<ToPurge, StoreError> {
        self.store.to_purge(limit, rest).await
    }

    async fn purge(&self, mut new: StartPurge) -> Result<bool, StoreError> {
        self.pin(Kind::Purge, &mut new.run);
        Deletions::purge(&self.store, new).await
    }
}
