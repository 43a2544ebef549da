//! Runs and idempotency keys that have been kept long enough.
//!
//! Runs are walked through by id, which is by the time that they were made, along the index that is there for lookups: no
//! index is kept for this alone. What is decided in reading stays true until it is carried out, because references to an ended
//! run only go away; but for a retry of it, which moves its `updated_at`, so that this is looked at again under the run's lock.

use std::time::Duration;

use async_trait::async_trait;
use domain::ports::{Retention, Stretch};
use domain::workspaces::status::SAGA;
use saga::{RunId, StoreError, Time};
use uuid::Uuid;

use crate::Store;
use crate::db::{Error, Keys, Rank};
use crate::idempotency::KEPT;

/// Of the microseconds in a `Time`, what a UUIDv7 begins with.
const MICROS_IN_MILLI: i64 = 1000;

crate::statements! {
    // A chain of retries is one story: it goes when the last of it is old enough, as far as what it is about is gone as well.
    WALK = shared(
        "select r.id, (r.terminal and r.updated_at <= $4
           and not exists (
             select 1 from accounts a where a.bucket = r.bucket and a.id = r.account_id
               and (a.run_id = r.id or (r.workspace_id is null and (r.retry_of is not null or r.retried_by is not null))))
           and not exists (
             select 1 from workspaces w where w.bucket = r.bucket and w.id = r.workspace_id and w.purged_at is null
               and (w.run_id = r.id or w.made_by = r.id or r.retry_of is not null or r.retried_by is not null
                 or (r.saga = $5 and not exists (
                   select 1 from provisioning_runs l where l.bucket = r.bucket and l.workspace_id = r.workspace_id and l.saga = r.saga
                     and (l.created_at, l.id) > (r.created_at, r.id)))))
           and not exists (
             select 1 from provisioning_runs s where s.bucket = r.bucket and s.workspace_id = r.workspace_id
               and r.retried_by is not null and s.retry_of is not null and not (s.terminal and s.updated_at <= $4))) as ripe
         from provisioning_runs r where r.id > $1 and r.id < $2 order by r.id limit $3",
    );
    LOCK = split(
        "select r.id from jsonb_to_recordset($1) as k(bucket smallint, id uuid)
         join provisioning_runs r on r.bucket = k.bucket and r.id = k.id
         where r.terminal and r.updated_at <= $2 order by r.id for update of r skip locked",
        "select r.id from json_each($1) k join provisioning_runs r on r.bucket = k.value->>'bucket' and r.id = unhex(k.value->>'id')
         where r.terminal and r.updated_at <= $2 order by r.id",
    );
    DELETE_JOURNALS = split(
        "delete from run_journal j using jsonb_to_recordset($1) as k(bucket smallint, id uuid)
         where j.bucket = k.bucket and j.run_id = k.id",
        "delete from run_journal where (bucket, run_id) in (select value->>'bucket', unhex(value->>'id') from json_each($1))",
    );
    DELETE_REQUESTS = split(
        "delete from run_requests q using jsonb_to_recordset($1) as k(bucket smallint, id uuid)
         where q.bucket = k.bucket and q.run_id = k.id",
        "delete from run_requests where (bucket, run_id) in (select value->>'bucket', unhex(value->>'id') from json_each($1))",
    );
    DELETE_RUNS = split(
        "delete from provisioning_runs r using jsonb_to_recordset($1) as k(bucket smallint, id uuid)
         where r.bucket = k.bucket and r.id = k.id",
        "delete from provisioning_runs where (bucket, id) in (select value->>'bucket', unhex(value->>'id') from json_each($1))",
    );
    HAS_OLD_KEYS = shared("select exists (select 1 from idempotency where created_at <= $1) as found");
    // A key that a request is at work with is left to it: it may be about to take it anew.
    DELETE_KEYS = split(
        "with old as materialized (
           select bucket, account_id, scope from idempotency where created_at <= $1 order by created_at limit $2 for update skip locked)
         delete from idempotency i using old where i.bucket = old.bucket and i.account_id = old.account_id and i.scope = old.scope",
        "delete from idempotency where (bucket, account_id, scope) in (
           select bucket, account_id, scope from idempotency where created_at <= $1 order by created_at limit $2)",
    );
}

/// Before every UUIDv7 that is made at that time or later.
fn first_id_of(time: Time) -> Uuid {
    let millis = u128::from(u64::try_from(time.micros() / MICROS_IN_MILLI).unwrap_or(0));
    Uuid::from_u128(millis << 80)
}

impl Store {
    async fn forget_old_runs(&self, after: Option<RunId>, limit: u32, kept: Duration) -> Result<Stretch, Error> {
        let mut tx = self.db.read().await?;
        let now = tx.now().await?;
        let until = now - kept;
        let rows = tx
            .query(&WALK)
            .bind(after.map_or(Uuid::nil(), |run| run.0))
            .bind(first_id_of(until))
            .bind(i64::from(limit))
            .bind(until)
            .bind(SAGA)
            .fetch_all()
            .await?;
        drop(tx);
        let mut next = None;
        let mut ripe: Vec<Uuid> = Vec::new();
        for row in &rows {
            let id = row.get("id")?;
            next = Some(RunId(id));
            if row.get::<bool>("ripe")? {
                ripe.push(id);
            }
        }
        if ripe.is_empty() {
            return Ok(Stretch { forgotten: 0, next, now });
        }
        let mut tx = self.db.write().await?;
        tx.locks(Rank::Run);
        let rows = tx.query(&LOCK).bind(Keys::new(ripe)).bind(until).fetch_all().await?;
        let ids = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<Uuid>, _>>()?;
        for statement in [&DELETE_JOURNALS, &DELETE_REQUESTS] {
            tx.query(statement).bind(Keys::new(ids.iter().copied())).execute().await?;
        }
        let forgotten = tx.query(&DELETE_RUNS).bind(Keys::new(ids)).execute().await?;
        tx.commit().await?;
        Ok(Stretch { forgotten, next, now })
    }

    async fn forget_old_keys(&self, limit: u32) -> Result<u64, Error> {
        let mut tx = self.db.read().await?;
        let until = tx.now().await? - KEPT;
        let found: bool = tx.query(&HAS_OLD_KEYS).bind(until).fetch_one().await?.get("found")?;
        drop(tx);
        if !found {
            return Ok(0);
        }
        let mut tx = self.db.write().await?;
        tx.locks(Rank::Idempotency);
        let forgotten = tx.query(&DELETE_KEYS).bind(until).bind(i64::from(limit)).execute().await?;
        tx.commit().await?;
        Ok(forgotten)
    }
}

#[async_trait]
impl Retention for Store {
    async fn forget_runs(&self, after: Option<RunId>, limit: u32, kept: Duration) -> Result<Stretch, StoreError> {
        Ok(self.db.attempt(|| self.forget_old_runs(after, limit, kept)).await?)
    }

    async fn forget_keys(&self, limit: u32) -> Result<u64, StoreError> {
        Ok(self.db.attempt(|| self.forget_old_keys(limit)).await?)
    }
}
