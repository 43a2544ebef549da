//! Workers: registrations with leases. Their table stands alone; what a death means for runs is told to the runs' table in
//! a transaction of its own, which can be repeated: a dead worker never lives again.

use std::time::Duration;

use saga::ports::Renewal;
use saga::{RunId, Time, WorkerId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::{Error, Rank, Tx};
use crate::{Store, pauses};

crate::statements! {
    REGISTER = shared("insert into workers (id, lease_until, registered_at, dead_at) values ($1, $2, $3, null)");
    KILL_ALL = shared("update workers set dead_at = $1 where dead_at is null");
    RENEW = shared("update workers set lease_until = $2 where id = $1 and dead_at is null");
    BURY = shared("update workers set dead_at = $1 where dead_at is null and lease_until < $1");
    KILL = shared("update workers set dead_at = $2 where id = $1 and dead_at is null");
    DEAD_SINCE = shared("select id from workers where dead_at >= $1");
    REQUESTED = shared("select id from provisioning_runs where owner = $1 and requested and not terminal");
    RELEASE = split(
        "update provisioning_runs set owner = null where (bucket, id) in (
           select bucket, id from provisioning_runs where owner in (select k.id from jsonb_to_recordset($1) as k(id uuid))
           order by id for update)",
        "update provisioning_runs set owner = null where owner in (select unhex(value->>'id') from json_each($1))",
    );
}

/// A claim that was under way when its worker died may commit after the worker's runs were released. No transaction lasts
/// this long, so that releasing the runs of those who died since catches it.
const LATE_CLAIMS: Duration = Duration::from_mins(10);

/// Frees the runs of these dead workers; they stay due.
async fn release(tx: &mut Tx, dead: &[Uuid]) -> Result<(), Error> {
    tx.locks(Rank::Run);
    let ids: Value = dead.iter().map(|id| json!({"id": id.simple().to_string()})).collect();
    tx.query(&RELEASE).bind(ids).execute().await?;
    Ok(())
}

impl Store {
    pub(crate) async fn register_worker(&self, worker: WorkerId, lease: Duration) -> Result<Time, Error> {
        let mut tx = self.db.write().await?;
        let now = tx.now().await?;
        if self.db.is_sqlite() {
            // Exactly one process has the file open: whoever registers knows that all earlier workers are gone.
            tx.query(&KILL_ALL).bind(now).execute().await?;
        }
        tx.query(&REGISTER).bind(worker.0).bind(now + lease).bind(now).execute().await?;
        tx.commit().await?;
        self.release_dead_since(Time::from_micros(0)).await?;
        Ok(now)
    }

    pub(crate) async fn renew_worker(&self, worker: WorkerId, lease: Duration) -> Result<Renewal, Error> {
        let mut tx = self.db.write().await?;
        let now = tx.now().await?;
        let alive = tx.query(&RENEW).bind(worker.0).bind(now + lease).execute().await? == 1;
        tx.commit().await?;
        if !alive {
            return Ok(Renewal::Dead);
        }
        let mut tx = self.db.read().await?;
        let rows = tx.query(&REQUESTED).bind(worker.0).fetch_all().await?;
        let requested = rows.iter().map(|row| row.get("id").map(RunId)).collect::<Result<_, _>>()?;
        Ok(Renewal::Alive { now, requested, pauses: pauses::all(&mut tx).await? })
    }

    pub(crate) async fn bury_workers(&self) -> Result<u64, Error> {
        let mut tx = self.db.write().await?;
        let now = tx.now().await?;
        let buried = tx.query(&BURY).bind(now).execute().await?;
        tx.commit().await?;
        self.release_dead_since(now - LATE_CLAIMS).await?;
        Ok(buried)
    }

    pub(crate) async fn retire_worker(&self, worker: WorkerId) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        let now = tx.now().await?;
        tx.query(&KILL).bind(worker.0).bind(now).execute().await?;
        tx.commit().await?;
        let mut tx = self.db.write().await?;
        release(&mut tx, &[worker.0]).await?;
        tx.commit().await
    }

    async fn release_dead_since(&self, since: Time) -> Result<(), Error> {
        let mut tx = self.db.read().await?;
        let rows = tx.query(&DEAD_SINCE).bind(since).fetch_all().await?;
        drop(tx);
        let dead = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<Uuid>, _>>()?;
        if dead.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write().await?;
        release(&mut tx, &dead).await?;
        tx.commit().await
    }
}
