//! What a saga's steps ask to have changed, applied in the transaction that records their outcome.
//!
//! A change that does not find what it is to change is refused like a violated constraint: the engine shows the run as
//! stuck instead of going on with a workspace that is not there.

use std::collections::BTreeMap;

use domain::Change;
use domain::audit::{Draft, Target};
use domain::change::{NewEnvironment, Subject};
use domain::ids::{bucket, within};
use saga::journal::Ending;
use saga::{RunId, Time};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::db::{Error, Tx};
use crate::{audit, heads, provisioning_runs, words};

crate::statements! {
    INSERT_ENVIRONMENT = shared(
        "insert into environments (bucket, id, workspace_id, name, is_default, status, created_at)
         values ($1, $2, $3, $4, $5, 'provisioning', $6)",
    );
    DELETE_BACKEND_WORKSPACES = shared("delete from backend_workspaces where bucket = $1 and workspace_id = $2");
    DELETE_ENVIRONMENTS = shared("delete from environments where bucket = $1 and workspace_id = $2");
    INSERT_BACKEND_WORKSPACE = shared(
        "insert into backend_workspaces (bucket, id, workspace_id, environment_id, backend, locator, created_at, login_open, login_revision)
         values ($1, $2, $3, $4, $5, $6, $7, true, 0)",
    );
    DELETE_BACKEND_WORKSPACE = shared("delete from backend_workspaces where bucket = $1 and id = $2");
    KEEP_WORKSPACE_TOKEN = shared(
        "update workspaces set permissions_token = $3, updated_at = $4, revision = revision + 1 where bucket = $1 and id = $2",
    );
    KEEP_ACCOUNT_TOKEN = shared(
        "update accounts set permissions_token = $3, updated_at = $4, revision = revision + 1 where bucket = $1 and id = $2",
    );
    ACTIVATE_WORKSPACE = shared(
        "update workspaces set status = 'active', updated_at = $3, revision = revision + 1
         where bucket = $1 and id = $2 and status = 'provisioning'",
    );
    ACTIVATE_ENVIRONMENTS = shared("update environments set status = 'active' where bucket = $1 and workspace_id = $2");
    ACTIVATE_ACCOUNT = shared(
        "update accounts set status = 'active', updated_at = $3, revision = revision + 1
         where bucket = $1 and id = $2 and status = 'provisioning'",
    );
    FAIL_WORKSPACE = shared(
        "update workspaces set status = 'failed', holds_quota = $3, updated_at = $4, revision = revision + 1
         where bucket = $1 and id = $2 and run_id = $5 and status = 'provisioning'",
    );
    DELETE_ALIASES = shared("delete from workspace_aliases where bucket = $1 and workspace_id = $2");
    FAIL_ACCOUNT = shared(
        "update accounts set status = 'failed', updated_at = $3, revision = revision + 1
         where bucket = $1 and id = $2 and run_id = $4 and status = 'provisioning'",
    );
    RUN_FACTS = shared("select account_id, trace from provisioning_runs where bucket = $1 and id = $2");
}

/// Whose row a change locks.
pub(crate) fn subject(change: &Change) -> Option<Subject> {
    match change {
        Change::InsertEnvironments { workspace_id, .. }
        | Change::DeleteEnvironments { workspace_id }
        | Change::InsertBackendWorkspace { workspace_id, .. }
        | Change::ActivateWorkspace { workspace_id } => Some(Subject::Workspace(*workspace_id)),
        Change::ActivateAccount { account_id } => Some(Subject::Account(*account_id)),
        Change::KeepPermissionsToken { subject, .. } | Change::RunEnded { subject, .. } => Some(*subject),
        Change::DeleteBackendWorkspace { .. } => None,
    }
}

/// The part of a run's end that happens under the head row's lock.
#[derive(Debug)]
pub(crate) struct Closing {
    run: RunId,
    subject: Subject,
    ending: Ending,
    entry: Draft,
}

impl Closing {
    pub(crate) fn account_id(&self) -> Uuid {
        self.entry.account_id
    }
}

/// Applies all of `change` but what needs the head row; a run's end gives that back.
pub(crate) async fn apply(tx: &mut Tx, run: RunId, change: &Change, now: Time) -> Result<Option<Closing>, Error> {
    match change {
        Change::InsertEnvironments { workspace_id, environments } => {
            for environment in environments {
                insert_environment(tx, *workspace_id, environment, now).await?;
            }
        }
        Change::DeleteEnvironments { workspace_id } => {
            // An undo that a person skipped has left the row of what that person took away.
            tx.query(&DELETE_BACKEND_WORKSPACES).bind(bucket(*workspace_id)).bind(*workspace_id).execute().await?;
            tx.query(&DELETE_ENVIRONMENTS).bind(bucket(*workspace_id)).bind(*workspace_id).execute().await?;
        }
        Change::InsertBackendWorkspace { id, workspace_id, environment_id, backend, locator } => {
            tx.query(&INSERT_BACKEND_WORKSPACE)
                .bind(bucket(*id))
                .bind(*id)
                .bind(*workspace_id)
                .bind(*environment_id)
                .bind(backend.as_str())
                .bind(locator.as_str())
                .bind(now)
                .execute()
                .await?;
        }
        Change::DeleteBackendWorkspace { id } => {
            tx.query(&DELETE_BACKEND_WORKSPACE).bind(bucket(*id)).bind(*id).execute().await?;
        }
        Change::KeepPermissionsToken { subject, token } => {
            let (statement, id) = match subject {
                Subject::Workspace(id) => (&KEEP_WORKSPACE_TOKEN, *id),
                Subject::Account(id) => (&KEEP_ACCOUNT_TOKEN, *id),
            };
            found(tx.query(statement).bind(bucket(id)).bind(id).bind(token.as_str()).bind(now).execute().await?, change)?;
        }
        Change::ActivateWorkspace { workspace_id } => {
            let key = bucket(*workspace_id);
            found(tx.query(&ACTIVATE_WORKSPACE).bind(key).bind(*workspace_id).bind(now).execute().await?, change)?;
            tx.query(&ACTIVATE_ENVIRONMENTS).bind(key).bind(*workspace_id).execute().await?;
        }
        Change::ActivateAccount { account_id } => {
            found(tx.query(&ACTIVATE_ACCOUNT).bind(bucket(*account_id)).bind(*account_id).bind(now).execute().await?, change)?;
        }
        Change::RunEnded { run: ended, subject, ending } => {
            if *ended != run {
                return Err(Error::Unfit(format!("run {run} may not end run {ended}")));
            }
            return Ok(Some(Closing {
                run,
                subject: *subject,
                ending: *ending,
                entry: closing_entry(tx, run, *subject, *ending, now).await?,
            }));
        }
    }
    Ok(None)
}

/// Ends runs of one account: audit entries, statuses, and the quota they free.
pub(crate) async fn close(tx: &mut Tx, account: Uuid, closings: Vec<Closing>, now: Time) -> Result<(), Error> {
    let mut head = heads::lock_known(tx, account).await?;
    for closing in closings {
        if closing.ending != Ending::Succeeded {
            match closing.subject {
                Subject::Workspace(id) => {
                    let holds_quota = closing.ending == Ending::Abandoned;
                    let failed = tx.query(&FAIL_WORKSPACE).bind(bucket(id)).bind(id).bind(holds_quota).bind(now).bind(closing.run.0);
                    if failed.execute().await? == 1 {
                        tx.query(&DELETE_ALIASES).bind(bucket(id)).bind(id).execute().await?;
                        head.live -= i64::from(!holds_quota);
                    }
                }
                Subject::Account(id) => {
                    tx.query(&FAIL_ACCOUNT).bind(bucket(id)).bind(id).bind(now).bind(closing.run.0).execute().await?;
                }
            }
        }
        audit::append(tx, &mut head, &closing.entry).await?;
    }
    heads::save(tx, &head).await
}

async fn insert_environment(tx: &mut Tx, workspace: Uuid, environment: &NewEnvironment, now: Time) -> Result<(), Error> {
    tx.query(&INSERT_ENVIRONMENT)
        .bind(bucket(workspace))
        .bind(environment.id)
        .bind(workspace)
        .bind(environment.name.as_str())
        .bind(environment.is_default)
        .bind(now)
        .execute()
        .await?;
    Ok(())
}

fn found(rows: u64, change: &Change) -> Result<(), Error> {
    if rows == 1 { Ok(()) } else { Err(Error::Unfit(format!("nothing is there to be changed by {change:?}"))) }
}

/// The entry that closes a run. Its digest covers the journal as it now stands in the database, this commit's records included.
async fn closing_entry(tx: &mut Tx, run: RunId, subject: Subject, ending: Ending, now: Time) -> Result<Draft, Error> {
    let row = tx.query(&RUN_FACTS).bind(bucket(run.0)).bind(run.0).fetch_one().await?;
    let account_id: Uuid = row.get("account_id")?;
    let trace: BTreeMap<String, String> = row.json("trace")?;
    let (kind, id) = match subject {
        Subject::Workspace(id) => ("workspace", id),
        Subject::Account(id) => ("account", id),
    };
    Ok(Draft {
        id: new_id(account_id, now),
        account_id,
        workspace_id: matches!(subject, Subject::Workspace(_)).then_some(id),
        actor: None,
        credential_id: None,
        source_ip: None,
        user_agent: None,
        action: "run.end".to_owned(),
        targets: vec![Target { kind: "run".to_owned(), id: run.0 }, Target { kind: kind.to_owned(), id }],
        outcome: words::spell(ending),
        problem_type: None,
        request_id: trace.get("request_id").cloned(),
        trace_id: trace.get("traceparent").and_then(|t| t.split('-').nth(1)).map(str::to_owned),
        run_id: Some(run),
        step: None,
        before: None,
        after: None,
        reason: None,
        journal_sha256: Some(journal_digest(tx, run).await?),
    })
}

async fn journal_digest(tx: &mut Tx, run: RunId) -> Result<String, Error> {
    let mut hash = Sha256::new();
    for record in provisioning_runs::journal(tx, run).await? {
        hash.update(serde_json_canonicalizer::to_vec(&record).map_err(|e| Error::broken(e.to_string()))?);
        hash.update(b"\n");
    }
    Ok(words::hex(&hash.finalize()))
}

/// An id of the account's, made in the database's time.
pub(crate) fn new_id(account: Uuid, now: Time) -> Uuid {
    let micros = u64::try_from(now.micros()).unwrap_or(0);
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
    within(account, Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, micros / 1_000_000, nanos)))
}
