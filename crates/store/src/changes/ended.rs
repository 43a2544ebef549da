//! The audit entries of runs: the one that closes a run, and the one of a run that Berth starts by itself.

use std::collections::{BTreeMap, HashMap};

use domain::audit::Draft;
use domain::change::Subject;
use domain::ids::within;
use saga::journal::Ending;
use saga::{Record, RunId, Time};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Closing;
use crate::db::{Columns, Error, Tx};
use crate::{provisioning_runs, words};

crate::statements! {
    FACTS = split(
        "select r.id, r.account_id, r.trace from provisioning_runs r
         join unnest($1::smallint[], $2::uuid[]) as k(bucket, id) on k.bucket = r.bucket and k.id = r.id",
        "select r.id, r.account_id, r.trace from json_each($1) k
         join provisioning_runs r on r.bucket = k.value->>0 and r.id = unhex(k.value->>1)",
    );
    JOURNALS = split(
        "select j.run_id, j.seq, j.at, j.event from run_journal j
         join unnest($1::smallint[], $2::uuid[]) as k(bucket, id) on k.bucket = j.bucket and k.id = j.run_id",
        "select j.run_id, j.seq, j.at, j.event from json_each($1) k
         join run_journal j on j.bucket = k.value->>0 and j.run_id = unhex(k.value->>1)",
    );
}

/// How a run has ended that was about `subject`.
pub(super) type Ended = (RunId, Subject, Ending);

/// The entries that close these runs. Their digests cover the journals as they now stand in the database, this commit's records
/// included.
pub(super) async fn closings(tx: &mut Tx, ended: &[Ended], now: Time) -> Result<Vec<Closing>, Error> {
    if ended.is_empty() {
        return Ok(Vec::new());
    }
    let keys = || Columns::default().keys(ended.iter().map(|(run, ..)| run.0));
    let mut facts: HashMap<Uuid, (Uuid, BTreeMap<String, String>)> = HashMap::new();
    for row in tx.query(&FACTS).bind(keys()).fetch_all().await? {
        facts.insert(row.get("id")?, (row.get("account_id")?, row.json("trace")?));
    }
    let mut journals: HashMap<Uuid, Vec<Record>> = HashMap::new();
    for row in tx.query(&JOURNALS).bind(keys()).fetch_all().await? {
        journals.entry(row.get("run_id")?).or_default().push(provisioning_runs::record(&row)?);
    }
    let mut closings = Vec::with_capacity(ended.len());
    for (run, subject, ending) in ended {
        let (account, trace) = facts.get(&run.0).ok_or_else(|| Error::broken(format!("run {run} has ended and is not there")))?;
        let digest = digest(journals.remove(&run.0).unwrap_or_default())?;
        let entry = Box::new(closing_entry(*run, *subject, *ending, *account, trace, digest, now));
        closings.push(Closing::Ended { run: *run, subject: *subject, ending: *ending, entry });
    }
    Ok(closings)
}

fn closing_entry(
    run: RunId,
    subject: Subject,
    ending: Ending,
    account: Uuid,
    trace: &BTreeMap<String, String>,
    digest: String,
    now: Time,
) -> Draft {
    let (kind, id) = match subject {
        Subject::Workspace(id) => ("workspace", id),
        Subject::Account(id) => ("account", id),
    };
    let workspace = matches!(subject, Subject::Workspace(_)).then_some(id);
    let entry = Draft::with_id(new_id(account, now), account, workspace, "run.end");
    Draft {
        request_id: trace.get("request_id").cloned(),
        trace_id: trace.get("traceparent").and_then(|t| t.split('-').nth(1)).map(str::to_owned),
        journal_sha256: Some(digest),
        ..entry.target("run", run.0).target(kind, id).outcome(&words::spell(ending)).run(run)
    }
}

fn digest(mut journal: Vec<Record>) -> Result<String, Error> {
    journal.sort_unstable_by_key(|record| record.seq);
    let mut hash = Sha256::new();
    for record in &journal {
        hash.update(serde_json_canonicalizer::to_vec(record).map_err(|e| Error::broken(e.to_string()))?);
        hash.update(b"\n");
    }
    Ok(words::hex(&hash.finalize()))
}

/// The entry of a run that Berth starts by itself.
pub(crate) fn started_entry(account: Uuid, workspace: Uuid, run: RunId, now: Time) -> Draft {
    let entry = Draft::with_id(new_id(account, now), account, Some(workspace), "run.start");
    entry.target("run", run.0).target("workspace", workspace).run(run)
}

/// An id of the account's, made in the database's time.
pub(crate) fn new_id(account: Uuid, now: Time) -> Uuid {
    let micros = u64::try_from(now.micros()).unwrap_or(0);
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
    within(account, Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, micros / 1_000_000, nanos)))
}
