//! Deletion, restore and the beginning of a purge, each under the workspace's lock: whoever comes second sees what the
//! first has made of it.

use std::time::Duration;

use async_trait::async_trait;
use domain::audit::Draft;
use domain::ids::bucket;
use domain::model::{Freeze, FreezeMode, FreezeSource, Workspace, WorkspaceStatus};
use domain::ports::{
    DeleteAnswer, DeleteWorkspace, Deletions, Ended, Idempotency, RestoreAnswer, RestoreWorkspace, Slug, StartPurge, ToPurge, Written,
};
use domain::workspaces::delete::{HOLDING, REASON};
use domain::workspaces::status::Transition;
use saga::{RunId, StoreError, Time};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::{Error, Tx};
use crate::freezes::{self, apply};
use crate::workspaces::{free_slug, read};
use crate::{Store, audit, heads, idempotency, provisioning_runs};

crate::statements! {
    DELETE = shared(
        "update workspaces set status = 'deleted', status_before = status, deleted_at = $3, purge_at = $4 where bucket = $1 and id = $2",
    );
    RESTORE = shared(
        "update workspaces set status = status_before, status_before = null, deleted_at = null, purge_at = null, slug = $3
         where bucket = $1 and id = $2",
    );
    PURGE = shared(
        "update workspaces set status = 'purging', run_id = $3, updated_at = $4, revision = revision + 1
         where bucket = $1 and id = $2 and status in ('deleted', 'purging')",
    );
    LIVE_RUN = shared(
        "select id from provisioning_runs where bucket = $1 and workspace_id = $2 and exclusive and not terminal",
    );
    NEXT = shared("select min(purge_at) as next from workspaces where status = 'deleted' and purge_at > $1");
    NEXT_AGAIN = shared(
        "select min(r.updated_at) as ended_at from workspaces w join provisioning_runs r on r.bucket = w.bucket and r.id = w.run_id
         where w.status = 'purging' and w.purged_at is null and r.terminal and r.updated_at > $1",
    );
}

async fn live_run(tx: &mut Tx, workspace: Uuid) -> Result<Option<RunId>, Error> {
    let row = tx.query(&LIVE_RUN).bind(bucket(workspace)).bind(workspace).fetch_optional().await?;
    row.map(|row| row.get("id").map(RunId)).transpose()
}

fn holding(freezes: &[Freeze]) -> Vec<Freeze> {
    freezes.iter().filter(|freeze| HOLDING.contains(&freeze.source)).cloned().collect()
}

fn audited(workspace: &Workspace) -> Value {
    json!({ "status": workspace.status, "slug": workspace.slug, "purge_at": workspace.purge_at })
}

/// What rules a deletion out.
async fn refusal(tx: &mut Tx, new: &DeleteWorkspace, workspace: &Workspace) -> Result<Option<DeleteAnswer>, Error> {
    if matches!(workspace.status, WorkspaceStatus::Deleted | WorkspaceStatus::Purging) {
        let apply = apply::latest(tx, workspace.id).await?.map(|run| run.id);
        return Ok(Some(DeleteAnswer::Already(Box::new(Ended { workspace: workspace.clone(), apply }))));
    }
    if !new.if_match.takes(workspace.revision) {
        return Ok(Some(DeleteAnswer::OtherRevision { revision: workspace.revision }));
    }
    if let Some(run) = live_run(tx, workspace.id).await? {
        return Ok(Some(DeleteAnswer::RunInProgress { run }));
    }
    if !Transition::Delete.is_allowed(workspace.status, &[]) {
        return Ok(Some(DeleteAnswer::NotAllowed { status: workspace.status }));
    }
    let held = holding(&workspace.freezes);
    if !held.is_empty() {
        return Ok(Some(DeleteAnswer::Held(held)));
    }
    Ok(workspace.termination_protection.then_some(DeleteAnswer::Protected))
}

/// Carries on what has become of a workspace's freezes, and records it: the last part of a deletion and of a restore.
async fn finish(
    tx: &mut Tx,
    before: &Workspace,
    mut after: Workspace,
    draft: &Draft,
    new: &domain::ports::NewRun,
    now: Time,
) -> Result<Ended, Error> {
    apply::raise(tx, after.id, now).await?;
    let alive = apply::hold(tx, after.account_id, after.id, None, &json!(new.created_by)).await?;
    let mut head = heads::lock_known(tx, after.account_id).await?;
    let run = apply::apply(tx, &mut head, after.id, alive, Some(new)).await?;
    let entry = Draft { before: Some(audited(before)), after: Some(audited(&after)), run_id: Some(run), ..draft.clone() };
    audit::append(tx, &mut head, &entry).await?;
    heads::save(tx, &head).await?;
    after.freeze_revision += 1;
    after.revision += 1;
    after.updated_at = now;
    Ok(Ended { workspace: after, apply: Some(run) })
}

impl Store {
    async fn delete_workspace(&self, new: &DeleteWorkspace) -> Result<DeleteAnswer, Error> {
        let mut tx = self.db.write().await?;
        let workspace = read::lock(&mut tx, new.workspace_id).await?;
        let Some(before) = workspace.filter(|workspace| workspace.purged_at.is_none()) else { return Ok(DeleteAnswer::Gone) };
        if let Some(refusal) = refusal(&mut tx, new, &before).await? {
            return Ok(refusal);
        }
        let now = tx.now().await?;
        let mut after = before.clone();
        after.status = WorkspaceStatus::Deleted;
        after.status_before = Some(before.status);
        (after.deleted_at, after.purge_at) = (Some(now), Some(now + new.purge_after));
        let freeze = Freeze {
            source: FreezeSource::Deletion,
            mode: FreezeMode::Blocked,
            code: REASON.to_owned(),
            note: None,
            created_by: new.by,
            created_at: now,
            expires_at: None,
        };
        freezes::put(&mut tx, after.id, &freeze).await?;
        after.freezes.push(freeze);
        after.freezes.sort_by_key(|f| f.source.as_str());
        tx.query(&DELETE).bind(bucket(after.id)).bind(after.id).bind(after.deleted_at).bind(after.purge_at).execute().await?;
        let ended = finish(&mut tx, &before, after, &new.audit, &new.run, now).await?;
        tx.commit().await?;
        Ok(DeleteAnswer::Deleted(Box::new(ended)))
    }

    async fn restore_workspace(&self, new: &RestoreWorkspace) -> Result<Written<RestoreAnswer>, Error> {
        let mut tx = self.db.write().await?;
        // How it will be answered is not known yet; nobody reads it before the commit.
        let unanswered = domain::ports::Answer { status: 0, location: None, body: Value::Null };
        let keyed = new.idempotency.as_ref().map(|keyed| Idempotency { key: keyed.key.clone(), answer: unanswered });
        if let Some(earlier) = idempotency::enter(&mut tx, keyed.as_ref()).await? {
            return Ok(earlier);
        }
        let workspace = read::lock(&mut tx, new.workspace_id).await?;
        let Some(before) = workspace.filter(|workspace| workspace.purged_at.is_none()) else {
            return Ok(Written::Done(RestoreAnswer::Gone));
        };
        let (true, Some(status)) = (Transition::Restore.is_allowed(before.status, &[]), before.status_before) else {
            return Ok(Written::Done(RestoreAnswer::NotAllowed { status: before.status }));
        };
        let mut after = Workspace { status, status_before: None, deleted_at: None, purge_at: None, ..before.clone() };
        if let Some(slug) = &new.slug {
            slug.clone_into(&mut after.slug);
        }
        after.freezes.retain(|f| f.source != FreezeSource::Deletion);
        let now = tx.now().await?;
        freezes::lift(&mut tx, after.id, FreezeSource::Deletion).await?;
        let ended = finish(&mut tx, &before, after, &new.audit, &new.run, now).await?;
        // Under the head row's lock, as every slug; a failed one holds none.
        let wanted = Slug::Given(ended.workspace.slug.clone());
        let holds_slug = status != WorkspaceStatus::Failed || new.slug.is_some();
        if holds_slug && free_slug(&mut tx, ended.workspace.account_id, &wanted).await?.is_none() {
            tx.rollback().await?;
            return Ok(Written::Done(RestoreAnswer::SlugTaken { slug: ended.workspace.slug }));
        }
        let id = ended.workspace.id;
        tx.query(&RESTORE).bind(bucket(id)).bind(id).bind(ended.workspace.slug.as_str()).execute().await?;
        if let Some(keyed) = &new.idempotency {
            idempotency::answer(&mut tx, &keyed.key, &(keyed.answer)(&ended)).await?;
        }
        tx.commit().await?;
        Ok(Written::Done(RestoreAnswer::Restored(Box::new(ended))))
    }

    async fn due_for_purge(&self, limit: u32, rest: Duration) -> Result<ToPurge, Error> {
        let mut tx = self.db.read().await?;
        let mut due = read::to_purge(&mut tx, limit).await?;
        due.extend(read::half_purged(&mut tx, limit, rest).await?);
        let now = tx.now().await?;
        let next: Option<Time> = tx.query(&NEXT).bind(now).fetch_one().await?.get("next")?;
        let ended: Option<Time> = tx.query(&NEXT_AGAIN).bind(now - rest).fetch_one().await?.get("ended_at")?;
        let next = next.into_iter().chain(ended.map(|at| at + rest)).min();
        Ok(ToPurge { due, next: next.map(|at| at.since(now)) })
    }

    async fn start_purge(&self, new: &StartPurge) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let Some(workspace) = read::lock(&mut tx, new.workspace_id).await? else { return Ok(false) };
        let now = tx.now().await?;
        let is_due = workspace.revision == new.revision
            && match workspace.status {
                // Its purge was given up half-way, and there is no way back.
                WorkspaceStatus::Purging => {
                    workspace.purged_at.is_none() && provisioning_runs::rests_since(&mut tx, workspace.run_id, now - new.rest).await?
                }
                status => {
                    Transition::Purge.is_allowed(status, &[])
                        && workspace.purge_at.is_some_and(|at| at <= now)
                        && holding(&workspace.freezes).is_empty()
                }
            };
        if !is_due || live_run(&mut tx, workspace.id).await?.is_some() {
            return Ok(false);
        }
        let mut head = heads::lock_known(&mut tx, workspace.account_id).await?;
        let now = tx.now().await?;
        let query = tx.query(&PURGE).bind(bucket(workspace.id)).bind(workspace.id).bind(new.run.id.0).bind(now);
        if query.execute().await? != 1 {
            return Ok(false);
        }
        let turn = head.next_turn(now);
        provisioning_runs::insert(&mut tx, &new.run, turn).await?;
        audit::append(&mut tx, &mut head, &new.audit).await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await?;
        Ok(true)
    }
}

#[async_trait]
impl Deletions for Store {
    async fn delete(&self, new: DeleteWorkspace) -> Result<DeleteAnswer, StoreError> {
        Ok(self.db.attempt(|| self.delete_workspace(&new)).await?)
    }

    async fn restore(&self, new: RestoreWorkspace) -> Result<Written<RestoreAnswer>, StoreError> {
        Ok(self.db.attempt(|| self.restore_workspace(&new)).await?)
    }

    async fn to_purge(&self, limit: u32, rest: Duration) -> Result<ToPurge, StoreError> {
        Ok(self.due_for_purge(limit, rest).await?)
    }

    async fn purge(&self, new: StartPurge) -> Result<bool, StoreError> {
        Ok(self.db.attempt(|| self.start_purge(&new)).await?)
    }
}
