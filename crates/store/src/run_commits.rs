//! The engine's transitions: journal records, the changes they carry, and the run's row, fenced by the epoch.
//!
//! A batch is one transaction whose members succeed or are fenced one by one. If a member does not fit, or is
//! stale, the batch is halved until that one stands alone, and only it is told so.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::ids::bucket;
use domain::{Change, change::Subject};
use saga::ports::{Commit, CommitAnswer, Disposition};
use saga::{Event, Record, RunId, StoreError, Time};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::changes::{self, Closing};
use crate::db::{Db, Error, Keys, Rank, Tx};
use crate::freezes::apply;
use crate::{Store, provisioning_runs, words};

crate::statements! {
    LOCK_WORKSPACES = split(
        "select w.id from workspaces w join jsonb_to_recordset($1) as k(bucket smallint, id uuid) on k.bucket = w.bucket and k.id = w.id
         order by w.id for update of w",
        "select w.id from json_each($1) k join workspaces w on w.bucket = k.value->>'bucket' and w.id = unhex(k.value->>'id')
         order by w.id",
    );
    LOCK_ACCOUNTS = split(
        "select a.id from accounts a join jsonb_to_recordset($1) as k(bucket smallint, id uuid) on k.bucket = a.bucket and k.id = a.id
         order by a.id for update of a",
        "select a.id from json_each($1) k join accounts a on a.bucket = k.value->>'bucket' and a.id = unhex(k.value->>'id')
         order by a.id",
    );
    LOCK_RUNS = split(
        "select r.id, r.epoch, r.terminal, r.parked, r.account_id, r.workspace_id from provisioning_runs r
         join jsonb_to_recordset($1) as k(bucket smallint, id uuid) on k.bucket = r.bucket and k.id = r.id
         order by r.id for update of r",
        "select r.id, r.epoch, r.terminal, r.parked, r.account_id, r.workspace_id from json_each($1) k
         join provisioning_runs r on r.bucket = k.value->>'bucket' and r.id = unhex(k.value->>'id')
         order by r.id",
    );
    // Of workspaces that are locked, so that no other comes to life meanwhile.
    CARRIERS = split(
        "select r.id from provisioning_runs r
         join jsonb_to_recordset($1) as k(bucket smallint, id uuid) on k.bucket = r.bucket and k.id = r.workspace_id
         where not r.exclusive and not r.terminal",
        "select r.id from json_each($1) k
         join provisioning_runs r on r.bucket = k.value->>'bucket' and r.workspace_id = unhex(k.value->>'id')
         where not r.exclusive and not r.terminal",
    );
    JOURNAL = split(
        "insert into run_journal (bucket, run_id, seq, at, event)
         select $1, $2, e.seq, e.at, e.event from jsonb_to_recordset($3) as e(seq bigint, at timestamptz, event jsonb)
         on conflict (bucket, run_id, seq) do update set at = excluded.at, event = excluded.event",
        "insert into run_journal (bucket, run_id, seq, at, event)
         select $1, $2, value->>'seq', value->>'micros', value->'event' from json_each($3) where true
         on conflict (bucket, run_id, seq) do update set at = excluded.at, event = excluded.event",
    );
    JOURNALED = split(
        "update run_requests q set journaled_at = $1 from jsonb_to_recordset($2) as k(bucket smallint, id uuid)
         where q.bucket = k.bucket and q.id = k.id and q.run_id = $3",
        "update run_requests set journaled_at = $1
         where (bucket, id) in (select value->>'bucket', unhex(value->>'id') from json_each($2)) and run_id = $3",
    );
    UPDATE_RUN = shared(
        "update provisioning_runs set state = $3, waiting_for = $4, ending = $5, turned = $6, done = $7, total = $8, deadline_at = $9,
           terminal = $10, updated_at = $11, version = version + 1, paused_by = $14,
           owner = case when $12 then owner else null end,
           requested = exists (select 1 from run_requests q where q.bucket = $1 and q.run_id = $2 and q.journaled_at is null),
           due_at = case when $12 then due_at when $10 then null
             when exists (select 1 from run_requests q where q.bucket = $1 and q.run_id = $2 and q.journaled_at is null) then $11
             else $13 end
         where bucket = $1 and id = $2 returning requested",
    );
}

impl Store {
    pub(crate) async fn commit_batch(&self, batch: &[Commit<Change>]) -> Vec<CommitAnswer> {
        let mut answers = Vec::with_capacity(batch.len());
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.db.attempt(|| commit_part(&self.db, part)).await {
                Ok(committed) => answers.extend(committed),
                Err(Error::Unfit(text)) if part.len() == 1 => answers.push(CommitAnswer::Rejected(text)),
                Err(Error::Stale(text)) if part.len() == 1 => answers.push(CommitAnswer::Stale(text)),
                Err(Error::Unfit(_) | Error::Stale(_)) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(error) => {
                    let error = StoreError::from(error);
                    answers.extend(part.iter().map(|_| CommitAnswer::Failed(error.clone())));
                }
            }
        }
        answers
    }
}

/// A member's run as it is locked.
struct Locked {
    epoch: i64,
    account: Uuid,
    /// Of a run that a freeze has parked.
    parked_on: Option<Uuid>,
}

/// What one transaction came to.
enum Part {
    Done(Vec<CommitAnswer>),
    /// Nothing was changed: these workspaces must be locked before the runs.
    Wants(BTreeSet<Uuid>),
}

async fn commit_part(db: &Db, part: &[Commit<Change>]) -> Result<Vec<CommitAnswer>, Error> {
    let mut carried = BTreeSet::new();
    loop {
        match try_part(db, part, &carried).await? {
            Part::Done(answers) => return Ok(answers),
            Part::Wants(more) => carried.extend(more),
        }
    }
}

/// One transaction: all members that are not fenced, or an error and none. The workspaces in `carried` are locked with those
/// that the changes are about, because the freezes of a parked run's workspace are to be carried out once more.
async fn try_part(db: &Db, part: &[Commit<Change>], carried: &BTreeSet<Uuid>) -> Result<Part, Error> {
    let mut tx = db.write().await?;
    let subjects = lock_subjects(&mut tx, part, carried).await?;
    let runs = lock_runs(&mut tx, part, carried).await?;
    let ends_parked = |member: &Commit<Change>| runs.get(&member.run.0)?.parked_on.filter(|_| member.records.iter().any(ends_forward));
    let wants: BTreeSet<Uuid> = part.iter().filter_map(ends_parked).filter(|workspace| !subjects.contains(workspace)).collect();
    if !wants.is_empty() {
        tx.rollback().await?;
        return Ok(Part::Wants(wants));
    }
    let now = tx.now().await?;
    let mut answers = Vec::with_capacity(part.len());
    let mut closings: BTreeMap<Uuid, Vec<Closing>> = BTreeMap::new();
    for member in part {
        let Some(run) = runs.get(&member.run.0).filter(|run| run.epoch == member.epoch) else {
            answers.push(CommitAnswer::Fenced);
            continue;
        };
        if member.resent && was_applied(&mut tx, member).await? {
            // Whether requests are left is not known from here: the owner looks.
            answers.push(CommitAnswer::Committed { now, requested: true });
            continue;
        }
        journal(&mut tx, member).await?;
        for change in &member.changes {
            if let Some(closing) = changes::apply(&mut tx, member.run, change, now).await? {
                closings.entry(closing.account_id()).or_default().push(closing);
            }
        }
        if let Some(workspace) = ends_parked(member) {
            // What the attempt may have made came after the freeze was carried out, or did not: only doing it again tells.
            apply::raise_quietly(&mut tx, workspace).await?;
            let alive = apply::hold(&mut tx, run.account, workspace, None, &Value::Null).await?;
            closings.entry(run.account).or_default().push(Closing::Carry { account_id: run.account, workspace, alive });
        }
        let requested = update(&mut tx, member, now).await?;
        answers.push(CommitAnswer::Committed { now, requested });
    }
    // Head rows last, in the order of their accounts.
    for (account, closings) in closings {
        changes::close(&mut tx, account, closings, now).await?;
    }
    tx.commit().await?;
    Ok(Part::Done(answers))
}

/// The record tells how a forward attempt ended, whichever way.
fn ends_forward(record: &Record) -> bool {
    matches!(record.event, Event::StepSucceeded { .. } | Event::StepFailed { .. } | Event::StepUnknown { .. } | Event::StepRefused { .. })
}

/// Locks the members' runs, and those that carry the freezes of the workspaces in `carried`: in one order, as everywhere.
/// Returns those that have not ended.
async fn lock_runs(tx: &mut Tx, part: &[Commit<Change>], carried: &BTreeSet<Uuid>) -> Result<HashMap<Uuid, Locked>, Error> {
    tx.locks(Rank::Run);
    let mut ids: Vec<Uuid> = part.iter().map(|c| c.run.0).collect();
    if !carried.is_empty() {
        for row in tx.query(&CARRIERS).bind(Keys::new(carried.iter().copied())).fetch_all().await? {
            ids.push(row.get("id")?);
        }
        ids.sort_unstable();
        ids.dedup();
    }
    let mut runs = HashMap::new();
    for row in tx.query(&LOCK_RUNS).bind(Keys::new(ids)).fetch_all().await? {
        if !row.get::<bool>("terminal")? {
            let workspace: Option<Uuid> = row.get("workspace_id")?;
            let parked: bool = row.get("parked")?;
            let locked = Locked { epoch: row.get("epoch")?, account: row.get("account_id")?, parked_on: workspace.filter(|_| parked) };
            runs.insert(row.get("id")?, locked);
        }
    }
    Ok(runs)
}

/// Locks the workspaces and accounts that the batch's changes are about, and those in `carried`: before the runs, as
/// everywhere. Returns the workspaces.
async fn lock_subjects(tx: &mut Tx, part: &[Commit<Change>], carried: &BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>, Error> {
    let mut workspaces = carried.clone();
    let mut accounts = Vec::new();
    for change in part.iter().flat_map(|member| &member.changes) {
        match changes::subject(change) {
            Some(Subject::Workspace(id)) => drop(workspaces.insert(id)),
            Some(Subject::Account(id)) => accounts.push(id),
            None => {}
        }
    }
    tx.locks(Rank::Subject);
    if !accounts.is_empty() {
        tx.query(&LOCK_ACCOUNTS).bind(Keys::new(accounts)).fetch_all().await?;
    }
    if !workspaces.is_empty() {
        tx.query(&LOCK_WORKSPACES).bind(Keys::new(workspaces.iter().copied())).fetch_all().await?;
    }
    Ok(workspaces)
}

/// Under the run's lock, so that it cannot land any more.
async fn was_applied(tx: &mut Tx, member: &Commit<Change>) -> Result<bool, Error> {
    if member.records.is_empty() {
        return Ok(false);
    }
    let journal = provisioning_runs::journal(tx, member.run).await?;
    Ok(member.records.iter().all(|record| journal.contains(record)))
}

async fn journal(tx: &mut Tx, member: &Commit<Change>) -> Result<(), Error> {
    if member.records.is_empty() {
        return Ok(());
    }
    let records: Value =
        member.records.iter().map(|r| json!({"seq": r.seq, "at": r.at, "micros": r.at.micros(), "event": r.event})).collect();
    tx.query(&JOURNAL).bind(bucket(member.run.0)).bind(member.run.0).bind(records).execute().await?;
    Ok(())
}

/// Returns whether requests are left that no record journals.
async fn update(tx: &mut Tx, member: &Commit<Change>, now: Time) -> Result<bool, Error> {
    let RunId(run) = member.run;
    if !member.requests.is_empty() {
        tx.query(&JOURNALED).bind(now).bind(Keys::new(member.requests.iter().copied())).bind(run).execute().await?;
    }
    let head = &member.head;
    let turned = head.turn.as_ref().map(serde_json::to_value).transpose().map_err(|e| Error::broken(e.to_string()))?;
    let due_at = match member.disposition {
        Disposition::Release { due_at } => due_at,
        Disposition::Keep | Disposition::End => None,
    };
    let row = tx
        .query(&UPDATE_RUN)
        .bind(bucket(run))
        .bind(run)
        .bind(words::spell(head.state))
        .bind(head.waiting_for.map(words::spell))
        .bind(head.ending.map(words::spell))
        .bind(turned)
        .bind(i64::from(head.done))
        .bind(i64::from(head.total))
        .bind(head.deadline_at)
        .bind(member.disposition == Disposition::End)
        .bind(now)
        .bind(member.disposition == Disposition::Keep)
        .bind(due_at)
        .bind(Some(&head.paused_by).filter(|scopes| !scopes.is_empty()).map(|scopes| json!(scopes)))
        .fetch_one()
        .await?;
    row.get("requested")
}
