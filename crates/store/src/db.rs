//! The one connection to our database, over two drivers: nothing outside this module and its parts names either.
//!
//! [`Db`] opens transactions, [`Tx`] runs statements in one. It promises: reads see one moment; writes on SQLite are
//! one at a time from their first statement on; time is the database's, read once per transaction and bound as a value,
//! so that no text computes it and tests can move it.

pub(crate) mod about;
mod columns;
mod error;
pub(crate) mod hints;
mod kept;
mod limits;
pub(crate) mod migrate;
mod once;
mod open;
mod query;
pub(crate) mod roles;
mod scratch;
pub(crate) mod server;
mod statement;
mod value;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use saga::Time;
use sqlx::{Executor as _, Sqlite, SqlitePool, Transaction};

use kept::{Held, Kept};
use writer::{Shares, Taken, Writer};

pub use columns::{Columns, JsonText, Piece};
pub use error::Error;
pub use hints::{Hint, Hints};
pub use limits::{Limit, Measured};
pub use migrate::{BINARY, MigrateError, migrations, schema_digest};
pub use open::{Access, Pooler, Waits};
pub use query::Query;
pub use roles::Granted;
pub use scratch::Scratch;
pub use statement::Statement;
pub use value::{Arguments, Bind, Cells, Column, Keys, Place, Row};

crate::statements! {
    NOW = split(
        "select clock_timestamp() + $1 * interval '1 microsecond' as now",
        "select 0 as now",
    );
}

/// How often a transaction is begun again after a deadlock, a serialization failure or a busy database.
const TRIES: u32 = 8;

#[derive(Clone)]
enum Pools {
    Postgres(Arc<Kept>),
    Sqlite { writer: Arc<Writer>, readers: SqlitePool },
}

/// A handle on the database; cheap to clone.
#[derive(Clone)]
pub struct Db {
    pools: Pools,
    session: open::Session,
    /// Microseconds that tests have moved the database's clock by.
    offset: Arc<AtomicI64>,
}

impl Db {
    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        matches!(self.pools, Pools::Sqlite { .. })
    }

    /// Moves the database's clock forward for everyone who shares this handle: for tests.
    pub fn advance(&self, by: Duration) {
        self.offset.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Microseconds by which the database's clock is off on purpose; not zero in tests only.
    pub(crate) fn offset(&self) -> i64 {
        self.offset.load(Ordering::SeqCst)
    }

    /// A transaction that sees one moment and changes nothing.
    ///
    /// # Errors
    /// No connection was to be had.
    pub async fn read(&self) -> Result<Tx, Error> {
        let inner = match &self.pools {
            Pools::Postgres(kept) => Inner::Postgres(kept.begin(&self.session.read).await?),
            Pools::Sqlite { readers, .. } => Inner::Reader(readers.begin().await?),
        };
        Ok(self.tx(inner))
    }

    /// A transaction that may write: on SQLite the only one; on PostgreSQL READ COMMITTED, so that a statement after a lock
    /// sees what the lock was waited for.
    ///
    /// # Errors
    /// No connection was to be had.
    pub async fn write(&self) -> Result<Tx, Error> {
        self.begin(Shares::Nothing).await
    }

    /// As [`Db::write`]; but on SQLite it may be committed together with others that are opened so. What it reads may be theirs then,
    /// and not yet durable: whoever opens it ends it, by commit or by roll-back, before anything is concluded from that.
    ///
    /// # Errors
    /// No connection was to be had.
    pub async fn write_together(&self) -> Result<Tx, Error> {
        self.begin(Shares::Commit).await
    }

    async fn begin(&self, shares: Shares) -> Result<Tx, Error> {
        let inner = match &self.pools {
            Pools::Postgres(kept) => Inner::Postgres(kept.begin(&self.session.write).await?),
            Pools::Sqlite { writer, .. } => Inner::Writer(writer.begin(shares).await?),
        };
        Ok(self.tx(inner))
    }

    fn tx(&self, inner: Inner) -> Tx {
        let keeps_statements = self.session.keeps_statements;
        Tx { inner, keeps_statements, offset: self.offset(), now: None, highest: Rank::Idempotency }
    }

    /// Runs `once` until it is not refused for contention: deadlocks, serialization failures, a busy database.
    ///
    /// # Errors
    /// What the last try gave.
    pub async fn attempt<T, F>(&self, once: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        for tried in 1.. {
            match once().await {
                Err(Error::Contended(text)) if tried < TRIES => tracing::debug!(tried, text, "transaction refused for contention"),
                other => return other,
            }
        }
        unreachable!("the loop ends with its last try")
    }

    /// Asks the database whether it understands `statement`.
    ///
    /// # Errors
    /// It does not, or is not there.
    pub async fn prepare(&self, statement: &Statement) -> Result<(), Error> {
        match &self.pools {
            Pools::Postgres(kept) => {
                kept.pool().acquire().await?.prepare(sqlx::SqlSafeStr::into_sql_str(statement.postgres)).await.map(drop)?;
            }
            Pools::Sqlite { writer, .. } => {
                writer.alone().await?.prepare(sqlx::SqlSafeStr::into_sql_str(statement.sqlite)).await.map(drop)?;
            }
        }
        Ok(())
    }

    /// How many connections are in use now.
    #[must_use]
    pub fn in_use(&self) -> usize {
        match &self.pools {
            Pools::Postgres(kept) => kept.in_use(),
            Pools::Sqlite { writer, readers } => {
                let open = usize::try_from(readers.size()).unwrap_or(usize::MAX);
                writer.in_use() + open.saturating_sub(readers.num_idle())
            }
        }
    }

    /// Waits until every connection is closed.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Postgres(kept) => kept.close().await,
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }
}

enum Inner {
    Postgres(Held),
    Reader(Transaction<'static, Sqlite>),
    Writer(Taken),
}

/// The order in which the whole store takes its locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    Idempotency,
    /// Of the workspace or account that a run is about.
    Subject,
    Run,
    /// Last: after it only rows that nobody else can know are inserted.
    Head,
}

/// An open transaction; rolled back when dropped.
pub struct Tx {
    inner: Inner,
    keeps_statements: bool,
    offset: i64,
    now: Option<Time>,
    highest: Rank,
}

impl Tx {
    /// Says which lock the next statement takes: a debug build stops at one out of order, which could deadlock.
    pub fn locks(&mut self, rank: Rank) {
        debug_assert!(rank >= self.highest, "a lock on {rank:?} is taken after one on {:?}", self.highest);
        self.highest = self.highest.max(rank);
        // The wait for the lock may be long: what is stamped after it is stamped with a time after it.
        self.now = None;
    }

    /// The database's time. It is read at the first call after a lock, and stays the same until the next one.
    ///
    /// # Errors
    /// As any statement.
    pub async fn now(&mut self) -> Result<Time, Error> {
        if let Some(now) = self.now {
            return Ok(now);
        }
        let offset = self.offset;
        let now = match self.inner {
            Inner::Postgres(_) => self.query(&NOW).bind(offset).fetch_one().await?.get("now")?,
            Inner::Reader(_) | Inner::Writer(_) => writer::now(offset),
        };
        self.now = Some(now);
        Ok(now)
    }

    /// What a statement that reads the time by itself adds to it.
    pub(crate) fn offset(&self) -> i64 {
        self.offset
    }

    /// Takes the time that a statement has read after its locks for this transaction's, if it is later.
    pub(crate) fn learn(&mut self, now: Time) {
        self.now = Some(self.now.map_or(now, |known| known.max(now)));
    }

    pub fn query(&mut self, statement: &'static Statement) -> Query<'_> {
        let arguments = match self.inner {
            Inner::Postgres(_) => Arguments::Postgres(sqlx::postgres::PgArguments::default()),
            Inner::Reader(_) | Inner::Writer(_) => Arguments::Sqlite(sqlx::sqlite::SqliteArguments::default()),
        };
        Query::new(self, statement, arguments)
    }

    /// # Errors
    /// [`Error::Unknown`]: it may have been committed all the same.
    pub async fn commit(self) -> Result<(), Error> {
        match self.inner {
            Inner::Postgres(held) => held.end("commit").await.map_err(Error::at_commit),
            Inner::Reader(tx) => tx.commit().await.map_err(Error::at_commit),
            Inner::Writer(taken) => taken.commit().await,
        }
    }

    /// # Errors
    /// The connection is gone; so is the transaction. Or what it shared was not committed, and with it what was read.
    pub async fn rollback(self) -> Result<(), Error> {
        match self.inner {
            Inner::Postgres(held) => Ok(held.end("rollback").await?),
            Inner::Reader(tx) => Ok(tx.rollback().await?),
            Inner::Writer(taken) => taken.rollback().await,
        }
    }

    /// Ends the transaction, changing nothing, because of what was read in it: `error`, which is told when that is durable.
    pub async fn refused(self, error: Error) -> Error {
        match self.inner {
            Inner::Writer(taken) => taken.refused(error).await,
            Inner::Postgres(_) | Inner::Reader(_) => error,
        }
    }
}
