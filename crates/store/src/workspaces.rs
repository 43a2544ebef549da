//! Workspaces: their creation in one commit, and what belongs to them. Reads are in [`read`].
//!
//! Slug and quota are decided under the lock of the account's head row: whoever holds it sees every workspace that was
//! let in before, so that neither can be passed twice.

pub(crate) mod read;

use async_trait::async_trait;
use domain::Principal;
use domain::ids::bucket;
use domain::model::{AccountStatus, BackendWorkspace, Environment, Membership, Scope, Workspace};
use domain::ports::{CreateWorkspace, NewWorkspace, Page, Room, Slug, WithRun, WorkspaceFilter, Workspaces, Written};
use saga::{StoreError, Time};
use serde_json::json;
use uuid::Uuid;

use crate::db::{Db, Error, Tx};
use crate::heads::Head;
use crate::{Store, audit, heads, idempotency, memberships, provisioning_runs};

crate::statements! {
    INSERT = shared(
        "insert into workspaces (bucket, id, account_id, name, folded_name, slug, status, region, tenancy_model, holds_quota,
           created_by_kind, created_by_id, created_at, updated_at, revision, permissions_token, run_id, made_by, freeze_revision,
           freeze_applied, labels, termination_protection)
         values ($1, $2, $3, $4, $5, $6, 'provisioning', $7, $8, true, $9, $10, $11, $11, 1, null, $12, $12, 0, 0, $13, $14)",
    );
    INSERT_ALIAS = shared(
        "insert into workspace_aliases (bucket, account_id, folded_name, workspace_id, created_at)
         values ($1, $2, $3, $4, $5) on conflict (bucket, account_id, folded_name) do nothing",
    );
    ACCOUNT_STATUS = shared("select status from accounts where bucket = $1 and id = $2");
    LIVE_SLUGS = shared(
        "select slug from workspaces
         where bucket = $1 and account_id = $2 and status in ('provisioning', 'active') and (slug = $3 or slug like $4)",
    );
    ROOM = shared(
        "select a.status, h.workspaces_live, h.workspaces_max
         from accounts a join account_heads h on h.bucket = a.bucket and h.account_id = a.id
         where a.bucket = $1 and a.id = $2",
    );
}

pub(crate) async fn account_status(tx: &mut Tx, account: Uuid) -> Result<Option<AccountStatus>, Error> {
    let row = tx.query(&ACCOUNT_STATUS).bind(bucket(account)).bind(account).fetch_optional().await?;
    row.map(|row| row.word("status", AccountStatus::parse)).transpose()
}

/// The slug that a workspace would get now; `None` if a given one is taken. Holds under the head row's lock only.
pub(crate) async fn free_slug(tx: &mut Tx, account: Uuid, wanted: &Slug) -> Result<Option<String>, Error> {
    free_slug_besides(tx, account, wanted, Vec::new()).await
}

/// As [`free_slug`], where `also` are taken as well.
pub(crate) async fn free_slug_besides(tx: &mut Tx, account: Uuid, wanted: &Slug, also: Vec<String>) -> Result<Option<String>, Error> {
    let (Slug::Given(base) | Slug::Generated(base)) = wanted;
    let rows = tx.query(&LIVE_SLUGS).bind(bucket(account)).bind(account).bind(base.as_str()).bind(format!("{base}-%")).fetch_all().await?;
    let mut taken = rows.iter().map(|row| row.get("slug")).collect::<Result<std::collections::HashSet<String>, _>>()?;
    taken.extend(also);
    if !taken.contains(base) {
        return Ok(Some(base.clone()));
    }
    match wanted {
        Slug::Given(_) => Ok(None),
        // One of these is free: there is one more of them than are taken.
        Slug::Generated(_) => Ok((2..taken.len() + 3).map(|n| format!("{base}-{n}")).find(|slug| !taken.contains(slug))),
    }
}

/// Gives the workspace its name's alias, if no other of the account has it. Under the head row's lock.
pub(crate) async fn fill_alias(tx: &mut Tx, account: Uuid, folded_name: &str, workspace: Uuid, now: Time) -> Result<(), Error> {
    tx.query(&INSERT_ALIAS).bind(bucket(account)).bind(account).bind(folded_name).bind(workspace).bind(now).execute().await?;
    Ok(())
}

/// What a create came to inside its transaction: anything but `Created` is rolled back whole, its key included.
async fn create(tx: &mut Tx, new: &NewWorkspace) -> Result<CreateWorkspace, Error> {
    let Some(mut head) = heads::lock(tx, new.account_id).await? else { return Ok(CreateWorkspace::AccountNotActive { status: None }) };
    let now = tx.now().await?;
    let answer = insert(tx, &mut head, new, now).await?;
    if matches!(answer, CreateWorkspace::Created { .. }) {
        heads::save(tx, &head).await?;
    }
    Ok(answer)
}

/// The workspace with its name, its creator's membership, its run and its audit entry, under the head row's lock; whoever holds that
/// saves it. What is refused has changed nothing.
pub(crate) async fn insert(tx: &mut Tx, head: &mut Head, new: &NewWorkspace, now: Time) -> Result<CreateWorkspace, Error> {
    let status = account_status(tx, new.account_id).await?;
    if status != Some(AccountStatus::Active) {
        return Ok(CreateWorkspace::AccountNotActive { status });
    }
    let Some(slug) = free_slug(tx, new.account_id, &new.slug).await? else {
        let (Slug::Given(slug) | Slug::Generated(slug)) = &new.slug;
        return Ok(CreateWorkspace::SlugTaken { slug: slug.clone() });
    };
    if head.live >= head.max {
        return Ok(CreateWorkspace::QuotaExceeded { max: head.max });
    }
    head.live += 1;
    tx.query(&INSERT)
        .bind(bucket(new.account_id))
        .bind(new.id)
        .bind(new.account_id)
        .bind(new.name.as_str())
        .bind(new.folded_name.as_str())
        .bind(slug.as_str())
        .bind(new.region.as_str())
        .bind(new.tenancy_model.as_str())
        .bind(new.created_by.kind.as_str())
        .bind(new.created_by.id)
        .bind(now)
        .bind(new.run.id.0)
        .bind(json!(new.labels))
        .bind(new.termination_protection)
        .execute()
        .await?;
    fill_alias(tx, new.account_id, &new.folded_name, new.id, now).await?;
    let membership = Membership { scope: Scope::Workspace, scope_id: new.id, principal: new.created_by, role: new.role };
    memberships::set(tx, &membership, now).await?;
    let turn = head.next_turn(now);
    provisioning_runs::insert(tx, &new.run, turn).await?;
    audit::append(tx, head, &new.audit).await?;
    Ok(CreateWorkspace::Created { slug })
}

/// Accepts one workspace in a transaction of its own.
pub(crate) async fn create_alone(db: &Db, new: &NewWorkspace) -> Result<Written<CreateWorkspace>, Error> {
    let mut tx = db.write().await?;
    if let Some(earlier) = idempotency::enter(&mut tx, new.idempotency.as_ref()).await? {
        tx.rollback().await?;
        return Ok(earlier);
    }
    let answer = create(&mut tx, new).await?;
    if matches!(answer, CreateWorkspace::Created { .. }) {
        tx.commit().await?;
    } else {
        tx.rollback().await?;
    }
    Ok(Written::Done(answer))
}

impl Store {
    async fn room_of(&self, account: Uuid, slug: &Slug) -> Result<Option<Room>, Error> {
        let mut tx = self.db.read().await?;
        let Some(row) = tx.query(&ROOM).bind(bucket(account)).bind(account).fetch_optional().await? else { return Ok(None) };
        Ok(Some(Room {
            status: row.word("status", AccountStatus::parse)?,
            live: row.get("workspaces_live")?,
            max: row.get("workspaces_max")?,
            slug: free_slug(&mut tx, account, slug).await?,
        }))
    }
}

#[async_trait]
impl Workspaces for Store {
    async fn create(&self, new: NewWorkspace) -> Result<Written<CreateWorkspace>, StoreError> {
        self.accept(new).await
    }

    async fn room(&self, account: Uuid, slug: &Slug) -> Result<Option<Room>, StoreError> {
        Ok(self.room_of(account, slug).await?)
    }

    async fn get(&self, id: Uuid) -> Result<Option<Workspace>, StoreError> {
        Ok(self.workspace(id).await?)
    }

    async fn with_run(&self, id: Uuid) -> Result<Option<WithRun>, StoreError> {
        Ok(self.questions.with_runs.ask(id, |ids| self.workspaces_with_runs(ids)).await?.transpose()?)
    }

    async fn list_by_member(&self, members: &[Principal], filter: &WorkspaceFilter, page: Page) -> Result<Vec<Workspace>, StoreError> {
        Ok(self.workspaces_of_member(members, filter, page).await?)
    }

    async fn list_by_account(
        &self,
        account: Uuid,
        member: Option<Principal>,
        filter: &WorkspaceFilter,
        page: Page,
    ) -> Result<Vec<Workspace>, StoreError> {
        Ok(self.workspaces_of_account(account, member, filter, page).await?)
    }

    async fn blocked(&self, ids: &[Uuid]) -> Result<Vec<Workspace>, StoreError> {
        Ok(self.blocked_of(ids).await?)
    }

    async fn environments(&self, workspace: Uuid) -> Result<Vec<Environment>, StoreError> {
        Ok(self.environments_of(workspace).await?)
    }

    async fn backend_workspaces(&self, workspace: Uuid) -> Result<Vec<BackendWorkspace>, StoreError> {
        Ok(self.backend_workspaces_of(workspace).await?)
    }

    async fn memberships(&self, scope: Scope, id: Uuid) -> Result<Vec<Membership>, StoreError> {
        let mut tx = self.db.read().await?;
        Ok(memberships::of_scope(&mut tx, scope, id).await?)
    }
}
