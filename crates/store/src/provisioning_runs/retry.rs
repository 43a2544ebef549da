//! Retry of a `failed` or `cancelled` run: a new run for the same workspace or account, decided under the lock of what
//! the run is about and, for slug and quota, of the account's head.

use domain::ids::bucket;
use domain::model::{AccountStatus, WorkspaceStatus};
use domain::ports::{NewRun, RetryAnswer, RetryRun, Slug, Written};
use saga::{RunId, Time};
use uuid::Uuid;

use crate::db::{Error, Rank, Row, Tx};
use crate::{Store, audit, gates, heads, idempotency, workspaces};

crate::statements! {
    LOCK_WORKSPACE = split(
        "select account_id, slug, folded_name, status, holds_quota from workspaces where bucket = $1 and id = $2 for update",
        "select account_id, slug, folded_name, status, holds_quota from workspaces where bucket = $1 and id = $2",
    );
    LOCK_ACCOUNT = split(
        "select status from accounts where bucket = $1 and id = $2 for update",
        "select status from accounts where bucket = $1 and id = $2",
    );
    LIVE_OF_WORKSPACE = shared(
        "select id from provisioning_runs where bucket = $1 and workspace_id = $2 and exclusive and not terminal",
    );
    LIVE_OF_ACCOUNT = shared(
        "select id from provisioning_runs where bucket = $1 and account_id = $2 and exclusive and not terminal and workspace_id is null",
    );
    RETRIED = shared(
        "update provisioning_runs set retried_by = $3, updated_at = $4, version = version + 1 where bucket = $1 and id = $2",
    );
    PROVISION_WORKSPACE = shared(
        "update workspaces set status = 'provisioning', holds_quota = true, run_id = $3, made_by = $3, updated_at = $4, revision = revision + 1
         where bucket = $1 and id = $2",
    );
    PROVISION_ACCOUNT = shared(
        "update accounts set status = 'provisioning', run_id = $3, updated_at = $4, revision = revision + 1
         where bucket = $1 and id = $2",
    );
}

impl Store {
    pub(super) async fn retry_run(&self, new: &RetryRun) -> Result<Written<RetryAnswer>, Error> {
        let mut tx = self.db.write().await?;
        if let Some(earlier) = idempotency::enter(&mut tx, new.idempotency.as_ref()).await? {
            tx.rollback().await?;
            return Ok(earlier);
        }
        let of = new.run.retry_of.ok_or_else(|| Error::broken("a retry of no run"))?;
        let refused = match new.run.workspace_id {
            Some(workspace) => retry_workspace(&mut tx, new, of, workspace).await?,
            None => retry_account(&mut tx, new, of).await?,
        };
        if let Some(answer) = refused {
            tx.rollback().await?;
            return Ok(Written::Done(answer));
        }
        tx.commit().await?;
        Ok(Written::Done(RetryAnswer::Created))
    }
}

async fn retry_workspace(tx: &mut Tx, new: &RetryRun, of: RunId, workspace: Uuid) -> Result<Option<RetryAnswer>, Error> {
    let key = bucket(workspace);
    tx.locks(Rank::Subject);
    let row = tx.query(&LOCK_WORKSPACE).bind(key).bind(workspace).fetch_optional().await?;
    let row = row.ok_or_else(|| Error::broken(format!("there is no workspace {workspace}")))?;
    let freezes = gates::in_force(tx, &[workspace]).await?.remove(&workspace).unwrap_or_default();
    if !freezes.is_empty() {
        return Ok(Some(RetryAnswer::Frozen(freezes)));
    }
    let live = tx.query(&LIVE_OF_WORKSPACE).bind(key).bind(workspace).fetch_optional().await?;
    if let Some(answer) = ruled_out(tx, of, live).await? {
        return Ok(Some(answer));
    }
    let status = row.word("status", WorkspaceStatus::parse)?;
    if status != WorkspaceStatus::Failed {
        return Ok(Some(RetryAnswer::NotFailed { status: status.as_str() }));
    }
    let mut head = heads::lock_known(tx, new.run.account_id).await?;
    let now = tx.now().await?;
    let account = workspaces::account_status(tx, new.run.account_id).await?;
    if account != Some(AccountStatus::Active) {
        return Ok(Some(RetryAnswer::AccountNotActive { status: account }));
    }
    let slug: String = row.get("slug")?;
    if workspaces::free_slug(tx, new.run.account_id, &Slug::Given(slug.clone())).await?.is_none() {
        return Ok(Some(RetryAnswer::SlugTaken { slug }));
    }
    if !row.get::<bool>("holds_quota")? {
        if head.live >= head.max {
            return Ok(Some(RetryAnswer::QuotaExceeded { max: head.max }));
        }
        head.live += 1;
    }
    tx.query(&PROVISION_WORKSPACE).bind(key).bind(workspace).bind(new.run.id.0).bind(now).execute().await?;
    let folded_name: String = row.get("folded_name")?;
    workspaces::fill_alias(tx, new.run.account_id, &folded_name, workspace, now).await?;
    finish(tx, new, of, head, now).await?;
    Ok(None)
}

async fn retry_account(tx: &mut Tx, new: &RetryRun, of: RunId) -> Result<Option<RetryAnswer>, Error> {
    let account = new.run.account_id;
    let key = bucket(account);
    tx.locks(Rank::Subject);
    let row = tx.query(&LOCK_ACCOUNT).bind(key).bind(account).fetch_optional().await?;
    let row = row.ok_or_else(|| Error::broken(format!("there is no account {account}")))?;
    let live = tx.query(&LIVE_OF_ACCOUNT).bind(key).bind(account).fetch_optional().await?;
    if let Some(answer) = ruled_out(tx, of, live).await? {
        return Ok(Some(answer));
    }
    let status = row.word("status", AccountStatus::parse)?;
    if status != AccountStatus::Failed {
        return Ok(Some(RetryAnswer::NotFailed { status: status.as_str() }));
    }
    let head = heads::lock_known(tx, account).await?;
    let now = tx.now().await?;
    tx.query(&PROVISION_ACCOUNT).bind(key).bind(account).bind(new.run.id.0).bind(now).execute().await?;
    finish(tx, new, of, head, now).await?;
    Ok(None)
}

/// Locks the run that is retried; what rules a retry of it out whatever its workspace or account is.
async fn ruled_out(tx: &mut Tx, of: RunId, live: Option<Row>) -> Result<Option<RetryAnswer>, Error> {
    tx.locks(Rank::Run);
    let row = tx.query(&super::LOCK).bind(bucket(of.0)).bind(of.0).fetch_optional().await?;
    // Whoever asks has seen it; retention has had it since then.
    let Some(row) = row else { return Ok(Some(RetryAnswer::Forgotten)) };
    if let Some(by) = row.get::<Option<Uuid>>("retried_by")? {
        return Ok(Some(RetryAnswer::RetriedAlready { by: RunId(by) }));
    }
    live.map(|row| Ok(RetryAnswer::RunInProgress { run: RunId(row.get("id")?) })).transpose()
}

async fn finish(tx: &mut Tx, new: &RetryRun, of: RunId, mut head: heads::Head, now: Time) -> Result<(), Error> {
    let run: &NewRun = &new.run;
    tx.query(&RETRIED).bind(bucket(of.0)).bind(of.0).bind(run.id.0).bind(now).execute().await?;
    let turn = head.next_turn(now);
    super::insert(tx, run, turn).await?;
    audit::append(tx, &mut head, &new.audit).await?;
    heads::save(tx, &head).await
}
