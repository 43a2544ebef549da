//! Brings a database to the schema that this binary knows, and refuses one that a newer binary has written.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::{Db, Pools};

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
    10 "0010_unfinished",
];

/// Why a database cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(
        "the database has schema {found}, and this binary knows schemas up to {known}: a newer Berth has written it. \
         Start that version, or restore a backup made before the upgrade"
    )]
    Newer { found: i64, known: i64 },
    #[error("migration {version} was applied with other contents than this binary's: the database was made by a different build of Berth")]
    Changed { version: i64 },
    #[error("the database could not be migrated: {0}")]
    Failed(String),
}

impl Db {
    /// Applies what is missing; does nothing on a database that is up to date.
    ///
    /// # Errors
    /// [`MigrateError::Newer`] leaves the database as it was.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        let known = MIGRATIONS.iter().map(|m| m.0).max().unwrap_or(0);
        let outcome = match &self.pools {
            Pools::Postgres(kept) => migrator(|m| m.2).run(kept.pool()).await,
            Pools::Sqlite { writer, .. } => migrator(|m| m.3).run(writer).await,
        };
        outcome.map_err(|error| match error {
            sqlx::migrate::MigrateError::VersionMissing(found) if found > known => MigrateError::Newer { found, known },
            sqlx::migrate::MigrateError::VersionMismatch(version) => MigrateError::Changed { version },
            other => MigrateError::Failed(other.to_string()),
        })
    }
}

fn migrator(text: fn(&(i64, &str, &'static str, &'static str)) -> &'static str) -> Migrator {
    let migrations =
        MIGRATIONS.iter().map(|m| Migration::new(m.0, Cow::Borrowed(m.1), MigrationType::Simple, text(m).into_sql_str(), false)).collect();
    Migrator::with_migrations(migrations)
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
