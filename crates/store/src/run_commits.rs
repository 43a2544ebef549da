//! The engine's transitions: journal records, the changes they carry, and the run's row, fenced by the epoch.
//!
//! A batch is one transaction whose members succeed or are fenced one by one. If a member does not fit, or is
//! stale, the batch is halved until that one stands alone, and only it is told so. No forward attempt starts past a request
//! that its member does not journal: what was asked for may be that nothing starts.

pub(crate) mod one_writer;
pub(crate) mod rows;
pub(crate) mod swift;

use std::collections::{BTreeSet, HashMap, HashSet};

use domain::{Change, change::Subject};
use saga::ports::{Commit, CommitAnswer};
use saga::{Event, Record, StoreError};
use serde_json::Value;
use uuid::Uuid;

use crate::changes::{self, Closing};
use crate::db::{Db, Error, Keys, Rank, Tx};
use crate::freezes::apply;
use crate::{Store, provisioning_runs};
use rows::{Written, keys};

crate::statements! {
    LOCK_WORKSPACES = split(
        "select w.id from workspaces w join unnest($1::smallint[], $2::uuid[]) as k(bucket, id) on k.bucket = w.bucket and k.id = w.id
         order by w.id for update of w",
        "select w.id from json_each($1) k join workspaces w on w.bucket = k.value->>0 and w.id = unhex(k.value->>1) order by w.id",
    );
    LOCK_ACCOUNTS = split(
        "select a.id from accounts a join unnest($1::smallint[], $2::uuid[]) as k(bucket, id) on k.bucket = a.bucket and k.id = a.id
         order by a.id for update of a",
        "select a.id from json_each($1) k join accounts a on a.bucket = k.value->>0 and a.id = unhex(k.value->>1) order by a.id",
    );
    // The time is read once a row is locked, so that the latest of them is after the last lock.
    LOCK_RUNS = split(
        "with locked as materialized (
           select r.id, r.epoch, r.terminal, r.parked, r.requested, r.account_id, r.workspace_id from provisioning_runs r
           join unnest($2::smallint[], $3::uuid[]) as k(bucket, id) on k.bucket = r.bucket and k.id = r.id
           order by r.id for update of r)
         select locked.*, clock_timestamp() + $1 * interval '1 microsecond' as now from locked",
        "select r.id, r.epoch, r.terminal, r.parked, r.requested, r.account_id, r.workspace_id,
           cast(round(unixepoch('subsec') * 1000) as integer) * 1000 + $1 as now
         from json_each($2) k join provisioning_runs r on r.bucket = k.value->>0 and r.id = unhex(k.value->>1) order by r.id",
    );
    // Of workspaces that are locked, so that no other comes to life meanwhile.
    CARRIERS = split(
        "select r.id from provisioning_runs r
         join unnest($1::smallint[], $2::uuid[]) as k(bucket, id) on k.bucket = r.bucket and k.id = r.workspace_id
         where not r.exclusive and not r.terminal",
        "select r.id from json_each($1) k
         join provisioning_runs r on r.bucket = k.value->>0 and r.workspace_id = unhex(k.value->>1)
         where not r.exclusive and not r.terminal",
    );
    // Of runs that are locked, so that none comes in meanwhile.
    UNJOURNALED = split(
        "select q.id, q.run_id from run_requests q
         join unnest($1::smallint[], $2::uuid[]) as k(bucket, id) on k.bucket = q.bucket and k.id = q.run_id where q.journaled_at is null",
        "select q.id, q.run_id from json_each($1) k
         join run_requests q on q.bucket = k.value->>0 and q.run_id = unhex(k.value->>1) where q.journaled_at is null",
    );
    JOURNALED = split(
        "update run_requests q set journaled_at = $1 from jsonb_to_recordset($2) as k(bucket smallint, id uuid)
         where q.bucket = k.bucket and q.id = k.id and q.run_id = $3",
        "update run_requests set journaled_at = $1
         where (bucket, id) in (select value->>'bucket', unhex(value->>'id') from json_each($2)) and run_id = $3",
    );
}

impl Store {
    pub(crate) async fn commit_batch(&self, batch: &[Commit<Change>]) -> Vec<CommitAnswer> {
        if let [member] = batch {
            match rows::alone(&self.db, member).await {
                Ok(Some(now)) => return vec![CommitAnswer::Committed { now, requested: false }],
                // A deadlock or the like changed nothing either: the long way tries again.
                Ok(None) | Err(Error::Contended(_)) => {}
                Err(Error::Unfit(text)) => return vec![CommitAnswer::Rejected(text)],
                Err(error) => return vec![CommitAnswer::Failed(error.into())],
            }
        }
        let (swift, settled) = match swift::swift(&self.db, batch).await {
            Ok(swift) => swift,
            // Whose fault it was is seen the long way.
            Err(Error::Unfit(_) | Error::Stale(_) | Error::Contended(_) | Error::LockTimeout(_)) => (BTreeSet::new(), HashMap::new()),
            Err(error) => {
                let error = StoreError::from(error);
                return batch.iter().map(|_| CommitAnswer::Failed(error.clone())).collect();
            }
        };
        if settled.is_empty() {
            return self.commit_long(batch).await;
        }
        let told = |at: usize| settled.get(&batch[at].run.0).filter(|_| swift.contains(&at)).copied();
        let left: Vec<usize> = (0..batch.len()).filter(|at| told(*at).is_none()).collect();
        let rest: Vec<Commit<Change>> = left.iter().map(|at| batch[*at].clone()).collect();
        let mut rest = self.commit_long(&rest).await.into_iter();
        let answer = |at| match told(at) {
            Some(now) => CommitAnswer::Committed { now, requested: false },
            None => rest.next().unwrap_or_else(|| unreachable!("a part is answered whole")),
        };
        (0..batch.len()).map(answer).collect()
    }

    /// Whatever the members are: locked first, decided one by one.
    async fn commit_long(&self, batch: &[Commit<Change>]) -> Vec<CommitAnswer> {
        if batch.is_empty() {
            return Vec::new();
        }
        let mut answers = Vec::with_capacity(batch.len());
        let mut parts = one_of_each(batch);
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
    /// Requests wait to be journaled, or have waited.
    requested: bool,
}

/// The batch in parts, in its order, none of which has two members of one run: a part's statements address each run once.
fn one_of_each(batch: &[Commit<Change>]) -> Vec<&[Commit<Change>]> {
    let (mut parts, mut begun, mut seen) = (Vec::new(), 0, HashSet::new());
    for (at, member) in batch.iter().enumerate() {
        if !seen.insert(member.run) {
            parts.push(&batch[begun..at]);
            begun = at;
            seen = HashSet::from([member.run]);
        }
    }
    parts.push(&batch[begun..]);
    parts.reverse();
    parts
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
    let mut tx = db.write_together().await?;
    let subjects = lock_subjects(&mut tx, part.iter(), carried).await?;
    let runs = lock_runs(&mut tx, part, carried).await?;
    let ends_parked = |member: &Commit<Change>| runs.get(&member.run.0)?.parked_on.filter(|_| member.records.iter().any(ends_forward));
    let wants: BTreeSet<Uuid> = part.iter().filter_map(ends_parked).filter(|workspace| !subjects.contains(workspace)).collect();
    if !wants.is_empty() {
        tx.rollback().await?;
        return Ok(Part::Wants(wants));
    }
    let now = tx.now().await?;
    let left = unjournaled(&mut tx, part, &runs).await?;
    let mut answers = Vec::with_capacity(part.len());
    let mut written: Vec<Written<'_, Change>> = Vec::with_capacity(part.len());
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
        let requested = run.requested
            && left.get(&member.run.0).is_some_and(|waiting| waiting.iter().any(|request| !member.requests.contains(request)));
        if requested && member.records.iter().any(starts_forward) {
            answers.push(CommitAnswer::Requested);
            continue;
        }
        written.push(Written { member, requested });
        answers.push(CommitAnswer::Committed { now, requested });
    }
    if written.is_empty() {
        tx.rollback().await?;
        return Ok(Part::Done(answers));
    }
    rows::journal(&mut tx, &written).await?;
    let mut closings = match changes::apply(&mut tx, rows::asked(&written), now).await {
        Ok(closings) => closings,
        Err(error) => return Err(tx.refused(error).await),
    };
    for Written { member, .. } in &written {
        if let (Some(workspace), Some(run)) = (ends_parked(member), runs.get(&member.run.0)) {
            // What the attempt may have made came after the freeze was carried out, or did not: only doing it again tells.
            apply::raise_quietly(&mut tx, workspace).await?;
            let alive = apply::hold(&mut tx, run.account, workspace, None, &Value::Null).await?;
            closings.push(Closing::Carry { account_id: run.account, workspace, alive });
        }
        if !member.requests.is_empty() {
            let requests = Keys::new(member.requests.iter().copied());
            tx.query(&JOURNALED).bind(now).bind(requests).bind(member.run.0).execute().await?;
        }
    }
    rows::update(&mut tx, &written, now).await?;
    // Head rows last.
    changes::close(&mut tx, closings, now).await?;
    tx.commit().await?;
    Ok(Part::Done(answers))
}

/// The record is the start of a forward attempt.
fn starts_forward(record: &Record) -> bool {
    matches!(record.event, Event::StepStarted { .. })
}

/// The requests that no record journals yet, of the members' runs that have some.
async fn unjournaled(tx: &mut Tx, part: &[Commit<Change>], runs: &HashMap<Uuid, Locked>) -> Result<HashMap<Uuid, Vec<Uuid>>, Error> {
    let asked = part.iter().map(|member| member.run.0).filter(|run| runs.get(run).is_some_and(|run| run.requested));
    let asked: BTreeSet<Uuid> = asked.collect();
    let mut left: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    if !asked.is_empty() {
        for row in tx.query(&UNJOURNALED).bind(keys(asked)).fetch_all().await? {
            left.entry(row.get("run_id")?).or_default().push(row.get("id")?);
        }
    }
    Ok(left)
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
        for row in tx.query(&CARRIERS).bind(keys(carried.iter().copied())).fetch_all().await? {
            ids.push(row.get("id")?);
        }
        ids.sort_unstable();
        ids.dedup();
    }
    let mut runs = HashMap::new();
    let offset = tx.offset();
    for row in tx.query(&LOCK_RUNS).bind(offset).bind(keys(ids)).fetch_all().await? {
        tx.learn(row.get("now")?);
        if !row.get::<bool>("terminal")? {
            let workspace: Option<Uuid> = row.get("workspace_id")?;
            let parked: bool = row.get("parked")?;
            let locked = Locked {
                epoch: row.get("epoch")?,
                account: row.get("account_id")?,
                parked_on: workspace.filter(|_| parked),
                requested: row.get("requested")?,
            };
            runs.insert(row.get("id")?, locked);
        }
    }
    Ok(runs)
}

/// Locks the workspaces and accounts that the batch's changes are about, and those in `carried`: before the runs, as
/// everywhere. Returns the workspaces.
async fn lock_subjects<'a>(
    tx: &mut Tx,
    part: impl Iterator<Item = &'a Commit<Change>>,
    carried: &BTreeSet<Uuid>,
) -> Result<BTreeSet<Uuid>, Error> {
    let mut workspaces = carried.clone();
    let mut accounts = Vec::new();
    for change in part.flat_map(|member| &member.changes) {
        match changes::subject(change) {
            Some(Subject::Workspace(id)) => drop(workspaces.insert(id)),
            Some(Subject::Account(id)) => accounts.push(id),
            None => {}
        }
    }
    tx.locks(Rank::Subject);
    if !accounts.is_empty() {
        tx.query(&LOCK_ACCOUNTS).bind(keys(accounts)).fetch_all().await?;
    }
    if !workspaces.is_empty() {
        tx.query(&LOCK_WORKSPACES).bind(keys(workspaces.iter().copied())).fetch_all().await?;
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
