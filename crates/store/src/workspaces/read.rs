//! Reads of workspaces and what belongs to them. Lists are in key order and never use OFFSET.

use std::collections::HashMap;
use std::time::Duration;

use domain::Principal;
use domain::ids::bucket;
use domain::model::{BackendWorkspace, Environment, EnvironmentName, EnvironmentStatus, TenancyModel, Workspace, WorkspaceStatus};
use domain::ports::{Named, Page, WorkspaceFilter};
use saga::RunId;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::{Cells, Columns, Error, Keys, Query, Rank, Row, Statement, Tx};
use crate::questions::Read;
use crate::{Store, gates, words};

/// What [`workspace`] reads, in the order in which it does, of rows `w`.
macro_rules! columns {
    () => {
        "w.id, w.account_id, w.name, w.slug, w.status, w.region, w.tenancy_model, w.created_by_kind, w.created_by_id, w.created_at,
           w.updated_at, w.revision, w.permissions_token,
           exists (select 1 from membership_changes c
                   where c.bucket = w.bucket and c.scope_id in (w.id, w.account_id) and c.settled_at is null) as roles_unsettled,
           w.run_id, w.made_by, w.labels, w.termination_protection, w.freeze_revision, w.freeze_applied, w.status_before, w.deleted_at,
           w.purge_at, w.purged_at"
    };
}
pub(crate) use columns;

macro_rules! select {
    ($($rest:expr),+) => {
        concat!("select ", columns!(), " from workspaces w ", $($rest),+)
    };
}

/// `$1` to `$10`: what [`filtered`] binds. `$labels` makes rows `w` of the bound list, `$own` rows `h` of a workspace's labels. Freezes are
/// no `exists`, for which PostgreSQL 18 would read all there are.
macro_rules! filter {
    ($contains:literal, $labels:literal, $own:literal) => {
        concat!(
            "(w.id > $1 or $1 is null)
             and (case when w.status = 'purging' then 'deleted' else w.status end = $2
               or ($2 is null and w.status not in ('deleted', 'purging')))
             and w.purged_at is null and (w.region = $3 or $3 is null)
             and (",
            $contains,
            "(w.folded_name, $4) > 0 or $4 is null) and (w.created_at > $5 or $5 is null) and (w.created_at < $6 or $6 is null)
             and (((select 1 from workspace_freezes f where f.bucket = w.bucket and f.workspace_id = w.id
               and (f.expires_at is null or f.expires_at > $9) limit 1) is not null) = $8 or $8 is null)
             and not exists (select 1 from ",
            $labels,
            " where not exists (select 1 from ",
            $own,
            " h where h.key = l.key and (l.value is null or h.value = l.value))) "
        )
    };
    (postgres) => {
        filter!("strpos", "jsonb_to_recordset($10) as l(key text, value text)", "jsonb_each_text(w.labels)")
    };
    (sqlite) => {
        filter!("instr", "(select value->>'key' as key, value->>'value' as value from json_each($10)) l", "json_each(w.labels)")
    };
}

macro_rules! of_member {
    ($database:ident) => {
        select!(
            "join memberships m on m.bucket = w.bucket and m.scope = 'workspace' and m.scope_id = w.id
             where m.principal_id = $11 and m.principal_kind = $12
               and (exists (select 1 from memberships o where o.bucket = w.bucket and o.scope = 'workspace' and o.scope_id = w.id
                              and o.principal_id = $13) or $13 is null) and ",
            filter!($database),
            "order by w.id limit $7"
        )
    };
}

macro_rules! of_account {
    ($database:ident) => {
        select!("where w.account_id = $11 and w.bucket = $12 and ", filter!($database), "order by w.id limit $7")
    };
}

macro_rules! of_account_and_member {
    ($database:ident) => {
        select!(
            "join memberships m on m.bucket = w.bucket and m.scope = 'workspace' and m.scope_id = w.id
             where w.account_id = $11 and w.bucket = $12 and m.principal_id = $13 and m.principal_kind = $14 and ",
            filter!($database),
            "order by w.id limit $7"
        )
    };
}

macro_rules! blocked {
    () => {
        "where exists (select 1 from workspace_freezes f where f.bucket = w.bucket and f.workspace_id = w.id and f.mode = 'blocked'
           and (f.expires_at is null or f.expires_at > $2))"
    };
}

crate::statements! {
    GET = shared(select!("where w.bucket = $1 and w.id = $2"));
    GET_ALL = split(
        concat!(
            "select t.* from unnest((select $1::smallint[]), (select $2::uuid[])) as k(bucket, id) cross join lateral (",
            select!("where w.bucket = k.bucket and w.id = k.id offset 0"),
            ") t"
        ),
        select!("join json_each($1) k on w.bucket = k.value->>0 and w.id = unhex(k.value->>1)"),
    );
    LOCK = split(select!("where w.bucket = $1 and w.id = $2 for update"), select!("where w.bucket = $1 and w.id = $2"));
    ALIAS = shared(select!(
        "join workspace_aliases a on a.bucket = w.bucket and a.workspace_id = w.id
         where a.bucket = $1 and a.account_id = $2 and a.folded_name = $3"
    ));
    LIVE_NAMED = shared(select!(
        "where w.bucket = $1 and w.account_id = $2 and w.folded_name = $3 and w.status in ('provisioning', 'active') order by w.id limit 100"
    ));
    // What is held, or has a run at work, must not stand in the way of the others.
    TO_PURGE = shared(select!(
        "where w.status = 'deleted' and w.purge_at <= $1
           and not exists (select 1 from workspace_freezes f where f.bucket = w.bucket and f.workspace_id = w.id
             and f.source in ('security', 'legal') and (f.expires_at is null or f.expires_at > $1))
           and not exists (select 1 from provisioning_runs r where r.bucket = w.bucket and r.workspace_id = w.id
             and r.exclusive and not r.terminal)
         order by w.purge_at, w.id limit $2"
    ));
    BLOCKED = split(
        select!("join jsonb_to_recordset($1) as k(bucket smallint, id uuid) on k.bucket = w.bucket and k.id = w.id ", blocked!()),
        select!("join json_each($1) k on w.bucket = k.value->>'bucket' and w.id = unhex(k.value->>'id') ", blocked!()),
    );
    HALF_PURGED = shared(select!(
        "where w.status = 'purging' and w.purged_at is null
           and exists (select 1 from provisioning_runs r where r.bucket = w.bucket and r.id = w.run_id and r.terminal and r.updated_at <= $1)
         order by w.id limit $2"
    ));
    OF_MEMBER = split(of_member!(postgres), of_member!(sqlite));
    OF_ACCOUNT = split(of_account!(postgres), of_account!(sqlite));
    OF_ACCOUNT_AND_MEMBER = split(of_account_and_member!(postgres), of_account_and_member!(sqlite));
    ENVIRONMENTS = shared(
        "select id, workspace_id, name, is_default, status, created_at from environments
         where bucket = $1 and workspace_id = $2 order by id",
    );
    BACKEND_WORKSPACES = shared(
        "select id, workspace_id, environment_id, backend, locator, created_at, login_open from backend_workspaces
         where bucket = $1 and workspace_id = $2 order by id",
    );
}

async fn filtered<'t>(tx: &'t mut Tx, statement: &'static Statement, filter: &WorkspaceFilter, page: Page) -> Result<Query<'t>, Error> {
    let now = tx.now().await?;
    let labels: Value = filter.labels.iter().map(|label| json!({"key": label.key, "value": label.value})).collect();
    Ok(tx
        .query(statement)
        .bind(page.after)
        .bind(filter.status.map(WorkspaceStatus::as_str))
        .bind(filter.region.as_deref())
        .bind(filter.name_contains.as_ref().map(|text| text.to_lowercase()))
        .bind(filter.created_after)
        .bind(filter.created_before)
        .bind(i64::from(page.limit))
        .bind(filter.frozen)
        .bind(now)
        .bind(labels))
}

/// The workspace in the next of a row's cells, without its freezes.
pub(crate) fn workspace(cells: &mut Cells<'_>) -> Result<Workspace, Error> {
    Ok(Workspace {
        id: cells.get()?,
        account_id: cells.get()?,
        name: cells.get()?,
        slug: cells.get()?,
        status: cells.word(WorkspaceStatus::parse)?,
        region: cells.get()?,
        tenancy_model: cells.word(TenancyModel::parse)?,
        created_by: words::next_principal(cells)?,
        created_at: cells.get()?,
        updated_at: cells.get()?,
        revision: cells.get()?,
        permissions_token: cells.get()?,
        roles_unsettled: cells.get()?,
        run_id: RunId(cells.get()?),
        made_by: RunId(cells.get()?),
        labels: cells.json()?,
        termination_protection: cells.get()?,
        freezes: Vec::new(),
        freeze_revision: cells.get()?,
        freeze_applied: cells.get()?,
        status_before: cells.optional_word(WorkspaceStatus::parse)?,
        deleted_at: cells.get()?,
        purge_at: cells.get()?,
        purged_at: cells.get()?,
    })
}

/// With the freezes in force.
async fn workspaces(tx: &mut Tx, rows: &[Row]) -> Result<Vec<Workspace>, Error> {
    let mut workspaces = rows.iter().map(|row| workspace(&mut row.cells())).collect::<Result<Vec<_>, _>>()?;
    add_freezes(tx, workspaces.iter_mut()).await?;
    Ok(workspaces)
}

/// Puts in the freezes in force; asked only about those that ever had one.
pub(crate) async fn add_freezes(tx: &mut Tx, workspaces: impl Iterator<Item = &mut Workspace>) -> Result<(), Error> {
    let frozen_once: Vec<&mut Workspace> = workspaces.filter(|workspace| was_frozen(workspace)).collect();
    if frozen_once.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = frozen_once.iter().map(|workspace| workspace.id).collect();
    let mut freezes = gates::in_force(tx, &ids).await?;
    for workspace in frozen_once {
        workspace.freezes = freezes.remove(&workspace.id).unwrap_or_default();
    }
    Ok(())
}

/// At any time: each freeze raises the revision.
fn was_frozen(workspace: &Workspace) -> bool {
    workspace.freeze_revision > 0
}

/// Those that have to be read again together with their freezes, in one moment.
pub(crate) fn frozen_once<T>(found: &HashMap<Uuid, Read<T>>, workspace: impl Fn(&T) -> &Workspace) -> Vec<Uuid> {
    let is_one = |read: &Read<T>| read.as_ref().is_ok_and(|read| was_frozen(workspace(read)));
    found.iter().filter(|(_, read)| is_one(read)).map(|(id, _)| *id).collect()
}

/// The workspace, locked against everybody who changes it and everybody who passes its gate.
pub(crate) async fn lock(tx: &mut Tx, id: Uuid) -> Result<Option<Workspace>, Error> {
    tx.locks(Rank::Subject);
    let row = tx.query(&LOCK).bind(bucket(id)).bind(id).fetch_optional().await?;
    Ok(workspaces(tx, row.as_slice()).await?.pop())
}

/// Deleted workspaces whose time is over and which nothing holds.
pub(crate) async fn to_purge(tx: &mut Tx, limit: u32) -> Result<Vec<Workspace>, Error> {
    let now = tx.now().await?;
    let rows = tx.query(&TO_PURGE).bind(now).bind(i64::from(limit)).fetch_all().await?;
    workspaces(tx, &rows).await
}

/// Workspaces whose purge has ended, `rest` ago at least, before they were gone.
pub(crate) async fn half_purged(tx: &mut Tx, limit: u32, rest: Duration) -> Result<Vec<Workspace>, Error> {
    let now = tx.now().await?;
    let rows = tx.query(&HALF_PURGED).bind(now - rest).bind(i64::from(limit)).fetch_all().await?;
    workspaces(tx, &rows).await
}

fn environment(row: &Row) -> Result<Environment, Error> {
    Ok(Environment {
        id: row.get("id")?,
        workspace_id: row.get("workspace_id")?,
        name: row.word("name", EnvironmentName::parse)?,
        is_default: row.get("is_default")?,
        status: row.word("status", EnvironmentStatus::parse)?,
        created_at: row.get("created_at")?,
    })
}

fn backend_workspace(row: &Row) -> Result<BackendWorkspace, Error> {
    Ok(BackendWorkspace {
        id: row.get("id")?,
        workspace_id: row.get("workspace_id")?,
        environment_id: row.get("environment_id")?,
        backend: row.get("backend")?,
        locator: row.get("locator")?,
        created_at: row.get("created_at")?,
        login_open: row.get("login_open")?,
    })
}

pub(crate) async fn workspace_of(tx: &mut Tx, id: Uuid) -> Result<Option<Workspace>, Error> {
    let row = tx.query(&GET).bind(bucket(id)).bind(id).fetch_optional().await?;
    Ok(workspaces(tx, row.as_slice()).await?.pop())
}

pub(crate) async fn environments_of(tx: &mut Tx, workspace: Uuid) -> Result<Vec<Environment>, Error> {
    let rows = tx.query(&ENVIRONMENTS).bind(bucket(workspace)).bind(workspace).fetch_all().await?;
    rows.iter().map(environment).collect()
}

pub(crate) async fn backend_workspaces_of(tx: &mut Tx, workspace: Uuid) -> Result<Vec<BackendWorkspace>, Error> {
    let rows = tx.query(&BACKEND_WORKSPACES).bind(bucket(workspace)).bind(workspace).fetch_all().await?;
    rows.iter().map(backend_workspace).collect()
}

impl Store {
    pub(super) async fn workspace(&self, id: Uuid) -> Result<Option<Workspace>, Error> {
        self.questions.workspaces.ask(id, |ids| self.workspaces_of(ids)).await?.transpose()
    }

    async fn workspaces_of(&self, ids: Vec<Uuid>) -> Result<HashMap<Uuid, Read<Workspace>>, Error> {
        let rows = self.db.ask(&GET_ALL).bind(Columns::default().keys(ids)).fetch_all().await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            found.insert(row.get("id")?, workspace(&mut row.cells()));
        }
        let frozen_once = frozen_once(&found, |workspace| workspace);
        if !frozen_once.is_empty() {
            let mut tx = self.db.read().await?;
            let rows = tx.query(&GET_ALL).bind(Columns::default().keys(frozen_once)).fetch_all().await?;
            found.extend(workspaces(&mut tx, &rows).await?.into_iter().map(|workspace| (workspace.id, Ok(workspace))));
        }
        Ok(found)
    }

    pub(super) async fn blocked_of(&self, ids: &[Uuid]) -> Result<Vec<Workspace>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.db.read().await?;
        let now = tx.now().await?;
        let rows = tx.query(&BLOCKED).bind(Keys::new(ids.iter().copied())).bind(now).fetch_all().await?;
        workspaces(&mut tx, &rows).await
    }

    pub(crate) async fn workspaces_named(&self, account: Uuid, folded_name: &str) -> Result<Named, Error> {
        let mut tx = self.db.read().await?;
        let alias = tx.query(&ALIAS).bind(bucket(account)).bind(account).bind(folded_name).fetch_optional().await?;
        let live = tx.query(&LIVE_NAMED).bind(bucket(account)).bind(account).bind(folded_name).fetch_all().await?;
        Ok(Named { alias: workspaces(&mut tx, alias.as_slice()).await?.pop(), live: workspaces(&mut tx, &live).await? })
    }

    pub(super) async fn workspaces_of_member(
        &self,
        members: &[Principal],
        filter: &WorkspaceFilter,
        page: Page,
    ) -> Result<Vec<Workspace>, Error> {
        let (member, other) = match members {
            [one] => (one, None),
            [one, other] => (one, Some(other.id)),
            _ => return Err(Error::broken(format!("workspaces of {} members at once", members.len()))),
        };
        let mut tx = self.db.read().await?;
        let query = filtered(&mut tx, &OF_MEMBER, filter, page).await?.bind(member.id).bind(member.kind.as_str()).bind(other);
        let rows = query.fetch_all().await?;
        workspaces(&mut tx, &rows).await
    }

    pub(super) async fn workspaces_of_account(
        &self,
        account: Uuid,
        member: Option<Principal>,
        filter: &WorkspaceFilter,
        page: Page,
    ) -> Result<Vec<Workspace>, Error> {
        let mut tx = self.db.read().await?;
        let statement = if member.is_some() { &OF_ACCOUNT_AND_MEMBER } else { &OF_ACCOUNT };
        let mut query = filtered(&mut tx, statement, filter, page).await?.bind(account).bind(bucket(account));
        if let Some(member) = member {
            query = query.bind(member.id).bind(member.kind.as_str());
        }
        let rows = query.fetch_all().await?;
        workspaces(&mut tx, &rows).await
    }

    pub(super) async fn environments_of(&self, workspace: Uuid) -> Result<Vec<Environment>, Error> {
        environments_of(&mut self.db.read().await?, workspace).await
    }

    pub(super) async fn backend_workspaces_of(&self, workspace: Uuid) -> Result<Vec<BackendWorkspace>, Error> {
        backend_workspaces_of(&mut self.db.read().await?, workspace).await
    }
}
