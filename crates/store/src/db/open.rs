//! How the two databases are opened: pools, their limits, and what a PostgreSQL session is told.
//!
//! Directly, a session is told its timeouts once, as it begins, and keeps prepared statements. Through a pooler that gives
//! a server connection away after each transaction, nothing outlives a transaction: it begins with its timeouts, and
//! statements are not kept.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use saga::StoreError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::kept::Kept;
use super::writer::Writer;
use super::{Db, Pools};

/// Prepared statements kept per connection: more than the store has.
const STATEMENTS: usize = 512;
/// How long to wait for a turn on SQLite.
const SQLITE_WAIT: Duration = Duration::from_secs(30);

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// For a row that another transaction has locked.
    pub lock: Duration,
    /// For one statement, waiting for locks included; zero: for ever.
    pub statement: Duration,
    /// For a connection.
    pub connection: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { lock: Duration::from_secs(5), statement: Duration::from_secs(30), connection: Duration::from_secs(10) }
    }
}

/// What stands between us and the PostgreSQL server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooler {
    #[default]
    None,
    /// A pooler such as `PgBouncer` that keeps a server connection for one transaction only.
    Transaction,
}

/// How a PostgreSQL is reached.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    pub pooler: Pooler,
    /// The most connections of this process.
    pub connections: u32,
    pub waits: Waits,
}

/// How transactions begin on PostgreSQL, and whether statements are kept prepared.
#[derive(Clone)]
pub(super) struct Session {
    pub read: Arc<str>,
    pub write: Arc<str>,
    pub keeps_statements: bool,
}

impl Session {
    fn of(access: Access) -> Self {
        const READ: &str = "begin transaction isolation level repeatable read read only";
        const WRITE: &str = "begin";
        match access.pooler {
            Pooler::None => Self { read: READ.into(), write: WRITE.into(), keeps_statements: true },
            Pooler::Transaction => {
                let waits = told(access.waits).map(|(name, value)| format!("; set local {name} = '{value}'")).concat();
                Self { read: format!("{READ}{waits}").into(), write: format!("{WRITE}{waits}").into(), keeps_statements: false }
            }
        }
    }

    /// Of SQLite, which begins in its own ways.
    fn own() -> Self {
        Self { read: "".into(), write: "".into(), keeps_statements: true }
    }
}

/// What PostgreSQL is told of a session: the timeouts; and not to read tables whole where an index will do, for its plans are kept, and
/// one that was made while a table was small would read all of it at each call when it is large. What it reads whole all the same looks
/// so expensive to it then that it would compile the plan, each time, which takes longer than any of our statements.
fn told(waits: Waits) -> [(&'static str, String); 7] {
    let millis = |d: Duration| d.as_millis().to_string();
    let off = || "off".to_owned();
    [
        ("statement_timeout", millis(waits.statement)),
        ("lock_timeout", millis(waits.lock)),
        ("idle_in_transaction_session_timeout", millis(waits.statement)),
        ("enable_seqscan", off()),
        ("enable_hashjoin", off()),
        ("enable_mergejoin", off()),
        ("jit", off()),
    ]
}

impl Db {
    /// Opens or makes the database file at `path`. The caller sees to it that no other process has it open.
    ///
    /// # Errors
    /// The file cannot be opened, made or written.
    pub async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .statement_cache_capacity(256);
        let opened = |e: sqlx::Error| StoreError::Unavailable(format!("{}: {e}", path.display()));
        // Its statements stand there with what opens a transaction before them too, and several as one.
        // What a savepoint would be rolled back to is kept in memory; otherwise it is written to a file as soon as it is 64 KiB.
        let writers = options.clone().statement_cache_capacity(512).pragma("temp_store", "memory");
        let writer = Writer::open(writers, SQLITE_WAIT).await.map_err(opened)?;
        // A file does not go away like a server: connections are not asked each time whether they are there.
        let readers = SqlitePoolOptions::new().acquire_timeout(SQLITE_WAIT).idle_timeout(None).max_lifetime(None);
        let readers = readers.test_before_acquire(false).max_connections(4);
        let readers = readers.connect_lazy_with(options.read_only(true).create_if_missing(false));
        Ok(Self { pools: Pools::Sqlite { writer, readers }, session: Session::own(), offset: Arc::default() })
    }

    /// Connects directly to the database that `url` names.
    ///
    /// # Errors
    /// As [`Db::connect`].
    pub async fn open_postgres(url: &str, connections: u32, waits: Waits) -> Result<Self, StoreError> {
        Self::connect(url, Access { pooler: Pooler::None, connections, waits }).await
    }

    /// Connects to the PostgreSQL database that `url` names; `sslmode`, `sslrootcert`, `sslcert` and `sslkey` in its query say
    /// how TLS is spoken.
    ///
    /// # Errors
    /// The URL is malformed, or the server cannot be reached, or is not who it should be.
    pub async fn connect(url: &str, access: Access) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)
            // The URL may hold a password, and so may the driver's sentence about it.
            .map_err(|_| StoreError::Broken("the database URL is malformed".to_owned()))?
            .application_name("berth");
        let options = match access.pooler {
            Pooler::None => options.statement_cache_capacity(STATEMENTS).options(told(access.waits)),
            // Neither of these would reach the server, and a pooler refuses what it does not know.
            Pooler::Transaction => options.statement_cache_capacity(0).extra_float_digits(None),
        };
        // Those of transactions are kept, not given back; one is left for what asks the pool itself.
        let connections = access.connections.max(2);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(access.waits.connection)
            .connect_with(options)
            .await
            .map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let kept = Kept::new(pool, connections - 1, access.waits.connection);
        Ok(Self { pools: Pools::Postgres(kept), session: Session::of(access), offset: Arc::default() })
    }

    /// Whether the server's certificate is checked to be that of the host that the URL names.
    ///
    /// # Errors
    /// The URL is malformed.
    pub fn verifies_server(url: &str) -> Result<bool, StoreError> {
        let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Broken("the database URL is malformed".to_owned()))?;
        let is_local = options.get_socket().is_some() || matches!(options.get_host(), "localhost" | "127.0.0.1" | "::1" | "[::1]");
        Ok(is_local || matches!(options.get_ssl_mode(), PgSslMode::VerifyFull))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn through_a_pooler_each_transaction_is_told_its_timeouts_and_nothing_is_kept() {
        let access = Access { pooler: Pooler::Transaction, connections: 1, waits: Waits::default() };
        let session = Session::of(access);
        assert_eq!(
            &*session.write,
            "begin; set local statement_timeout = '30000'; set local lock_timeout = '5000'; \
             set local idle_in_transaction_session_timeout = '30000'; set local enable_seqscan = 'off'; \
             set local enable_hashjoin = 'off'; set local enable_mergejoin = 'off'; set local jit = 'off'"
        );
        assert!(!session.keeps_statements);
        let direct = Session::of(Access { pooler: Pooler::None, ..access });
        assert_eq!((&*direct.write, direct.keeps_statements), ("begin", true));
    }

    #[test]
    fn only_a_server_that_is_far_and_not_verified_is_worth_a_warning() {
        for (url, verified) in [
            ("postgres://u@db.example.com/b?sslmode=verify-full", true),
            ("postgres://u@localhost/b", true),
            ("postgres://u@127.0.0.1:6432/b", true),
            ("postgres://u@localhost/b?host=/run/postgresql", true),
            ("postgres://u@db.example.com/b", false),
            ("postgres://u@db.example.com/b?sslmode=require", false),
            ("postgres://u@db.example.com/b?sslmode=verify-ca", false),
        ] {
            assert_eq!(Db::verifies_server(url).unwrap(), verified, "{url}");
        }
    }
}
