//! What this machine and database can do at the most, measured over the same connections as everything else, so that a
//! figure of Berth's can be read as a share of it. Tables, statements and numbers of clients are those of the usual
//! `pgbench` scripts: one step of a run is one row advanced and one row appended.
//!
//! The statements are not among the listed ones: their tables are there only after [`Db::prepare_limits`].

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, SqlitePool};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::writer::Writer;
use super::{Db, Error, Pools, Statement};

/// Rows of the table that steps advance.
const ROWS: i64 = 10_000;

static TABLES: Statement = Statement::split(
    "limit tables",
    "create table if not exists lim_run (id bigint primary key, step int not null default 0, state text not null default 'running',
       updated_at timestamptz not null default now()) with (fillfactor = 70);
     create table if not exists lim_log (id bigserial primary key, run_id bigint not null, step int not null, result jsonb not null,
       at timestamptz not null default now());
     create index if not exists lim_log_by_run on lim_log (run_id, step);
     insert into lim_run (id) select g from generate_series(1, 10000) g on conflict do nothing;
     analyze lim_run",
    "create table if not exists lim_run (id integer primary key, step int not null default 0, state text not null default 'running',
       updated_at int not null default (unixepoch()));
     create table if not exists lim_log (id integer primary key, run_id int not null, step int not null, result text not null,
       at int not null default (unixepoch()));
     create index if not exists lim_log_by_run on lim_log (run_id, step);
     with recursive series(g) as (select 1 union all select g + 1 from series where g < 10000)
     insert or ignore into lim_run (id) select g from series",
);

/// The export's table; `$1` is put in as a number, because a table cannot be made with a bound value.
const EXPORT_TABLE: &str = "create table exp_run as
  select gen_random_uuid() as id, gen_random_uuid() as tenant_id, 'ws-' || g as name,
    (array['pending', 'running', 'active', 'failed', 'compensated'])[1 + g % 5] as state, 'eu-west-' || (g % 3) as region, g % 11 as step,
    'user' || (g % 5000) || '@example.test' as requested_by,
    jsonb_build_object('plan', 'team', 'envs', jsonb_build_array('dev', 'stage', 'prod'), 'n', g) as spec,
    now() - g * interval '1 second' as created_at, now() - g * interval '1 second' + interval '4 seconds' as updated_at
  from generate_series(1, $1) g";
const EXPORT: &str = "copy (select id, tenant_id, name, state, region, step, requested_by, spec, created_at, updated_at from exp_run)
  to stdout (format csv)";

static STEP: Statement = Statement::split(
    "limit step",
    "with u as (update lim_run set step = step + 1, updated_at = now() where id >= $1 and id < $1 + $2 and state = 'running'
       returning id, step)
     insert into lim_log (run_id, step, result) select id, step, '{\"ok\": true}' from u",
    "update lim_run set step = step + 1, updated_at = unixepoch() where id >= $1 and id < $1 + $2 and state = 'running'",
);
/// SQLite changes one table a statement.
const LOG: &str =
    "insert into lim_log (run_id, step, result) select id, step, '{\"ok\": true}' from lim_run where id >= $1 and id < $1 + $2";
static UPDATE: Statement = Statement::split(
    "limit update",
    "update lim_run set step = step + 1, updated_at = now() where id = $1",
    "update lim_run set step = step + 1, updated_at = unixepoch() where id = $1",
);
static SELECT: Statement = Statement::shared("limit select", "select id, step, state from lim_run where id = $1");

/// What is done again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Steps of this many runs in one commit.
    Steps(i64),
    /// One row updated, alone.
    Update,
    /// One row read by its key.
    Select,
}

/// How often something was done in how long, and how long each time took, in microseconds, sorted.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    pub elapsed: Duration,
    pub micros: Vec<u64>,
}

impl Db {
    /// Makes the tables that the limits are measured on.
    ///
    /// # Errors
    /// As any statement.
    pub async fn prepare_limits(&self) -> Result<(), Error> {
        match &self.pools {
            Pools::Postgres(kept) => {
                let mut own = alone(kept.pool()).await?;
                sqlx::raw_sql(TABLES.postgres).execute(&mut own).await?;
                own.close().await?;
            }
            Pools::Sqlite { writer, .. } => sqlx::raw_sql(TABLES.sqlite).execute(&mut *writer.alone().await?).await.map(drop)?,
        }
        Ok(())
    }

    /// Does `limit` over and over for `time`, from `clients` connections at once. On SQLite writers are one whatever `clients` says.
    ///
    /// # Errors
    /// As any statement.
    pub async fn limit(&self, limit: Limit, clients: u32, time: Duration) -> Result<Measured, Error> {
        let mut tasks = JoinSet::new();
        // Connections of its own, as many as clients, whatever the process's own are limited to; all of them open before the clock runs.
        let own = match &self.pools {
            Pools::Postgres(kept) => {
                let options = kept.pool().connect_options().as_ref().clone();
                Some(PgPoolOptions::new().max_connections(clients).acquire_timeout(Duration::from_mins(1)).connect_lazy_with(options))
            }
            Pools::Sqlite { .. } => None,
        };
        let mut connections = Vec::new();
        if let Some(own) = &own {
            for _ in 0..clients {
                connections.push(own.acquire().await?);
            }
        }
        let began = Instant::now();
        let until = began + time;
        for (client, connection) in (0..).zip(connections) {
            tasks.spawn(on_postgres(connection, limit, client, until));
        }
        if let Pools::Sqlite { writer, readers } = &self.pools {
            for client in 0..clients {
                tasks.spawn(on_sqlite(writer.clone(), readers.clone(), limit, client, until));
            }
        }
        let mut micros = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            micros.append(&mut ended.map_err(|e| Error::broken(e.to_string()))??);
        }
        let elapsed = began.elapsed();
        if let Some(own) = own {
            own.close().await;
        }
        micros.sort_unstable();
        Ok(Measured { elapsed, micros })
    }

    /// Copies a table of `rows` rows of ten columns out as CSV, and answers how long that took; `None` on SQLite, which has no such command.
    ///
    /// # Errors
    /// As any statement.
    pub async fn export_limit(&self, rows: u32) -> Result<Option<Duration>, Error> {
        let Pools::Postgres(kept) = &self.pools else { return Ok(None) };
        let mut own = alone(kept.pool()).await?;
        let table = EXPORT_TABLE.replace("$1", &rows.to_string());
        sqlx::raw_sql("drop table if exists exp_run").execute(&mut own).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(table)).execute(&mut own).await?;
        sqlx::raw_sql("alter table exp_run add primary key (id)").execute(&mut own).await?;
        sqlx::raw_sql("vacuum analyze exp_run").execute(&mut own).await?;
        let began = Instant::now();
        let mut bytes = own.copy_out_raw(EXPORT).await?;
        while bytes.try_next().await?.is_some() {}
        drop(bytes);
        let took = began.elapsed();
        own.close().await?;
        Ok(Some(took))
    }
}

/// A connection beside the pool's: those may all be kept ready for transactions, and be given to nobody else.
async fn alone(pool: &PgPool) -> Result<PgConnection, Error> {
    Ok(PgConnection::connect_with(&pool.connect_options()).await?)
}

/// Spread over the rows without a generator of random numbers: the factor shares no divisor with their number.
fn row(limit: Limit, client: u32, turn: i64) -> i64 {
    let width = if let Limit::Steps(runs) = limit { runs } else { 1 };
    1 + (turn * 7_919 + i64::from(client) * 313) % (ROWS + 1 - width)
}

async fn on_postgres(mut connection: PoolConnection<Postgres>, limit: Limit, client: u32, until: Instant) -> Result<Vec<u64>, Error> {
    let mut micros = Vec::new();
    for turn in 0.. {
        let began = Instant::now();
        if turn > 0 && began >= until {
            break;
        }
        let id = row(limit, client, turn);
        match limit {
            Limit::Steps(runs) => sqlx::query(STEP.postgres).bind(id).bind(runs).execute(&mut *connection).await.map(drop)?,
            Limit::Update => sqlx::query(UPDATE.postgres).bind(id).execute(&mut *connection).await.map(drop)?,
            Limit::Select => sqlx::query(SELECT.postgres).bind(id).fetch_one(&mut *connection).await.map(drop)?,
        }
        micros.push(took(began));
    }
    Ok(micros)
}

async fn on_sqlite(writer: Arc<Writer>, readers: SqlitePool, limit: Limit, client: u32, until: Instant) -> Result<Vec<u64>, Error> {
    let mut micros = Vec::new();
    for turn in 0.. {
        let began = Instant::now();
        if turn > 0 && began >= until {
            break;
        }
        let id = row(limit, client, turn);
        match limit {
            Limit::Steps(runs) => {
                let mut alone = writer.alone().await?;
                let mut tx = alone.begin_with("begin immediate").await?;
                sqlx::query(STEP.sqlite).bind(id).bind(runs).execute(&mut *tx).await?;
                sqlx::query(LOG).bind(id).bind(runs).execute(&mut *tx).await?;
                tx.commit().await?;
            }
            Limit::Update => sqlx::query(UPDATE.sqlite).bind(id).execute(&mut *writer.alone().await?).await.map(drop)?,
            Limit::Select => sqlx::query(SELECT.sqlite).bind(id).fetch_one(&readers).await.map(drop)?,
        }
        micros.push(took(began));
    }
    Ok(micros)
}

fn took(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}
