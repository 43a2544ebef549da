//! The freezes of a workspace: a set, changed under the workspace's lock. What passes the gate holds that lock shared, so
//! that a freeze waits for it, and nothing passes afterwards. How a set is carried on is in [`apply`].

pub(crate) mod apply;

use std::time::Duration;

use async_trait::async_trait;
use domain::Principal;
use domain::audit::Draft;
use domain::ids::bucket;
use domain::model::{Freeze, FreezeSource, Workspace, WorkspaceStatus};
use domain::ports::{ChangeFreezes, Expired, FreezeAnswer, FreezeChange, Freezes, Shut, Unapplied};
use domain::workspaces::status::{SAGA, audited};
use saga::journal::Ending;
use saga::{RunId, StoreError, Time};
use serde_json::json;
use uuid::Uuid;

use crate::changes::started_entry;
use crate::db::{Error, Tx};
use crate::workspaces::read::lock;
use crate::{Store, audit, gates, heads};

macro_rules! unapplied {
    ($select:literal, $rest:literal) => {
        concat!(
            $select,
            " from workspaces w join provisioning_runs r on r.bucket = w.bucket and r.workspace_id = w.id
             where w.freeze_applied < w.freeze_revision and w.status <> 'purging' and r.terminal and r.ending <> 'succeeded'
               and r.id = (select l.id from provisioning_runs l where l.bucket = w.bucket and l.workspace_id = w.id and l.saga = $1
                           order by l.created_at desc, l.id desc limit 1) and ",
            $rest
        )
    };
}

crate::statements! {
    PUT = shared(
        "insert into workspace_freezes (bucket, workspace_id, source, mode, reason_code, note, created_by_kind, created_by_id, created_at,
           expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict (bucket, workspace_id, source) do update set mode = excluded.mode, reason_code = excluded.reason_code,
           note = excluded.note, created_by_kind = excluded.created_by_kind, created_by_id = excluded.created_by_id,
           created_at = excluded.created_at, expires_at = excluded.expires_at",
    );
    LIFT = shared("delete from workspace_freezes where bucket = $1 and workspace_id = $2 and source = $3");
    OVER = shared(
        "select workspace_id, source, mode, reason_code, note, created_by_kind, created_by_id, created_at, expires_at
         from workspace_freezes where bucket = $1 and workspace_id = $2 and expires_at <= $3 order by source",
    );
    EXPIRED = shared(
        "select f.workspace_id, w.account_id from workspace_freezes f join workspaces w on w.bucket = f.bucket and w.id = f.workspace_id
         where f.expires_at <= $1 order by f.expires_at, f.workspace_id limit $2",
    );
    NEXT = shared("select min(expires_at) as next from workspace_freezes where expires_at > $1");
    // Their latest run has ended without success: none has come since, because whoever moves the set sees to one.
    UNAPPLIED = shared(unapplied!("select w.id", "r.updated_at <= $2 order by r.updated_at, w.id limit $3"));
    NEXT_UNAPPLIED = shared(unapplied!("select min(r.updated_at) as ended_at", "r.updated_at > $2"));
    BACKENDS = shared("select id, login_revision from backend_workspaces where bucket = $1 and workspace_id = $2 order by id");
}

/// Sets a freeze in the place of its source's earlier one. Under the workspace's lock, before [`apply::raise`].
pub(crate) async fn put(tx: &mut Tx, workspace: Uuid, freeze: &Freeze) -> Result<(), Error> {
    tx.query(&PUT)
        .bind(bucket(workspace))
        .bind(workspace)
        .bind(freeze.source.as_str())
        .bind(freeze.mode.as_str())
        .bind(freeze.code.as_str())
        .bind(freeze.note.as_deref())
        .bind(freeze.created_by.kind.as_str())
        .bind(freeze.created_by.id)
        .bind(freeze.created_at)
        .bind(freeze.expires_at)
        .execute()
        .await?;
    Ok(())
}

/// As [`put`].
pub(crate) async fn lift(tx: &mut Tx, workspace: Uuid, source: FreezeSource) -> Result<(), Error> {
    tx.query(&LIFT).bind(bucket(workspace)).bind(workspace).bind(source.as_str()).execute().await?;
    Ok(())
}

/// What rules the change out before anything is changed.
fn refusal(new: &ChangeFreezes, workspace: &Workspace, now: Time) -> Option<FreezeAnswer> {
    let is_expected = new.if_match.as_ref().is_none_or(|expected| expected.takes(workspace.revision));
    if !is_expected {
        return Some(FreezeAnswer::OtherRevision { revision: workspace.revision });
    }
    if !new.change.transition().is_allowed(workspace.status, new.change.sources()) {
        return Some(FreezeAnswer::NotAllowed { status: workspace.status });
    }
    (!new.change.expires_in_range(now)).then_some(FreezeAnswer::ExpiresOutOfRange { now })
}

async fn shut(tx: &mut Tx, workspace: Workspace, run: Option<RunId>, changed: bool) -> Result<FreezeAnswer, Error> {
    let rows = tx.query(&BACKENDS).bind(bucket(workspace.id)).bind(workspace.id).fetch_all().await?;
    let backends = rows.iter().map(|row| Ok((row.get("id")?, row.get("login_revision")?))).collect::<Result<_, Error>>()?;
    Ok(FreezeAnswer::Done(Box::new(Shut { workspace, run, backends, changed })))
}

/// The entry of a change of the set, at the end of its account's chain.
async fn record(tx: &mut Tx, head: &mut heads::Head, draft: &Draft, sets: [&[Freeze]; 2], run: Option<RunId>) -> Result<(), Error> {
    let entry = Draft { before: Some(audited(sets[0])), after: Some(audited(sets[1])), run_id: run, ..draft.clone() };
    audit::append(tx, head, &entry).await.map(drop)
}

impl Store {
    async fn change_freezes(&self, new: &ChangeFreezes) -> Result<FreezeAnswer, Error> {
        let mut tx = self.db.write().await?;
        let workspace = lock(&mut tx, new.workspace_id).await?;
        let mut workspace = workspace.ok_or_else(|| Error::broken(format!("there is no workspace {}", new.workspace_id)))?;
        let now = tx.now().await?;
        if let Some(refusal) = refusal(new, &workspace, now) {
            tx.rollback().await?;
            return Ok(refusal);
        }
        let before = std::mem::take(&mut workspace.freezes);
        let after = new.change.on(&before, new.by, now);
        if after == before {
            workspace.freezes = before;
            let run = apply::latest(&mut tx, workspace.id).await?.map(|run| run.id);
            let answer = shut(&mut tx, workspace, run, false).await?;
            tx.rollback().await?;
            return Ok(answer);
        }
        match &new.change {
            FreezeChange::Freeze { source, .. } => {
                for freeze in after.iter().filter(|f| f.source == *source) {
                    put(&mut tx, workspace.id, freeze).await?;
                }
            }
            FreezeChange::Unfreeze { sources } => {
                for source in sources {
                    lift(&mut tx, workspace.id, *source).await?;
                }
            }
        }
        apply::raise(&mut tx, workspace.id, now).await?;
        let alive = apply::hold(&mut tx, workspace.account_id, workspace.id, Some(!after.is_empty()), &actor(new.by)).await?;
        let mut head = heads::lock_known(&mut tx, workspace.account_id).await?;
        let run = apply::apply(&mut tx, &mut head, workspace.id, alive, Some(&new.run)).await?;
        record(&mut tx, &mut head, &new.audit, [&before, &after], Some(run)).await?;
        heads::save(&mut tx, &head).await?;
        let workspace = Workspace {
            freezes: after,
            freeze_revision: workspace.freeze_revision + 1,
            revision: workspace.revision + 1,
            updated_at: now,
            ..workspace
        };
        let answer = shut(&mut tx, workspace, Some(run), true).await?;
        tx.commit().await?;
        Ok(answer)
    }

    async fn expired_freezes(&self, limit: u32) -> Result<Expired, Error> {
        let mut tx = self.db.read().await?;
        let now = tx.now().await?;
        let rows = tx.query(&EXPIRED).bind(now).bind(i64::from(limit)).fetch_all().await?;
        let mut due = rows.iter().map(|row| Ok((row.get("account_id")?, row.get("workspace_id")?))).collect::<Result<Vec<_>, Error>>()?;
        due.sort_unstable();
        due.dedup();
        let next: Option<Time> = tx.query(&NEXT).bind(now).fetch_one().await?.get("next")?;
        Ok(Expired { due, next: next.map(|at| at.since(now)) })
    }

    async fn expire_freezes(&self, id: Uuid, entry: &Draft) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let workspace = lock(&mut tx, id).await?.ok_or_else(|| Error::broken(format!("there is no workspace {id}")))?;
        let now = tx.now().await?;
        let rows = tx.query(&OVER).bind(bucket(id)).bind(id).bind(now).fetch_all().await?;
        if rows.is_empty() {
            tx.rollback().await?;
            return Ok(false);
        }
        let mut before = rows.iter().map(gates::freeze).collect::<Result<Vec<_>, _>>()?;
        for freeze in &before {
            lift(&mut tx, id, freeze.source).await?;
        }
        let after = workspace.freezes;
        before.extend(after.iter().cloned());
        before.sort_by_key(|f| f.source.as_str());
        apply::raise(&mut tx, id, now).await?;
        // What is being purged has no login left to be opened.
        let is_carried = workspace.status != WorkspaceStatus::Purging;
        let alive =
            if is_carried { apply::hold(&mut tx, workspace.account_id, id, Some(!after.is_empty()), &json!(null)).await? } else { None };
        let mut head = heads::lock_known(&mut tx, workspace.account_id).await?;
        let run = if is_carried { Some(apply::apply(&mut tx, &mut head, id, alive, None).await?) } else { None };
        record(&mut tx, &mut head, entry, [&before, &after], run).await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await?;
        Ok(true)
    }
}

impl Store {
    async fn unapplied_freezes(&self, limit: u32, rest: Duration) -> Result<Unapplied, Error> {
        let mut tx = self.db.read().await?;
        let since = tx.now().await? - rest;
        let rows = tx.query(&UNAPPLIED).bind(SAGA).bind(since).bind(i64::from(limit)).fetch_all().await?;
        let due = rows.iter().map(|row| row.get("id")).collect::<Result<_, _>>()?;
        let next: Option<Time> = tx.query(&NEXT_UNAPPLIED).bind(SAGA).bind(since).fetch_one().await?.get("ended_at")?;
        Ok(Unapplied { due, next: next.map(|at| at.since(since)) })
    }

    async fn apply_freezes_again(&self, id: Uuid, rest: Duration) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let workspace = lock(&mut tx, id).await?.ok_or_else(|| Error::broken(format!("there is no workspace {id}")))?;
        let now = tx.now().await?;
        let is_left = workspace.freeze_applied < workspace.freeze_revision
            && workspace.status != WorkspaceStatus::Purging
            && match apply::latest(&mut tx, id).await? {
                Some(run) => run.ending.is_some_and(|ending| ending != Ending::Succeeded) && run.updated_at <= now - rest,
                None => false,
            };
        if !is_left {
            tx.rollback().await?;
            return Ok(false);
        }
        let mut head = heads::lock_known(&mut tx, workspace.account_id).await?;
        let run = apply::apply(&mut tx, &mut head, id, None, None).await?;
        audit::append(&mut tx, &mut head, &started_entry(workspace.account_id, id, run, now)).await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// As a request names who asked.
fn actor(principal: Principal) -> serde_json::Value {
    json!(principal)
}

#[async_trait]
impl Freezes for Store {
    async fn change(&self, new: ChangeFreezes) -> Result<FreezeAnswer, StoreError> {
        Ok(self.db.attempt(|| self.change_freezes(&new)).await?)
    }

    async fn expired(&self, limit: u32) -> Result<Expired, StoreError> {
        Ok(self.expired_freezes(limit).await?)
    }

    async fn expire(&self, workspace: Uuid, audit: Draft) -> Result<bool, StoreError> {
        Ok(self.db.attempt(|| self.expire_freezes(workspace, &audit)).await?)
    }

    async fn unapplied(&self, limit: u32, rest: Duration) -> Result<Unapplied, StoreError> {
        Ok(self.unapplied_freezes(limit, rest).await?)
    }

    async fn apply_again(&self, workspace: Uuid, rest: Duration) -> Result<bool, StoreError> {
        Ok(self.db.attempt(|| self.apply_freezes_again(workspace, rest)).await?)
    }
}
