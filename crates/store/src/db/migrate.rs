//! Brings a database to the schema that this binary knows, and tells whether this binary may run on a database.
//!
//! Migrations expand first and contract later: what an older binary needs stays until nobody runs it any more. Each says which
//! is the oldest binary that may run on a database that has it, so that a newer schema is no reason to refuse.

use std::borrow::Cow;
use std::collections::BTreeMap;

use semver::Version;
use sha2::{Digest as _, Sha256};
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgPoolOptions;

use super::{Db, Error, Pools};

/// Version, name, PostgreSQL's text, SQLite's text: the same names in both folders.
macro_rules! migrations {
    ($($version:literal $name:literal),+ $(,)?) => {
        &[$((
            $version,
            $name,
            include_str!(concat!("../../../../migrations/postgres/", $name, ".sql")),
            include_str!(concat!("../../../../migrations/sqlite/", $name, ".sql")),
        )),+]
    };
}

const MIGRATIONS: &[(i64, &str, &str, &str)] = migrations![
    1 "0001_workspaces",
    2 "0002_status",
    3 "0003_members",
    4 "0004_exports",
    5 "0005_audit",
    6 "0006_pauses",
    7 "0007_names",
    8 "0008_queue",
    9 "0009_processes",
    10 "0010_unfinished",
    12 "0012_worker_sagas",
    13 "0013_tokens",
    14 "0014_identities",
    15 "0015_signing_keys",
    16 "0016_relationship_mark",
];

/// What this binary is.
pub const BINARY: &str = env!("CARGO_PKG_VERSION");

crate::statements! {
    IS_MIGRATED = split(
        "select to_regclass('_sqlx_migrations') is not null as migrated",
        "select exists (select 1 from sqlite_schema where name = '_sqlx_migrations') as migrated",
    );
    RECORDS_OLDEST = split(
        "select to_regclass('schema_compatibility') is not null as recorded",
        "select exists (select 1 from sqlite_schema where name = 'schema_compatibility') as recorded",
    );
    APPLIED = shared("select version, checksum from _sqlx_migrations order by version");
    OLDEST = shared("select migration, oldest_binary from schema_compatibility");
}

/// Why a database cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(
        "the database has schema {found}, and this binary knows schemas up to {known}: a newer Berth has written it. \
         Start that version, or restore a backup made before the upgrade"
    )]
    Newer { found: i64, known: i64 },
    #[error("this is Berth {BINARY}, and the database is for {oldest} and newer: install Berth {oldest} or a newer one")]
    TooOld { oldest: Version },
    #[error("the database has not been migrated for this version: run `berth migrate` first (missing: {})", .missing.join(", "))]
    Behind { missing: Vec<&'static str> },
    #[error("migration {version} was applied with other contents than this binary's: the database was made by a different build of Berth")]
    Changed { version: i64 },
    #[error(
        "a migration waited too long for a lock that another session holds ({0}). Nothing of it was done; those before it are. \
         Run `berth migrate` again, when there is less to do"
    )]
    Locked(String),
    #[error("its schema can be neither read nor migrated: {0}")]
    Failed(String),
}

impl From<Error> for MigrateError {
    fn from(error: Error) -> Self {
        match error {
            Error::LockTimeout(text) => Self::Locked(text),
            other => Self::Failed(saga::StoreError::from(other).to_string()),
        }
    }
}

impl Db {
    /// Applies what is missing, and says what that was; does nothing on a database that is up to date, or ahead of a binary that
    /// may run on it.
    ///
    /// # Errors
    /// Refusals leave the database as it was. A migration that fails does not undo those before it.
    pub async fn migrate(&self) -> Result<Vec<&'static str>, MigrateError> {
        let missing = self.missing().await?;
        let mut migrator = self.migrator();
        // Whether this binary may run beside those that it does not know has just been looked at.
        migrator.set_ignore_missing(true);
        let outcome = match &self.pools {
            Pools::Postgres(kept) => {
                // One that fails leaves its session's lock behind: the session ends with its own pool.
                let options = kept.pool().connect_options().as_ref().clone();
                let own = PgPoolOptions::new().max_connections(1).connect_with(options).await.map_err(Error::from)?;
                let outcome = migrator.run(&own).await;
                own.close().await;
                outcome
            }
            Pools::Sqlite { writer, .. } => migrator.run_direct(None, &mut *writer.alone().await.map_err(Error::from)?, false).await,
        };
        match outcome {
            Ok(()) => Ok(missing),
            Err(sqlx::migrate::MigrateError::VersionMismatch(version)) => Err(MigrateError::Changed { version }),
            Err(sqlx::migrate::MigrateError::ExecuteMigration(error, _) | sqlx::migrate::MigrateError::Execute(error)) => {
                Err(Error::from(error).into())
            }
            Err(other) => Err(MigrateError::Failed(other.to_string())),
        }
    }

    /// Whether this binary may serve from the database as it is; changes nothing.
    ///
    /// # Errors
    /// Why it may not, and what to do.
    pub async fn check_schema(&self) -> Result<(), MigrateError> {
        let missing = self.missing().await?;
        if missing.is_empty() { Ok(()) } else { Err(MigrateError::Behind { missing }) }
    }

    /// The migrations of this binary that the database does not have.
    async fn missing(&self) -> Result<Vec<&'static str>, MigrateError> {
        let mut tx = self.read().await?;
        let mut applied: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
        if tx.query(&IS_MIGRATED).fetch_one().await?.get("migrated")? {
            for row in tx.query(&APPLIED).fetch_all().await? {
                applied.insert(row.get("version")?, row.get("checksum")?);
            }
        }
        let mut oldest: BTreeMap<i64, Version> = BTreeMap::new();
        if tx.query(&RECORDS_OLDEST).fetch_one().await?.get("recorded")? {
            for row in tx.query(&OLDEST).fetch_all().await? {
                let text: String = row.get("oldest_binary")?;
                let version = Version::parse(&text).map_err(|e| MigrateError::Failed(format!("`{text}` is no version of Berth: {e}")))?;
                oldest.insert(row.get("migration")?, version);
            }
        }
        let migrator = self.migrator();
        let known: BTreeMap<i64, &[u8]> = migrator.iter().map(|m| (m.version, &*m.checksum)).collect();
        let newest = known.keys().next_back().copied().unwrap_or(0);
        if let Some(version) = known.iter().find(|(v, sum)| applied.get(v).is_some_and(|a| a != *sum)).map(|(v, _)| *v) {
            return Err(MigrateError::Changed { version });
        }
        // One that says nothing of older binaries allows none.
        if let Some(found) = applied.keys().rfind(|v| !known.contains_key(v) && !oldest.contains_key(v)) {
            return Err(MigrateError::Newer { found: *found, known: newest });
        }
        let this = Version::parse(BINARY).map_err(|e| MigrateError::Failed(format!("this binary has no version: {e}")))?;
        if let Some(oldest) = oldest.into_values().max().filter(|oldest| this < *oldest) {
            return Err(MigrateError::TooOld { oldest });
        }
        Ok(MIGRATIONS.iter().filter(|m| !applied.contains_key(&m.0)).map(|m| m.1).collect())
    }

    fn migrator(&self) -> Migrator {
        let is_sqlite = self.is_sqlite();
        let migration = |m: &(i64, &'static str, &'static str, &'static str)| {
            let text = if is_sqlite { m.3 } else { m.2 };
            Migration::new(m.0, Cow::Borrowed(m.1), MigrationType::Simple, text.into_sql_str(), false)
        };
        Migrator::with_migrations(MIGRATIONS.iter().map(migration).collect())
    }
}

/// The numbers of all migrations, in their order.
#[must_use]
pub fn migrations() -> Vec<i64> {
    MIGRATIONS.iter().map(|m| m.0).collect()
}

/// Changes with any migration: names what was made from them, such as a test's template database.
#[must_use]
pub fn schema_digest() -> String {
    let mut hash = Sha256::new();
    for (_, name, postgres, sqlite) in MIGRATIONS {
        hash.update(name);
        hash.update(postgres);
        hash.update(sqlite);
    }
    crate::words::hex(&hash.finalize()[..8])
}
