//! What a saga's steps ask to have changed, applied in the transaction that records their outcome.
//!
//! A change that does not find what it is to change is refused like a violated constraint: the engine shows the run as
//! stuck instead of going on with a workspace that is not there.

pub(crate) mod ended;
pub(crate) mod logins;
pub(crate) mod purge;
pub(crate) mod rows;

use std::collections::{BTreeMap, BTreeSet};

use domain::Change;
use domain::audit::Draft;
use domain::change::Subject;
use domain::ids::bucket;
use domain::ports::{CreateWorkspace, NewWorkspace};
use saga::journal::Ending;
use saga::{RunId, Time};
use uuid::Uuid;

use crate::db::{Error, Tx};
use crate::freezes::apply;
use crate::heads::{self, Head};
use crate::{audit, workspaces};

pub(crate) use ended::{new_id, started_entry};
pub(crate) use rows::is_of_many;

crate::statements! {
    KEEP_ACCOUNT_TOKEN = shared(
        "update accounts set permissions_token = $3, updated_at = $4, revision = revision + 1 where bucket = $1 and id = $2",
    );
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

/// A change, and the run whose step asks for it.
pub(crate) type Asked<'a> = (RunId, &'a Change);

/// Applies all of the changes but what needs the head rows; that is given back. Of what many ask for at once there is one
/// statement for each kind; no two changes of one batch are about the same row, so that their order does not matter.
pub(crate) async fn apply<'a>(tx: &mut Tx, asked: impl Iterator<Item = Asked<'a>>, now: Time) -> Result<Vec<Closing>, Error> {
    let (mut rows, mut closings) = (rows::Rows::default(), Vec::new());
    for (run, change) in asked {
        if let Some(other) = rows.add(run, change)? {
            closings.extend(apply_alone(tx, other, now).await?);
        }
    }
    rows.write(tx, now).await?;
    closings.extend(ended::closings(tx, &rows.ended, now).await?);
    Ok(closings)
}

/// A change of a kind that is rare, or that tells by itself why it does not fit.
async fn apply_alone(tx: &mut Tx, change: &Change, now: Time) -> Result<Option<Closing>, Error> {
    match change {
        Change::KeepPermissionsToken { subject: Subject::Account(id), token } => {
            let kept = tx.query(&KEEP_ACCOUNT_TOKEN).bind(bucket(*id)).bind(*id).bind(token.as_str()).bind(now);
            found(kept.execute().await?, change)?;
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
        other => return Err(Error::broken(format!("{other:?} is a change of many rows"))),
    }
    Ok(None)
}

/// What is left to do of the changes, under the head rows' locks: audit entries, statuses, and the quota they free. Each account's
/// head is read and saved once, and its chain goes on in the order of `closings`.
pub(crate) async fn close(tx: &mut Tx, closings: Vec<Closing>, now: Time) -> Result<(), Error> {
    let accounts: BTreeSet<Uuid> = closings.iter().map(Closing::account_id).collect();
    if accounts.is_empty() {
        return Ok(());
    }
    let locked = heads::lock_all(tx, accounts).await?;
    let mut heads: BTreeMap<Uuid, Head> = locked.into_iter().map(|(head, _)| (head.account_id, head)).collect();
    let at = tx.now().await?;
    let mut entries = Vec::new();
    for closing in closings {
        let account = closing.account_id();
        let head = heads.get_mut(&account).ok_or_else(|| Error::broken(format!("account {account} has no head row")))?;
        match closing {
            Closing::Freed { .. } => head.live -= 1,
            Closing::Create(new) => {
                let answer = workspaces::insert(tx, head, &new, now).await?;
                if !matches!(answer, CreateWorkspace::Created { .. }) {
                    tracing::warn!(%account, ?answer, "a new account goes without the workspace that it was to come with");
                }
            }
            Closing::Carry { workspace, alive, .. } => {
                let run = apply::apply(tx, head, workspace, alive, None).await?;
                if alive.is_none() {
                    entries.push(audit::extend(head, &started_entry(account, workspace, run, now), at)?);
                }
            }
            Closing::Ended { run, subject, ending, entry } => {
                if ending != Ending::Succeeded {
                    head.live -= fail(tx, run, subject, ending, now).await?;
                }
                entries.push(audit::extend(head, &entry, at)?);
            }
        }
    }
    if !entries.is_empty() {
        audit::insert_all(tx, &entries).await?;
    }
    heads::save_all(tx, heads.values()).await
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

fn found(rows: u64, change: &Change) -> Result<(), Error> {
    if rows == 1 { Ok(()) } else { Err(Error::Unfit(format!("nothing is there to be changed by {change:?}"))) }
}
