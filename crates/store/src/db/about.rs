//! What database it is, and what it has been asked so far: for reports of what was measured on it.

use serde_json::{Value, json};

use super::{Db, Error, Statement};

crate::statements! {
    VERSION = split(
        "select current_setting('server_version') as version, current_setting('fsync') as fsync,
           current_setting('synchronous_commit') as synchronous_commit, current_setting('full_page_writes') as full_page_writes,
           current_setting('shared_buffers') as shared_buffers",
        "select sqlite_version() as version",
    );
    TRANSACTIONS = split(
        "select xact_commit + xact_rollback as done from pg_stat_database where datname = current_database()",
        "select 0 as done",
    );
    CAN_COUNT = split(
        "select current_setting('shared_preload_libraries') like '%pg_stat_statements%' as known",
        "select false as known",
    );
    ANALYZE = split("analyze", "analyze");
}

/// Not among the listed statements: the extension is there only where [`Db::count_statements`] has made it.
static COUNT_STATEMENTS: Statement = Statement::split("count statements", "create extension if not exists pg_stat_statements", "select 1");
static STATEMENTS_DONE: Statement = Statement::split(
    "statements done",
    "select coalesce(sum(calls), 0)::bigint as done from pg_stat_statements
     where dbid = (select oid from pg_database where datname = current_database())",
    "select 0 as done",
);

impl Db {
    /// The database's version, and those of its settings that decide what a commit costs.
    ///
    /// # Errors
    /// As any statement.
    pub async fn about(&self) -> Result<Value, Error> {
        let mut tx = self.read().await?;
        let row = tx.query(&VERSION).fetch_one().await?;
        let version: String = row.get("version")?;
        if self.is_sqlite() {
            return Ok(json!({"kind": "sqlite", "version": version, "synchronous": "full", "journal_mode": "wal"}));
        }
        let text = |name: &str| row.get::<String>(name);
        Ok(json!({
            "kind": "postgresql",
            "version": version,
            "fsync": text("fsync")?,
            "synchronous_commit": text("synchronous_commit")?,
            "full_page_writes": text("full_page_writes")?,
            "shared_buffers": text("shared_buffers")?,
        }))
    }

    /// How many transactions have ended in this database.
    ///
    /// # Errors
    /// As any statement.
    pub async fn transactions(&self) -> Result<i64, Error> {
        self.read().await?.query(&TRANSACTIONS).fetch_one().await?.get("done")
    }

    /// Sees to it that statements are counted, where the server has been started with `pg_stat_statements`.
    ///
    /// # Errors
    /// As any statement.
    pub async fn count_statements(&self) -> Result<bool, Error> {
        let mut tx = self.write().await?;
        let known: bool = tx.query(&CAN_COUNT).fetch_one().await?.get("known")?;
        if known {
            tx.query(&COUNT_STATEMENTS).execute().await?;
        }
        tx.commit().await?;
        Ok(known)
    }

    /// How many statements have been executed in this database, where [`Db::count_statements`] said that they are counted.
    ///
    /// # Errors
    /// As any statement.
    pub async fn statements_done(&self) -> Result<i64, Error> {
        self.read().await?.query(&STATEMENTS_DONE).fetch_one().await?.get("done")
    }

    /// Has the planner look at the tables as they are now.
    ///
    /// # Errors
    /// As any statement.
    pub async fn analyze(&self) -> Result<(), Error> {
        let mut tx = self.write().await?;
        tx.query(&ANALYZE).execute().await?;
        tx.commit().await
    }
}
