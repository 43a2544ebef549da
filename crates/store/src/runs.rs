//! The engine's store: claims, requests and journals of runs. Transitions are in [`crate::run_commits`], workers in
//! [`crate::workers`].

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use domain::Change;
use domain::ids::bucket;
use domain::pauses::of_run;
use saga::ports::{Claim, Claimed, ClaimedRun, Commit, CommitAnswer, Facts, Renewal, Request, Runs};
use saga::{DefinitionId, Record, RunId, StoreError, Time, WorkerId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::{Error, Keys, Rank, Row};
use crate::{Store, pauses, provisioning_runs, words};

crate::statements! {
    // Rows that another claim has locked are left to it. `materialized`: a plan that ran the select twice would claim more than asked.
    CLAIM = split(
        "with due as materialized (
           select bucket, id from provisioning_runs r
           where r.owner is null and not r.terminal and r.due_at <= $2
             and exists (select 1 from jsonb_to_recordset($3) as d(name text, version bigint, digest text)
                         where d.name = r.saga and d.version = r.saga_version and d.digest = r.saga_digest)
           order by r.due_at, r.id limit $4 for update skip locked)
         update provisioning_runs u set owner = $1, epoch = u.epoch + 1 from due where u.bucket = due.bucket and u.id = due.id
         returning u.id, u.account_id, u.epoch, u.saga, u.saga_version, u.saga_digest, u.input, u.on_failure, u.created_at, u.trace, u.due_at",
        "update provisioning_runs set owner = $1, epoch = epoch + 1 where (bucket, id) in (
           select bucket, id from provisioning_runs r
           where r.owner is null and not r.terminal and r.due_at <= $2
             and exists (select 1 from json_each($3) d
                         where d.value->>'name' = r.saga and d.value->>'version' = r.saga_version
                           and d.value->>'digest' = r.saga_digest)
           order by r.due_at, r.id limit $4)
         returning id, account_id, epoch, saga, saga_version, saga_digest, input, on_failure, created_at, trace, due_at",
    );
    NEXT_DUE = split(
        "select min(due_at) as due_at from provisioning_runs r
         where r.owner is null and not r.terminal and r.due_at > $1
           and exists (select 1 from jsonb_to_recordset($2) as d(name text, version bigint, digest text)
                       where d.name = r.saga and d.version = r.saga_version and d.digest = r.saga_digest)",
        "select min(due_at) as due_at from provisioning_runs r
         where r.owner is null and not r.terminal and r.due_at > $1
           and exists (select 1 from json_each($2) d
                       where d.value->>'name' = r.saga and d.value->>'version' = r.saga_version and d.value->>'digest' = r.saga_digest)",
    );
    JOURNALS = split(
        "select j.run_id, j.seq, j.at, j.event from run_journal j
         join jsonb_to_recordset($1) as k(bucket smallint, id uuid) on k.bucket = j.bucket and k.id = j.run_id
         order by j.run_id, j.seq",
        "select j.run_id, j.seq, j.at, j.event from json_each($1) k
         join run_journal j on j.bucket = k.value->>'bucket' and j.run_id = unhex(k.value->>'id')
         order by j.run_id, j.seq",
    );
    REQUESTS = split(
        "select q.id, q.run_id, q.verb, q.step, q.actor, q.comment from run_requests q
         join jsonb_to_recordset($1) as k(bucket smallint, id uuid) on k.bucket = q.bucket and k.id = q.run_id
         where q.journaled_at is null order by q.run_id, q.ordinal",
        "select q.id, q.run_id, q.verb, q.step, q.actor, q.comment from json_each($1) k
         join run_requests q on q.bucket = k.value->>'bucket' and q.run_id = unhex(k.value->>'id')
         where q.journaled_at is null order by q.run_id, q.ordinal",
    );
    EPOCH = shared("select epoch from provisioning_runs where bucket = $1 and id = $2");
    LIVE_DEFINITIONS = shared(
        "select saga, saga_version, saga_digest, count(*) as runs from provisioning_runs where not terminal
         group by saga, saga_version, saga_digest order by saga, saga_version, saga_digest",
    );
}

fn definitions(known: &[DefinitionId]) -> Value {
    known.iter().map(|d| json!({"name": d.name, "version": d.version, "digest": d.digest})).collect()
}

fn request(row: &Row) -> Result<Request, Error> {
    Ok(Request {
        id: row.get("id")?,
        verb: row.word("verb", words::read)?,
        step: row.get("step")?,
        actor: row.get("actor")?,
        comment: row.get("comment")?,
    })
}

fn facts(row: &Row) -> Result<Facts, Error> {
    let trace: BTreeMap<String, String> = row.json("trace")?;
    let definition = provisioning_runs::definition(row)?;
    let account: Uuid = row.get("account_id")?;
    Ok(Facts {
        run: RunId(row.get("id")?),
        scopes: of_run(account, &definition.name).iter().map(ToString::to_string).collect(),
        definition,
        input: row.get("input")?,
        on_failure: row.word("on_failure", words::read)?,
        created_at: row.get("created_at")?,
        trace,
    })
}

impl Store {
    async fn claim_runs(&self, claim: &Claim) -> Result<Claimed, Error> {
        let mut tx = self.db.write().await?;
        tx.locks(Rank::Run);
        let now = tx.now().await?;
        let known = definitions(&claim.definitions);
        let mut rows = Vec::new();
        if claim.limit > 0 {
            let query = tx.query(&CLAIM).bind(claim.worker.0).bind(now).bind(known.clone()).bind(i64::from(claim.limit));
            for row in query.fetch_all().await? {
                rows.push((row.get::<Time>("due_at")?, row));
            }
        }
        rows.sort_by_key(|(due_at, _)| *due_at);
        let mut runs = Vec::with_capacity(rows.len());
        for (_, row) in &rows {
            runs.push(ClaimedRun { facts: facts(row)?, epoch: row.get("epoch")?, journal: Vec::new(), requests: Vec::new() });
        }
        if !runs.is_empty() {
            let mut journals: HashMap<Uuid, Vec<Record>> = HashMap::new();
            for row in tx.query(&JOURNALS).bind(Keys::new(runs.iter().map(|r| r.facts.run.0))).fetch_all().await? {
                journals.entry(row.get("run_id")?).or_default().push(provisioning_runs::record(&row)?);
            }
            let mut requests: HashMap<Uuid, Vec<Request>> = HashMap::new();
            for row in tx.query(&REQUESTS).bind(Keys::new(runs.iter().map(|r| r.facts.run.0))).fetch_all().await? {
                requests.entry(row.get("run_id")?).or_default().push(request(&row)?);
            }
            for run in &mut runs {
                run.journal = journals.remove(&run.facts.run.0).unwrap_or_default();
                run.requests = requests.remove(&run.facts.run.0).unwrap_or_default();
            }
        }
        let next_due = tx.query(&NEXT_DUE).bind(now).bind(known).fetch_one().await?.get("due_at")?;
        let pauses = pauses::all(&mut tx).await?;
        tx.commit().await?;
        Ok(Claimed { now, runs, next_due, pauses })
    }

    async fn requests_of(&self, run: RunId) -> Result<Vec<Request>, Error> {
        let mut tx = self.db.read().await?;
        tx.query(&REQUESTS).bind(Keys::new([run.0])).fetch_all().await?.iter().map(request).collect()
    }

    async fn journal_of(&self, run: RunId, epoch: i64) -> Result<Option<Vec<Record>>, Error> {
        let mut tx = self.db.read().await?;
        let row = tx.query(&EPOCH).bind(bucket(run.0)).bind(run.0).fetch_optional().await?;
        let same = row.map(|row| row.get::<i64>("epoch")).transpose()? == Some(epoch);
        if same { Ok(Some(provisioning_runs::journal(&mut tx, run).await?)) } else { Ok(None) }
    }

    async fn unknown_definitions(&self, known: &[DefinitionId]) -> Result<Vec<(DefinitionId, u64)>, Error> {
        let mut tx = self.db.read().await?;
        let mut unknown = Vec::new();
        for row in tx.query(&LIVE_DEFINITIONS).fetch_all().await? {
            let definition = provisioning_runs::definition(&row)?;
            if !known.contains(&definition) {
                unknown.push((definition, row.count("runs")?));
            }
        }
        Ok(unknown)
    }
}

#[async_trait]
impl Runs<Change> for Store {
    async fn register(&self, worker: WorkerId, lease: Duration) -> Result<Time, StoreError> {
        Ok(self.db.attempt(|| self.register_worker(worker, lease)).await?)
    }

    async fn renew(&self, worker: WorkerId, lease: Duration) -> Result<Renewal, StoreError> {
        Ok(self.db.attempt(|| self.renew_worker(worker, lease)).await?)
    }

    async fn bury(&self) -> Result<u64, StoreError> {
        Ok(self.db.attempt(|| self.bury_workers()).await?)
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StoreError> {
        Ok(self.db.attempt(|| self.retire_worker(worker)).await?)
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        Ok(self.db.attempt(|| self.claim_runs(claim)).await?)
    }

    async fn resume(&self, over: Duration) -> Result<u64, StoreError> {
        Ok(self.resume_runs(over).await?)
    }

    async fn requests(&self, run: RunId) -> Result<Vec<Request>, StoreError> {
        Ok(self.requests_of(run).await?)
    }

    async fn commit(&self, batch: Vec<Commit<Change>>) -> Vec<CommitAnswer> {
        self.commit_batch(&batch).await
    }

    async fn journal(&self, run: RunId, epoch: i64) -> Result<Option<Vec<Record>>, StoreError> {
        Ok(self.journal_of(run, epoch).await?)
    }

    async fn unknown(&self, known: &[DefinitionId]) -> Result<Vec<(DefinitionId, u64)>, StoreError> {
        Ok(self.unknown_definitions(known).await?)
    }
}
