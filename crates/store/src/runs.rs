//! The engine's store: claims, requests and journals of runs. Transitions are in [`crate::run_commits`], workers in
//! [`crate::workers`].

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use domain::Change;
use domain::ids::bucket;
use domain::pauses::{Kind, of_run};
use saga::ports::{Claim, Claimed, ClaimedRun, Commit, CommitAnswer, Facts, Renewal, Request, Runs, Sought};
use saga::{DefinitionId, Record, RunId, StoreError, Time, WorkerId};
use uuid::Uuid;

use crate::db::{Columns, Error, Keys, Rank, Row};
use crate::{Store, provisioning_runs, words};

crate::statements! {
    // Rows that another claim has locked are left to it. `materialized`: a plan that ran the select twice would claim more than
    // asked. The time stands beside whatever was claimed, so that it is told where nothing was. A run is new until it is claimed
    // for the first time or asked something; the two indexes tell the same. A worker that does not know yet that it is dead gets
    // nothing: least of all its own runs, which are free again because it is. `+ 0`: SQLite plans a statement anew for each value of a
    // parameter that stands alone as its limit.
    CLAIM_NEW = split(
        "with found as materialized (
           select r.bucket, r.id from provisioning_runs r
           where r.owner is null and r.epoch = 0 and not r.requested
             and exists (select 1 from workers w where w.id = $2 and w.dead_at is null)
             and (r.saga, r.saga_version, r.saga_digest) in (select * from unnest($4::text[], $5::bigint[], $6::text[]))
             and r.account_id <> all($7::uuid[])
           order by r.turn, r.id limit $3 for update skip locked),
         taken as (
           update provisioning_runs u set owner = $2, epoch = u.epoch + 1 from found where u.bucket = found.bucket and u.id = found.id
           returning u.id, u.account_id, u.epoch, u.saga, u.saga_version, u.saga_digest, u.input, u.on_failure, u.created_at, u.trace, u.turn)
         select t.now, taken.* from (select clock_timestamp() + $1 * interval '1 microsecond' as now) t left join taken on true
         order by taken.turn",
        "update provisioning_runs set owner = $1, epoch = epoch + 1 where (bucket, id) in (
           select r.bucket, r.id from provisioning_runs r
           where r.owner is null and r.epoch = 0 and not r.requested
             and exists (select 1 from workers w where w.id = $1 and w.dead_at is null)
             and (r.saga, r.saga_version, r.saga_digest) in (select value->>0, value->>1, value->>2 from json_each($3))
             and r.account_id not in (select unhex(value->>0) from json_each($4))
           order by r.turn, r.id limit $2 + 0)
         returning id, account_id, epoch, saga, saga_version, saga_digest, input, on_failure, created_at, trace, turn",
    );
    CLAIM_DUE = split(
        "with found as materialized (
           select r.bucket, r.id, r.due_at, r.requested from provisioning_runs r
           where r.owner is null and not r.terminal and (r.epoch > 0 or r.requested) and r.due_at <= $2
             and exists (select 1 from workers w where w.id = $1 and w.dead_at is null)
             and (r.saga, r.saga_version, r.saga_digest) in (select * from unnest($4::text[], $5::bigint[], $6::text[]))
             and r.account_id <> all($7::uuid[])
           order by r.due_at, r.id limit $3 for update skip locked)
         update provisioning_runs u set owner = $1, epoch = u.epoch + 1 from found where u.bucket = found.bucket and u.id = found.id
         returning u.id, u.account_id, u.epoch, u.saga, u.saga_version, u.saga_digest, u.input, u.on_failure, u.created_at, u.trace, u.due_at",
        "update provisioning_runs set owner = $1, epoch = epoch + 1 where (bucket, id) in (
           select r.bucket, r.id from provisioning_runs r
           where r.owner is null and not r.terminal and (r.epoch > 0 or r.requested) and r.due_at <= $2
             and exists (select 1 from workers w where w.id = $1 and w.dead_at is null)
             and (r.saga, r.saga_version, r.saga_digest) in (select value->>0, value->>1, value->>2 from json_each($4))
             and r.account_id not in (select unhex(value->>0) from json_each($5))
           order by r.due_at, r.id limit $3 + 0)
         returning id, account_id, epoch, saga, saga_version, saga_digest, input, on_failure, created_at, trace, due_at",
    );
    // What an idle worker asks: one look at each of the two indexes.
    PEEK = split(
        "select now() + $1 * interval '1 microsecond' as now,
           exists (select 1 from provisioning_runs r where r.owner is null and r.epoch = 0 and not r.requested) as fresh,
           (select min(r.due_at) from provisioning_runs r
            where r.owner is null and not r.terminal and (r.epoch > 0 or r.requested)) as due_at",
        "select cast(round(unixepoch('subsec') * 1000) as integer) * 1000 + $1 as now,
           exists (select 1 from provisioning_runs r where r.owner is null and r.epoch = 0 and not r.requested) as fresh,
           (select min(r.due_at) from provisioning_runs r
            where r.owner is null and not r.terminal and (r.epoch > 0 or r.requested)) as due_at",
    );
    NEXT_DUE = shared(
        "select min(r.due_at) as due_at from provisioning_runs r
         where r.owner is null and not r.terminal and (r.epoch > 0 or r.requested) and r.due_at > $1",
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

/// A claim's definitions, and the accounts that it leaves alone.
fn wanted(claim: &Claim) -> (Columns, Columns) {
    let known = || claim.definitions.iter();
    let definitions = Columns::default()
        .texts(known().map(|d| d.name.clone()))
        .numbers(known().map(|d| i64::from(d.version)))
        .texts(known().map(|d| d.digest.clone()));
    let account = |scope: &String| Uuid::try_parse(scope.strip_prefix(Kind::Account.as_str())?.strip_prefix(':')?).ok();
    (definitions, Columns::default().ids(claim.without.iter().filter_map(account)))
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

/// What an idle worker sees.
struct Peeked {
    now: Time,
    fresh: bool,
    /// The first there is, past or to come.
    due_at: Option<Time>,
}

impl Store {
    async fn claim_runs(&self, claim: &Claim) -> Result<Claimed, Error> {
        if claim.sought == Sought::New {
            let (now, runs) = self.claim_new(claim, claim.limit).await?;
            return Ok(Claimed { now, runs, next_due: None });
        }
        let peeked = self.peek().await?;
        let mut claimed = Claimed { now: peeked.now, runs: Vec::new(), next_due: peeked.due_at.filter(|due| *due > peeked.now) };
        if peeked.due_at.is_some_and(|due| due <= peeked.now) {
            claimed = self.db.attempt(|| self.claim_due(claim)).await?;
        }
        let left = claim.limit.saturating_sub(u32::try_from(claimed.runs.len()).unwrap_or(u32::MAX));
        if peeked.fresh && left > 0 {
            match self.claim_new(claim, left).await {
                Ok((now, runs)) => {
                    claimed.now = now;
                    claimed.runs.extend(runs);
                }
                // What is claimed already must not be lost with this.
                Err(error) if claimed.runs.is_empty() => return Err(error),
                Err(error) => tracing::warn!(?error, "cannot claim what is new; the next poll does"),
            }
        }
        Ok(claimed)
    }

    async fn peek(&self) -> Result<Peeked, Error> {
        let offset = self.db.offset();
        let row = self.db.ask(&PEEK).bind(offset).fetch_one().await?;
        Ok(Peeked { now: row.get("now")?, fresh: row.get("fresh")?, due_at: row.get("due_at")? })
    }

    /// Of what is new there is no journal to be read, nor a request.
    async fn claim_new(&self, claim: &Claim, limit: u32) -> Result<(Time, Vec<ClaimedRun>), Error> {
        let (definitions, without) = wanted(claim);
        let claimed =
            |row: &Row| Ok(ClaimedRun { facts: facts(row)?, epoch: row.get("epoch")?, journal: Vec::new(), requests: Vec::new() });
        let Some(once) = self.db.once(&CLAIM_NEW) else {
            let mut tx = self.db.write_together().await?;
            tx.locks(Rank::Run);
            let now = tx.now().await?;
            let query = tx.query(&CLAIM_NEW).bind(claim.worker.0).bind(i64::from(limit)).bind(definitions).bind(without);
            let mut rows =
                query.fetch_all().await?.into_iter().map(|row| Ok((row.get("turn")?, row))).collect::<Result<Vec<_>, Error>>()?;
            tx.commit().await?;
            rows.sort_by_key(|(turn, _): &(i64, Row)| *turn);
            return Ok((now, rows.iter().map(|(_, row)| claimed(row)).collect::<Result<_, Error>>()?));
        };
        let query = once.bind(self.db.offset()).bind(claim.worker.0).bind(i64::from(limit)).bind(definitions).bind(without);
        let rows = query.fetch_all().await?;
        let now = rows.first().ok_or_else(|| Error::broken("a claim tells the time"))?.get("now")?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.get::<Option<Uuid>>("id")?.is_some() {
                runs.push(claimed(row)?);
            }
        }
        Ok((now, runs))
    }

    async fn claim_due(&self, claim: &Claim) -> Result<Claimed, Error> {
        let mut tx = self.db.write_together().await?;
        tx.locks(Rank::Run);
        let now = tx.now().await?;
        let (definitions, without) = wanted(claim);
        let query = tx.query(&CLAIM_DUE).bind(claim.worker.0).bind(now).bind(i64::from(claim.limit)).bind(definitions).bind(without);
        let mut rows = Vec::new();
        for row in query.fetch_all().await? {
            rows.push((row.get::<Time>("due_at")?, row));
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
        let next_due = tx.query(&NEXT_DUE).bind(now).fetch_one().await?.get("due_at")?;
        tx.commit().await?;
        Ok(Claimed { now, runs, next_due })
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

    /// Live runs whose definition is not `known`, by definition.
    async fn live_without(&self, known: impl Fn(&DefinitionId) -> bool) -> Result<Vec<(DefinitionId, u64)>, Error> {
        let mut tx = self.db.read().await?;
        let mut unknown = Vec::new();
        for row in tx.query(&LIVE_DEFINITIONS).fetch_all().await? {
            let definition = provisioning_runs::definition(&row)?;
            if !known(&definition) {
                unknown.push((definition, row.count("runs")?));
            }
        }
        Ok(unknown)
    }

    /// Workers stand in a table of their own, and are looked at after the runs: one that comes in between can claim them.
    async fn unclaimable_runs(&self, own: &[DefinitionId]) -> Result<Vec<(DefinitionId, u64)>, Error> {
        let mut live = self.live_without(|_| false).await?;
        let known = self.known_to_workers().await?;
        live.retain(|(id, _)| !known.digests.contains(&id.digest) && (known.is_all_said || !own.contains(id)));
        Ok(live)
    }
}

#[async_trait]
impl Runs<Change> for Store {
    async fn register(&self, worker: WorkerId, lease: Duration, known: &[DefinitionId]) -> Result<Time, StoreError> {
        Ok(self.db.attempt(|| self.register_worker(worker, lease, known)).await?)
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
        Ok(self.claim_runs(claim).await?)
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
        Ok(self.live_without(|id| known.contains(id)).await?)
    }

    async fn unclaimable(&self, known: &[DefinitionId]) -> Result<Vec<(DefinitionId, u64)>, StoreError> {
        Ok(self.unclaimable_runs(known).await?)
    }
}
