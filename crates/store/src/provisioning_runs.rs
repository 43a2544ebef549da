//! Provisioning runs as the use cases see them: rows, journals, verbs. What the engine does with them is in [`crate::runs`].

pub(crate) mod retry;

use async_trait::async_trait;
use domain::ids::bucket;
use domain::model::{ProvisioningRun, RunDetail};
use domain::ports::{
    IdempotencyKey, NewRequest, NewRun, Page, ProvisioningRuns, RequestAnswer, RetryAnswer, RetryRun, RunCounts, RunFilter, Written,
};
use saga::{DefinitionId, Record, RunId, StoreError, Time, Verb};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::{Cells, Columns, Error, Keys, Rank, Row, Tx};
use crate::{Store, audit, gates, idempotency, words};

/// What [`run`] reads, in the order in which it does, of rows `r`; `$input` in the place of the input.
macro_rules! columns {
    ($input:literal) => {
        concat!(
            "r.id, r.saga, r.saga_version, r.saga_digest, r.account_id, r.workspace_id, r.retry_of, r.retried_by, r.on_failure, r.state,
               r.waiting_for, r.ending, r.turned, r.done, r.total, r.deadline_at, r.created_at, r.updated_at, r.version, r.created_by_kind,
               r.created_by_id, r.paused_by, ",
            $input
        )
    };
}

macro_rules! select {
    ($rest:literal) => {
        concat!("select ", columns!("r.input"), " from provisioning_runs r ", $rest)
    };
}

pub(crate) mod glances;

crate::statements! {
    INSERT = split(
        "insert into provisioning_runs (bucket, id, account_id, workspace_id, saga, saga_version, saga_digest, retry_of, retried_by,
           input, on_failure, exclusive, trace, created_by_kind, created_by_id, created_at, updated_at, version, state, waiting_for,
           ending, turned, done, total, deadline_at, terminal, owner, epoch, requested, turn, due_at, parked)
         select k.bucket, k.id, k.account_id, k.workspace_id, k.saga, k.version, k.digest, k.retry_of, null,
           k.input::jsonb, k.on_failure, k.exclusive, k.trace::jsonb, k.kind, k.creator, $1, $1, 1, 'pending', null,
           null, null, 0, k.total, null, false, null, 0, false, k.turn, $1, false
         from unnest($2::smallint[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::bigint[], $8::text[], $9::uuid[], $10::text[],
             $11::text[], $12::boolean[], $13::text[], $14::text[], $15::uuid[], $16::bigint[], $17::bigint[])
           as k(bucket, id, account_id, workspace_id, saga, version, digest, retry_of, input, on_failure, exclusive, trace, kind, creator,
             total, turn)",
        "insert into provisioning_runs (bucket, id, account_id, workspace_id, saga, saga_version, saga_digest, retry_of, retried_by,
           input, on_failure, exclusive, trace, created_by_kind, created_by_id, created_at, updated_at, version, state, waiting_for,
           ending, turned, done, total, deadline_at, terminal, owner, epoch, requested, turn, due_at, parked)
         select value->>0, unhex(value->>1), unhex(value->>2), unhex(value->>3), value->>4, value->>5, value->>6, unhex(value->>7), null,
           value->>8, value->>9, value->>10, value->>11, value->>12, unhex(value->>13), $1, $1, 1, 'pending', null,
           null, null, 0, value->>14, null, false, null, 0, false, value->>15, $1, false
         from json_each($2)",
    );
    GET = shared(select!("where bucket = $1 and id = $2"));
    LIST = split(
        select!(
            "where ($1::uuid is null or id < $1) and ($2::uuid is null or account_id = $2) and ($3::uuid is null or workspace_id = $3)
               and ($4::text is null or state = $4)
               and ($5::jsonb is null or account_id in (select k.id from jsonb_to_recordset($5) as k(bucket smallint, id uuid)))
             order by id desc limit $6"
        ),
        select!(
            "where ($1 is null or id < $1) and ($2 is null or account_id = $2) and ($3 is null or workspace_id = $3)
               and ($4 is null or state = $4) and ($5 is null or account_id in (select unhex(value->>'id') from json_each($5)))
             order by id desc limit $6"
        ),
    );
    VERSIONS = split(
        "select r.id, r.version from provisioning_runs r
         join jsonb_to_recordset($1) as k(bucket smallint, id uuid) on k.bucket = r.bucket and k.id = r.id",
        "select r.id, r.version from json_each($1) k
         join provisioning_runs r on r.bucket = k.value->>'bucket' and r.id = unhex(k.value->>'id')",
    );
    JOURNAL = shared("select seq, at, event from run_journal where bucket = $1 and run_id = $2 order by seq");
    PENDING_VERBS = shared(
        "select verb from run_requests where bucket = $1 and run_id = $2 and journaled_at is null order by ordinal",
    );
    LOCK = split(
        "select account_id, terminal, retried_by from provisioning_runs where bucket = $1 and id = $2 for update",
        "select account_id, terminal, retried_by from provisioning_runs where bucket = $1 and id = $2",
    );
    INSERT_REQUEST = shared(
        "insert into run_requests (bucket, id, run_id, ordinal, verb, step, actor, comment, requested_at, journaled_at)
         select $1, $3, $2, coalesce(max(ordinal), 0) + 1, $4, $5, $6, $7, $8, null from run_requests where bucket = $1 and run_id = $2",
    );
    LATEST = shared(select!("where bucket = $1 and workspace_id = $2 and saga = $3 order by created_at desc, id desc limit 1"));
    MARK_REQUESTED = shared(
        "update provisioning_runs set requested = true, updated_at = $3, version = version + 1,
           due_at = case when owner is null then $3 else due_at end
         where bucket = $1 and id = $2",
    );
    RESTS = shared("select 1 as one from provisioning_runs where bucket = $1 and id = $2 and terminal and updated_at <= $3");
    COUNTS = shared("select state, count(*) as runs, min(created_at) as oldest from provisioning_runs where not terminal group by state");
}

/// Inserts a run that is due now. Called under the head row's lock, from which the place in the queue comes.
pub(crate) async fn insert(tx: &mut Tx, run: &NewRun, turn: i64) -> Result<(), Error> {
    let now = tx.now().await?;
    insert_all(tx, std::iter::once((run, turn)), now).await
}

/// Inserts runs with their places in the queue, as [`insert`] does.
pub(crate) async fn insert_all<'a>(tx: &mut Tx, runs: impl Iterator<Item = (&'a NewRun, i64)> + Clone, now: Time) -> Result<(), Error> {
    let each = || runs.clone().map(|(run, _)| run);
    let columns = Columns::default()
        .keys(each().map(|run| run.id.0))
        .ids(each().map(|run| run.account_id))
        .optional_ids(each().map(|run| run.workspace_id))
        .texts(each().map(|run| run.definition.name.clone()))
        .numbers(each().map(|run| i64::from(run.definition.version)))
        .texts(each().map(|run| run.definition.digest.clone()))
        .optional_ids(each().map(|run| run.retry_of.map(|of| of.0)))
        .jsons(each().map(|run| Some(run.input.to_string())))
        .texts(each().map(|run| words::spell(run.on_failure)))
        .flags(each().map(|run| run.exclusive))
        .jsons(each().map(|run| Some(json!(run.trace).to_string())))
        .texts(each().map(|run| run.created_by.kind.as_str().to_owned()))
        .ids(each().map(|run| run.created_by.id))
        .numbers(each().map(|run| i64::from(run.total)))
        .numbers(runs.clone().map(|(_, turn)| turn));
    tx.query(&INSERT).bind(now).bind(columns).execute().await?;
    Ok(())
}

/// A verb to be left for the run's owner.
pub(crate) struct Asked<'a> {
    pub id: Uuid,
    pub verb: Verb,
    pub step: Option<&'a str>,
    pub actor: Value,
    pub comment: Option<&'a str>,
}

/// Leaves a verb for the run's owner, and makes the run due if it has none. Under the run's lock.
pub(crate) async fn leave(tx: &mut Tx, run: RunId, asked: &Asked<'_>) -> Result<(), Error> {
    let now = tx.now().await?;
    tx.query(&INSERT_REQUEST)
        .bind(bucket(run.0))
        .bind(run.0)
        .bind(asked.id)
        .bind(words::spell(asked.verb))
        .bind(asked.step)
        .bind(asked.actor.clone())
        .bind(asked.comment)
        .bind(now)
        .execute()
        .await?;
    tx.query(&MARK_REQUESTED).bind(bucket(run.0)).bind(run.0).bind(now).execute().await?;
    Ok(())
}

/// The workspace's latest run of `saga`, whether or not it has ended.
pub(crate) async fn latest_of(tx: &mut Tx, workspace: Uuid, saga: &str) -> Result<Option<ProvisioningRun>, Error> {
    let row = tx.query(&LATEST).bind(bucket(workspace)).bind(workspace).bind(saga).fetch_optional().await?;
    row.as_ref().map(|row| run(&mut row.cells())).transpose()
}

/// Whether the run has ended, by `at` at the latest.
pub(crate) async fn rests_since(tx: &mut Tx, run: RunId, at: Time) -> Result<bool, Error> {
    Ok(tx.query(&RESTS).bind(bucket(run.0)).bind(run.0).bind(at).fetch_optional().await?.is_some())
}

/// The definition that the columns `saga`, `saga_version` and `saga_digest` name.
pub(crate) fn definition(row: &Row) -> Result<DefinitionId, Error> {
    Ok(DefinitionId { name: row.get("saga")?, version: row.count("saga_version")?, digest: row.get("saga_digest")? })
}

pub(crate) fn record(row: &Row) -> Result<Record, Error> {
    Ok(Record { seq: row.get("seq")?, at: row.get("at")?, event: row.json("event")? })
}

/// The run's records, in sequence.
pub(crate) async fn journal(tx: &mut Tx, run: RunId) -> Result<Vec<Record>, Error> {
    let rows = tx.query(&JOURNAL).bind(bucket(run.0)).bind(run.0).fetch_all().await?;
    rows.iter().map(record).collect()
}

/// The run in the next of a row's cells.
fn run(cells: &mut Cells<'_>) -> Result<ProvisioningRun, Error> {
    Ok(ProvisioningRun {
        id: RunId(cells.get()?),
        definition: DefinitionId { name: cells.get()?, version: cells.count()?, digest: cells.get()? },
        account_id: cells.get()?,
        workspace_id: cells.get()?,
        retry_of: cells.get::<Option<Uuid>>()?.map(RunId),
        retried_by: cells.get::<Option<Uuid>>()?.map(RunId),
        on_failure: cells.word(words::read)?,
        state: cells.word(words::read)?,
        waiting_for: cells.optional_word(words::read)?,
        ending: cells.optional_word(words::read)?,
        turn: cells.optional_json()?,
        done: cells.count()?,
        total: cells.count()?,
        deadline_at: cells.get()?,
        created_at: cells.get()?,
        updated_at: cells.get()?,
        version: cells.get()?,
        created_by: words::next_principal(cells)?,
        paused_by: cells.optional_json()?.unwrap_or_default(),
        // At a glance there is none.
        input: cells.get::<Option<Value>>()?.unwrap_or_default(),
    })
}

/// Row, journal and requests that are not journaled yet.
pub(crate) async fn detail(tx: &mut Tx, id: RunId) -> Result<Option<RunDetail>, Error> {
    let Some(row) = tx.query(&GET).bind(bucket(id.0)).bind(id.0).fetch_optional().await? else { return Ok(None) };
    let journal = journal(tx, id).await?;
    let verbs = tx.query(&PENDING_VERBS).bind(bucket(id.0)).bind(id.0).fetch_all().await?;
    let pending_verbs = verbs.iter().map(|row| row.word("verb", words::read)).collect::<Result<_, _>>()?;
    Ok(Some(RunDetail { run: run(&mut row.cells())?, journal, pending_verbs }))
}

impl Store {
    async fn list_runs(&self, accounts: Option<&[Uuid]>, filter: &RunFilter, page: Page) -> Result<Vec<ProvisioningRun>, Error> {
        let mut tx = self.db.read().await?;
        let rows = tx
            .query(&LIST)
            .bind(page.after)
            .bind(filter.account_id)
            .bind(filter.workspace_id)
            .bind(filter.state.map(words::spell))
            .bind(accounts.map(|ids| Keys::new(ids.iter().copied())))
            .bind(i64::from(page.limit))
            .fetch_all()
            .await?;
        rows.iter().map(|row| run(&mut row.cells())).collect()
    }

    async fn versions_of(&self, ids: &[RunId]) -> Result<Vec<(RunId, i64)>, Error> {
        let mut tx = self.db.read().await?;
        let rows = tx.query(&VERSIONS).bind(Keys::new(ids.iter().map(|id| id.0))).fetch_all().await?;
        rows.iter().map(|row| Ok((RunId(row.get("id")?), row.get("version")?))).collect()
    }

    async fn request_verb(&self, new: &NewRequest) -> Result<Written<RequestAnswer>, Error> {
        let mut tx = self.db.write().await?;
        if let Some(earlier) = idempotency::enter(&mut tx, new.idempotency.as_ref()).await? {
            tx.rollback().await?;
            return Ok(earlier);
        }
        if let Some(workspace) = new.gate {
            let freezes = gates::pass(&mut tx, workspace).await?;
            if !freezes.is_empty() {
                tx.rollback().await?;
                return Ok(Written::Done(RequestAnswer::Frozen(freezes)));
            }
        }
        let key = bucket(new.run.0);
        tx.locks(Rank::Run);
        let row = tx.query(&LOCK).bind(key).bind(new.run.0).fetch_optional().await?;
        let Some(row) = row else {
            tx.rollback().await?;
            return Ok(Written::Done(RequestAnswer::Forgotten));
        };
        if row.get::<bool>("terminal")? {
            tx.rollback().await?;
            return Ok(Written::Done(RequestAnswer::Ended));
        }
        let asked =
            Asked { id: new.id, verb: new.verb, step: new.step.as_deref(), actor: json!(new.actor), comment: new.comment.as_deref() };
        leave(&mut tx, new.run, &asked).await?;
        audit::append_alone(&mut tx, &new.audit).await?;
        tx.commit().await?;
        Ok(Written::Done(RequestAnswer::Requested))
    }

    async fn recall_key(&self, key: &IdempotencyKey) -> Result<Written<()>, Error> {
        let mut tx = self.db.read().await?;
        Ok(idempotency::recall(&mut tx, key).await?.unwrap_or(Written::Done(())))
    }

    async fn count_runs(&self) -> Result<RunCounts, Error> {
        let mut tx = self.db.read().await?;
        let now = tx.now().await?;
        let rows = tx.query(&COUNTS).fetch_all().await?;
        let mut counts = RunCounts { by_state: Vec::new(), oldest_live_at: None, now };
        for row in &rows {
            counts.by_state.push((row.word("state", words::read)?, row.count("runs")?));
            let oldest = row.get("oldest")?;
            counts.oldest_live_at = Some(counts.oldest_live_at.map_or(oldest, |known| oldest.min(known)));
        }
        Ok(counts)
    }
}

#[async_trait]
impl ProvisioningRuns for Store {
    async fn get(&self, id: RunId) -> Result<Option<RunDetail>, StoreError> {
        Ok(self.run_detail(id).await?)
    }

    async fn glance(&self, id: RunId) -> Result<Option<RunDetail>, StoreError> {
        Ok(self.questions.glances.ask(id.0, |ids| self.glances(ids)).await?.transpose()?)
    }

    async fn list(&self, accounts: Option<&[Uuid]>, filter: &RunFilter, page: Page) -> Result<Vec<ProvisioningRun>, StoreError> {
        Ok(self.list_runs(accounts, filter, page).await?)
    }

    async fn versions(&self, ids: &[RunId]) -> Result<Vec<(RunId, i64)>, StoreError> {
        Ok(self.versions_of(ids).await?)
    }

    async fn request(&self, new: NewRequest) -> Result<Written<RequestAnswer>, StoreError> {
        Ok(self.db.attempt(|| self.request_verb(&new)).await?)
    }

    async fn retry(&self, new: RetryRun) -> Result<Written<RetryAnswer>, StoreError> {
        Ok(self.db.attempt(|| self.retry_run(&new)).await?)
    }

    async fn recall(&self, key: &IdempotencyKey) -> Result<Written<()>, StoreError> {
        Ok(self.recall_key(key).await?)
    }

    async fn counts(&self) -> Result<RunCounts, StoreError> {
        Ok(self.count_runs().await?)
    }
}
