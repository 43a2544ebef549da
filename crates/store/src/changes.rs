//! What a saga's steps ask to have changed, applied in the transaction that records their outcome.
//!
//! A change that does not find what it is to change is refused like a violated constraint: the engine shows the run as
//! stuck instead of going on with a workspace that is not there.

pub(crate) mod logins;
pub(crate) mod purge;

use std::collections::BTreeMap;

use domain::Change;
use domain::audit::Draft;
use domain::change::{NewEnvironment, Subject};
use domain::ids::{bucket, within};
use domain::ports::{CreateWorkspace, NewWorkspace};
use saga::journal::Ending;
use saga::{RunId, Time};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::db::{Error, Tx};
use crate::freezes::apply;
use crate::{audit, heads, provisioning_runs, words, workspaces};

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
        | Change::ActivateWorkspace { workspace_id }
        | Change::FreezesApplied { workspace_id, .. }
        | Change::PurgeWorkspace { workspace_id } => Some(Subject::Workspace(*workspace_id)),
        Change::ActivateAccount { account_id, .. } => Some(Subject::Account(*account_id)),
        Change::KeepPermissionsToken { subject, .. } | Change::RunEnded { subject, .. } => Some(*subject),
        Change::DeleteBackendWorkspace { .. } => None,
    }
}

/// The part of a change that happens under the head row's lock.
#[derive(Debug)]
pub(crate) enum Closing {
    Ended {
        run: RunId,
        subject: Subject,
        ending: Ending,
        entry: Box<Draft>,
    },
    /// A workspace that held quota is gone.
    Freed {
        account_id: Uuid,
    },
    /// The account comes with a workspace.
    Create(Box<NewWorkspace>),
    /// The workspace's freezes are to be carried out once more.
    Carry {
        account_id: Uuid,
        workspace: Uuid,
        /// By the run that is at it.
        alive: Option<RunId>,
    },
}

impl Closing {
    pub(crate) fn account_id(&self) -> Uuid {
        match self {
            Self::Ended { entry, .. } => entry.account_id,
            Self::Create(new) => new.account_id,
            Self::Freed { account_id } | Self::Carry { account_id, .. } => *account_id,
        }
    }
}

/// Applies all of `change` but what needs the head row; that is given back.
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
        Change::ActivateAccount { account_id, workspace } => {
            found(tx.query(&ACTIVATE_ACCOUNT).bind(bucket(*account_id)).bind(*account_id).bind(now).execute().await?, change)?;
            return Ok(workspace.clone().map(Closing::Create));
        }
        Change::FreezesApplied { workspace_id, revision, open, backend_workspaces } => {
            logins::carried(tx, *workspace_id, *revision, *open, backend_workspaces).await?;
        }
        Change::PurgeWorkspace { workspace_id } => {
            return Ok(purge::purge(tx, *workspace_id, now).await?.map(|account_id| Closing::Freed { account_id }));
        }
        Change::RunEnded { run: ended, subject, ending } => {
            if *ended != run {
                return Err(Error::Unfit(format!("run {run} may not end run {ended}")));
            }
            let entry = Box::new(closing_entry(tx, run, *subject, *ending, now).await?);
            return Ok(Some(Closing::Ended { run, subject: *subject, ending: *ending, entry }));
        }
    }
    Ok(None)
}

/// What is left to do of one account's changes: audit entries, statuses, and the quota they free.
pub(crate) async fn close(tx: &mut Tx, account: Uuid, closings: Vec<Closing>, now: Time) -> Result<(), Error> {
    let mut head = heads::lock_known(tx, account).await?;
    for closing in closings {
        match closing {
            Closing::Freed { .. } => head.live -= 1,
            Closing::Create(new) => {
                let answer = workspaces::insert(tx, &mut head, &new, now).await?;
                if !matches!(answer, CreateWorkspace::Created { .. }) {
                    tracing::warn!(%account, ?answer, "a new account goes without the workspace that it was to come with");
                }
            }
            Closing::Carry { workspace, alive, .. } => {
                let run = apply::apply(tx, &mut head, workspace, alive, None).await?;
                if alive.is_none() {
                    let entry = started_entry(account, workspace, run, now);
                    audit::append(tx, &mut head, &entry).await?;
                }
            }
            Closing::Ended { run, subject, ending, entry } => {
                if ending != Ending::Succeeded {
                    head.live -= fail(tx, run, subject, ending, now).await?;
                }
                audit::append(tx, &mut head, &entry).await?;
            }
        }
    }
    heads::save(tx, &head).await
}

/// What a run was to make has failed, if it was to make anything; answers how much quota that frees.
async fn fail(tx: &mut Tx, run: RunId, subject: Subject, ending: Ending, now: Time) -> Result<i64, Error> {
    match subject {
        Subject::Workspace(id) => {
            let holds_quota = ending == Ending::Abandoned;
            let failed = tx.query(&FAIL_WORKSPACE).bind(bucket(id)).bind(id).bind(holds_quota).bind(now).bind(run.0);
            if failed.execute().await? == 1 {
                tx.query(&DELETE_ALIASES).bind(bucket(id)).bind(id).execute().await?;
                return Ok(i64::from(!holds_quota));
            }
        }
        Subject::Account(id) => {
            tx.query(&FAIL_ACCOUNT).bind(bucket(id)).bind(id).bind(now).bind(run.0).execute().await?;
        }
    }
    Ok(0)
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
    let workspace = matches!(subject, Subject::Workspace(_)).then_some(id);
    let entry = Draft::with_id(new_id(account_id, now), account_id, workspace, "run.end");
    Ok(Draft {
        request_id: trace.get("request_id").cloned(),
        trace_id: trace.get("traceparent").and_then(|t| t.split('-').nth(1)).map(str::to_owned),
        journal_sha256: Some(journal_digest(tx, run).await?),
        ..entry.target("run", run.0).target(kind, id).outcome(&words::spell(ending)).run(run)
    })
}

/// The entry of a run that Berth starts by itself.
pub(crate) fn started_entry(account: Uuid, workspace: Uuid, run: RunId, now: Time) -> Draft {
    let entry = Draft::with_id(new_id(account, now), account, Some(workspace), "run.start");
    entry.target("run", run.0).target("workspace", workspace).run(run)
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
