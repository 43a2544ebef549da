//! Opens the PostgreSQL that the settings name, or says in a sentence why it cannot be used.

use std::time::Duration;

use store::{Access, Db, Pooler, Waits};

use crate::config::{Config, DatabaseUrl, Pooling};
use crate::failure::Failure;

/// The oldest PostgreSQL that the tests run on.
const OLDEST: i64 = 15;

/// For serving and working: through the pooler, if there is one, and only if the schema is one that this binary may run on.
///
/// # Errors
/// There is no such database, it cannot be reached, or its schema is too old or too new.
pub async fn open(config: &Config) -> Result<Db, Failure> {
    let settings = &config.database;
    let pooler = match settings.pooler {
        Pooling::None => Pooler::None,
        Pooling::Transaction => Pooler::Transaction,
    };
    let waits = Waits { lock: settings.lock_timeout.0, statement: settings.statement_timeout.0, connection: settings.connection_timeout.0 };
    let db = connect(url(config)?, Access { pooler, connections: settings.connections, waits }).await?;
    db.check_schema().await.map_err(|e| Failure::new(format!("the database cannot be used: {e}")))?;
    Ok(db)
}

/// For migrations: without the pooler, which would lose their lock, and as long as they need.
///
/// # Errors
/// As [`open`], whatever the schema.
pub async fn open_to_migrate(config: &Config) -> Result<Db, Failure> {
    let settings = &config.database;
    let direct = match (&settings.direct_url, settings.pooler) {
        (Some(direct), _) => accepted(direct)?,
        (None, Pooling::None) => url(config)?,
        (None, Pooling::Transaction) => {
            return Err(Failure::new(
                "a migration holds a lock of its session, which a pooler in between would lose: name the database itself in \
                 `database.direct_url`",
            ));
        }
    };
    let waits = Waits { lock: settings.lock_timeout.0, statement: Duration::ZERO, connection: settings.connection_timeout.0 };
    connect(direct, Access { pooler: Pooler::None, connections: 2, waits }).await
}

async fn connect(url: &DatabaseUrl, access: Access) -> Result<Db, Failure> {
    let failed = |cause: String| {
        let advice = if cause.contains("unsupported startup parameter") {
            "A pooler stands in between: say so with `database.pooler = \"transaction\"`"
        } else {
            "Start it, or correct `database.url`, then start again"
        };
        Failure::new(format!("the database {url} cannot be reached: {cause}. {advice}"))
    };
    let db = Db::connect(url.secret(), access).await.map_err(|e| failed(e.to_string()))?;
    let version = db.postgres_version().await.map_err(|e| failed(saga::StoreError::from(e).to_string()))?;
    if let Some(version) = version.filter(|version| *version < OLDEST) {
        return Err(Failure::new(format!("the database {url} is PostgreSQL {version}, and Berth needs {OLDEST} or newer")));
    }
    if !Db::verifies_server(url.secret()).unwrap_or(false) {
        tracing::warn!("the connection to the database is not sure to reach the right server: add sslmode=verify-full to its URL");
    }
    Ok(db)
}

fn url(config: &Config) -> Result<&DatabaseUrl, Failure> {
    let url = config.database.url.as_ref().ok_or_else(|| {
        Failure::new(
            "no database is named: set BERTH_DATABASE__URL, or give --database-url postgres://USER@HOST/NAME. \
             To try Berth without one, start `berth dev`",
        )
    })?;
    accepted(url)
}

fn accepted(url: &DatabaseUrl) -> Result<&DatabaseUrl, Failure> {
    let text = url.secret();
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(url);
    }
    let scheme = text.split(':').next().unwrap_or_default().to_lowercase();
    let is_file = ["db", "sqlite", "sqlite3"].iter().any(|end| text.ends_with(&format!(".{end}")));
    Err(Failure::new(if scheme.starts_with("sqlite") || scheme == "file" || is_file {
        "SQLite is for one process alone, and `berth serve` and `berth work` are made to run many times over on one database: \
         start `berth dev`, which has its own SQLite, or name a PostgreSQL: postgres://USER@HOST/NAME"
            .to_owned()
    } else {
        "the database's URL is none of a PostgreSQL: write postgres://USER@HOST/NAME".to_owned()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_urls_of_a_postgres_are_accepted_and_a_refusal_repeats_no_secret() {
        for url in ["postgres://u@h/d", "postgresql://u@h/d"] {
            assert!(accepted(&DatabaseUrl::new(url)).is_ok());
        }
        for (url, words) in [
            ("sqlite://berth.db", "one process alone"),
            ("sqlite::memory:", "one process alone"),
            ("/var/lib/berth/berth.db", "one process alone"),
            ("file:hunter2.sqlite3", "one process alone"),
            ("mysql://u:hunter2@h/d", "postgres://USER@HOST/NAME"),
            ("host=h password=hunter2", "postgres://USER@HOST/NAME"),
        ] {
            let refused = accepted(&DatabaseUrl::new(url)).unwrap_err().to_string();
            assert!(refused.contains(words) && !refused.contains("hunter2"), "{url}: {refused}");
        }
    }
}
