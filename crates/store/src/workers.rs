//! Workers: registrations with leases. Their table stands alone; what a death means for runs is told to the runs' table in
//! a transaction of its own, which can be repeated: a dead worker never lives again.

use std::collections::BTreeSet;
use std::time::Duration;

use saga::ports::{Pause, Renewal};
use saga::{DefinitionId, RunId, Time, WorkerId};
use serde_json::Value;
use uuid::Uuid;

use crate::Store;
use crate::db::{Columns, Error, Rank, Tx};

crate::statements! {
    REGISTER = shared("insert into workers (id, lease_until, registered_at, dead_at, definitions) values ($1, $2, $3, null, $4)");
    KILL_ALL = shared("update workers set dead_at = $1 where dead_at is null");
    // Tells as well when the first of the others is dead, and whether all of them came after this one; no row: this one is dead.
    RENEW = split(
        "with renewed as (
           update workers set lease_until = clock_timestamp() + ($1::bigint + $2::bigint) * interval '1 microsecond' where id = $3 and dead_at is null
           returning id)
         select clock_timestamp() + $1 * interval '1 microsecond' as now,
           (select min(w.lease_until) from workers w where w.dead_at is null and w.id <> $3) as others_until,
           not exists (select 1 from workers w where w.dead_at is null and w.id < $3) as is_first
         from renewed",
        "update workers set lease_until = cast(round(unixepoch('subsec') * 1000) as integer) * 1000 + $1 + $2
         where id = $3 and dead_at is null
         returning lease_until - $2 as now,
           (select min(w.lease_until) from workers w where w.dead_at is null and w.id <> $3) as others_until,
           not exists (select 1 from workers w where w.dead_at is null and w.id < $3) as is_first",
    );
    BURY = split(
        "with buried as (
           update workers set dead_at = clock_timestamp() + $1 * interval '1 microsecond'
           where dead_at is null and lease_until < clock_timestamp() + $1 * interval '1 microsecond' returning id)
         select clock_timestamp() + $1 * interval '1 microsecond' as now, (select count(*) from buried) as buried",
        "update workers set dead_at = cast(round(unixepoch('subsec') * 1000) as integer) * 1000 + $1
         where dead_at is null and lease_until < cast(round(unixepoch('subsec') * 1000) as integer) * 1000 + $1
         returning dead_at as now, 1 as buried",
    );
    KNOW = shared("select definitions from workers where dead_at is null and lease_until >= $1");
    FORGET = shared("delete from workers where dead_at < $1");
    // What a renewal tells of other tables than its own.
    HEAR = split(
        "select
           (select coalesce(jsonb_agg(r.id), '[]') from provisioning_runs r where r.owner = $1 and r.requested and not r.terminal) as requested,
           (select coalesce(jsonb_agg(jsonb_build_object('kind', p.kind, 'name', p.name, 'undo', p.undo)), '[]') from pauses p) as pauses",
        "select
           (select json_group_array(hex(r.id)) from provisioning_runs r where r.owner = $1 and r.requested and not r.terminal) as requested,
           (select json_group_array(json_object('kind', p.kind, 'name', p.name, 'undo', json(iif(p.undo, 'true', 'false')))) from pauses p) as pauses",
    );
    KILL = shared("update workers set dead_at = $2 where id = $1 and dead_at is null");
    DEAD_SINCE = shared("select id from workers where dead_at >= $1");
    RELEASE = split(
        "update provisioning_runs set owner = null where (bucket, id) in (
           select bucket, id from provisioning_runs where owner = any($1::uuid[]) order by id for update)",
        "update provisioning_runs set owner = null where owner in (select unhex(value->>0) from json_each($1))",
    );
}

/// A claim that was under way when its worker died may commit after the worker's runs were released, a process that was
/// stopped may even send one when it goes on. So the runs of all who died in this time are released again and again.
const LATE_CLAIMS: Duration = Duration::from_hours(24);

/// What the workers can execute that are alive now.
pub(crate) struct Known {
    pub digests: BTreeSet<String>,
    pub is_all_said: bool,
}

fn digests(known: &[DefinitionId]) -> Value {
    known.iter().map(|definition| definition.digest.as_str()).collect()
}

/// Frees the runs of these dead workers; they stay due.
async fn release(tx: &mut Tx, dead: &[Uuid]) -> Result<u64, Error> {
    tx.locks(Rank::Run);
    tx.query(&RELEASE).bind(Columns::default().ids(dead.iter().copied())).execute().await
}

impl Store {
    pub(crate) async fn register_worker(&self, worker: WorkerId, lease: Duration, known: &[DefinitionId]) -> Result<Time, Error> {
        let mut tx = self.db.write().await?;
        let now = tx.now().await?;
        if self.db.is_sqlite() {
            // Exactly one process has the file open: whoever registers knows that all earlier workers are gone.
            tx.query(&KILL_ALL).bind(now).execute().await?;
        }
        tx.query(&FORGET).bind(now - LATE_CLAIMS).execute().await?;
        tx.query(&REGISTER).bind(worker.0).bind(now + lease).bind(now).bind(digests(known)).execute().await?;
        tx.commit().await?;
        self.release_dead_since(Time::from_micros(0)).await?;
        Ok(now)
    }

    /// Digests that live workers have said they can execute; `is_all_said`: each of them has said so.
    pub(crate) async fn known_to_workers(&self) -> Result<Known, Error> {
        let mut tx = self.db.read().await?;
        let now = tx.now().await?;
        let mut known = Known { digests: BTreeSet::new(), is_all_said: true };
        for row in tx.query(&KNOW).bind(now).fetch_all().await? {
            match row.get::<Option<Value>>("definitions")? {
                Some(said) => known.digests.extend(serde_json::from_value::<Vec<String>>(said).map_err(|e| Error::broken(e.to_string()))?),
                None => known.is_all_said = false,
            }
        }
        Ok(known)
    }

    pub(crate) async fn renew_worker(&self, worker: WorkerId, lease: Duration) -> Result<Renewal, Error> {
        let (offset, lease) = (self.db.offset(), i64::try_from(lease.as_micros()).unwrap_or(i64::MAX));
        let renewed = if let Some(once) = self.db.once(&RENEW) {
            once.bind(offset).bind(lease).bind(worker.0).fetch_all().await?.pop()
        } else {
            let mut tx = self.db.write().await?;
            let row = tx.query(&RENEW).bind(offset).bind(lease).bind(worker.0).fetch_optional().await?;
            tx.commit().await?;
            row
        };
        let Some(renewed) = renewed else { return Ok(Renewal::Dead) };
        let heard = self.db.ask(&HEAR).bind(worker.0).fetch_one().await?;
        let requested: Vec<Uuid> = heard.json("requested")?;
        let mut pauses: Vec<Pause> = heard.json::<Vec<Paused>>("pauses")?.into_iter().map(Pause::from).collect();
        pauses.sort_by(|a, b| a.scope.cmp(&b.scope));
        Ok(Renewal::Alive {
            now: renewed.get("now")?,
            requested: requested.into_iter().map(RunId).collect(),
            pauses,
            others_until: renewed.get("others_until")?,
            is_first: renewed.get("is_first")?,
        })
    }

    pub(crate) async fn bury_workers(&self) -> Result<u64, Error> {
        let offset = self.db.offset();
        let (now, buried) = if let Some(once) = self.db.once(&BURY) {
            let row = once.bind(offset).fetch_all().await?.pop().ok_or_else(|| Error::broken("a burial tells the time"))?;
            (row.get("now")?, row.count("buried")?)
        } else {
            let mut tx = self.db.write().await?;
            let now = tx.now().await?;
            let buried = tx.query(&BURY).bind(offset).fetch_all().await?.len();
            tx.commit().await?;
            (now, buried as u64)
        };
        Ok(buried.max(self.release_dead_since(now - LATE_CLAIMS).await?))
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

    /// Returns how many runs are free now that were not.
    async fn release_dead_since(&self, since: Time) -> Result<u64, Error> {
        let rows = self.db.ask(&DEAD_SINCE).bind(since).fetch_all().await?;
        let dead = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<Uuid>, _>>()?;
        if dead.is_empty() {
            return Ok(0);
        }
        let mut tx = self.db.write().await?;
        let released = release(&mut tx, &dead).await?;
        tx.commit().await?;
        Ok(released)
    }
}

/// A pause as it is read together with all others.
#[derive(serde::Deserialize)]
struct Paused {
    kind: String,
    name: String,
    undo: bool,
}

impl From<Paused> for Pause {
    fn from(Paused { kind, name, undo }: Paused) -> Self {
        Self { scope: format!("{kind}:{name}"), undo }
    }
}
