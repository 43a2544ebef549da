//! How a set of freezes is carried on: its revision, the parking of the run that owns the workspace, and the one run of
//! `apply-freezes` that brings the backends to it.
//!
//! Whoever changes the set, or wants the backends brought to it anew, calls [`raise`], [`hold`] and [`apply`], in this order,
//! under the workspace's lock. The revision makes a run start over that has read an older set.

use domain::ids::bucket;
use domain::model::ProvisioningRun;
use domain::ports::NewRun;
use domain::workspaces::status::SAGA;
use saga::ports::State;
use saga::{RunId, Time, Verb};
use serde_json::Value;
use uuid::Uuid;

use crate::changes::new_id;
use crate::db::{Error, Rank, Tx};
use crate::heads::Head;
use crate::provisioning_runs::{self, Asked};
use crate::words;

crate::statements! {
    RAISE = shared(
        "update workspaces set freeze_revision = freeze_revision + 1, revision = revision + 1, updated_at = $3
         where bucket = $1 and id = $2",
    );
    RAISE_QUIETLY = shared("update workspaces set freeze_revision = freeze_revision + 1 where bucket = $1 and id = $2");
    LIVE = split(
        "select id, exclusive, state, turned, parked from provisioning_runs
         where bucket = $1 and workspace_id = $2 and not terminal order by id for update",
        "select id, exclusive, state, turned, parked from provisioning_runs
         where bucket = $1 and workspace_id = $2 and not terminal order by id",
    );
    PARK = shared("update provisioning_runs set parked = $3 where bucket = $1 and id = $2");
}

/// Raises the revision of the set and that of the workspace's row. Under the workspace's lock.
pub(crate) async fn raise(tx: &mut Tx, workspace: Uuid, now: Time) -> Result<(), Error> {
    tx.query(&RAISE).bind(bucket(workspace)).bind(workspace).bind(now).execute().await?;
    Ok(())
}

/// Raises the revision of the set alone, so that it is carried out once more: nothing that a person changes has changed.
/// Under the workspace's lock.
pub(crate) async fn raise_quietly(tx: &mut Tx, workspace: Uuid) -> Result<(), Error> {
    tx.query(&RAISE_QUIETLY).bind(bucket(workspace)).bind(workspace).execute().await?;
    Ok(())
}

/// A run of a workspace that has not ended, locked.
struct Live {
    id: RunId,
    exclusive: bool,
    state: State,
    turned: bool,
    parked: bool,
}

async fn live(tx: &mut Tx, workspace: Uuid) -> Result<Vec<Live>, Error> {
    tx.locks(Rank::Run);
    let rows = tx.query(&LIVE).bind(bucket(workspace)).bind(workspace).fetch_all().await?;
    let live = rows.iter().map(|row| {
        Ok(Live {
            id: RunId(row.get("id")?),
            exclusive: row.get("exclusive")?,
            state: row.word("state", words::read)?,
            turned: row.get::<Option<Value>>("turned")?.is_some(),
            parked: row.get("parked")?,
        })
    });
    live.collect()
}

/// Parks or unparks the run that owns the workspace, if there is one, as `is_frozen` says (`None`: as it is), and wakes the
/// run of `apply-freezes` if one is alive, which it returns. `actor` stands in the requests.
///
/// A run that has turned is left alone: what it takes away must go. So is one that a freeze has parked already.
pub(crate) async fn hold(
    tx: &mut Tx,
    account: Uuid,
    workspace: Uuid,
    is_frozen: Option<bool>,
    actor: &Value,
) -> Result<Option<RunId>, Error> {
    let live = live(tx, workspace).await?;
    if let Some(is_frozen) = is_frozen {
        for run in live.iter().filter(|run| run.exclusive && run.parked != is_frozen && (run.parked || !run.turned)) {
            tx.query(&PARK).bind(bucket(workspace)).bind(run.id.0).bind(is_frozen).execute().await?;
            leave(tx, account, run.id, if is_frozen { Verb::Park } else { Verb::Unpark }, actor).await?;
        }
    }
    let Some(run) = live.iter().find(|run| !run.exclusive) else { return Ok(None) };
    // One that waits for its next try makes it now: the set has moved, and nobody should wait for an old one's back-off.
    if matches!(run.state, State::Waiting | State::Stuck) {
        leave(tx, account, run.id, Verb::Retry, actor).await?;
    }
    Ok(Some(run.id))
}

async fn leave(tx: &mut Tx, account: Uuid, run: RunId, verb: Verb, actor: &Value) -> Result<(), Error> {
    let now = tx.now().await?;
    let asked = Asked { id: new_id(account, now), verb, step: None, actor: actor.clone(), comment: None };
    provisioning_runs::leave(tx, run, &asked).await
}

/// Sees to it that a run of `apply-freezes` is alive: `alive` as [`hold`] told, otherwise `new` or, where nobody
/// has prepared one, another of the kind that was started when the first freeze was set. Under the head row's lock.
pub(crate) async fn apply(
    tx: &mut Tx,
    head: &mut Head,
    workspace: Uuid,
    alive: Option<RunId>,
    new: Option<&NewRun>,
) -> Result<RunId, Error> {
    if let Some(run) = alive {
        return Ok(run);
    }
    let now = tx.now().await?;
    let again;
    let new = if let Some(new) = new {
        new
    } else {
        let last = latest(tx, workspace).await?;
        let last = last.ok_or_else(|| Error::broken(format!("no freeze was ever applied to workspace {workspace}")))?;
        again = once_more(last, new_id(head.account_id, now));
        &again
    };
    let turn = head.next_turn(now);
    provisioning_runs::insert(tx, new, turn).await?;
    Ok(new.id)
}

fn once_more(last: ProvisioningRun, id: Uuid) -> NewRun {
    NewRun {
        id: RunId(id),
        definition: last.definition,
        account_id: last.account_id,
        workspace_id: last.workspace_id,
        retry_of: None,
        exclusive: false,
        input: last.input,
        on_failure: last.on_failure,
        total: last.total,
        created_by: last.created_by,
        trace: std::collections::HashMap::new(),
    }
}

/// The workspace's latest run of `apply-freezes`, whether or not it has ended.
pub(crate) async fn latest(tx: &mut Tx, workspace: Uuid) -> Result<Option<ProvisioningRun>, Error> {
    provisioning_runs::latest_of(tx, workspace, SAGA).await
}
