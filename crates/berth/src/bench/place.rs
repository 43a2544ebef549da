//! Where a measurement takes place: a database of its own, dropped when it is over.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use store::db::Scratch;
use store::{Db, Store, Waits};

use super::{Interruption, refused};
use crate::failure::Failure;

/// Filling a table may take longer than any request may.
const STATEMENT: Duration = Duration::from_mins(30);

#[derive(Debug, Clone, Args)]
pub struct On {
    /// The PostgreSQL server to measure on, in a new database, which the URL's user must be allowed to create. Without it:
    /// SQLite, in a temporary folder.
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// Connections to PostgreSQL that each process may open.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub connections: u32,
    /// Leaves the database there, and prints where it is.
    #[arg(long)]
    pub keep: bool,
}

enum Ground {
    Postgres(Box<Scratch>),
    Sqlite(tempfile::TempDir),
}

/// An open, migrated, empty database.
pub struct Place {
    pub store: Store,
    /// For other processes: a URL, or a path.
    pub location: String,
    ground: Ground,
}

impl On {
    /// Has `work` done in a database of its own. However it ends, the database goes with it.
    ///
    /// # Errors
    /// The database cannot be made; `work` fails or is interrupted.
    pub async fn with<T>(&self, work: impl AsyncFnOnce(&Place) -> Result<T, Failure>) -> Result<T, Failure> {
        // From before there is anything to clear away.
        let mut interruption = Interruption::new()?;
        let place = self.make().await?;
        let done = interruption.unless(Box::pin(work(&place))).await;
        let cleared = place.leave(self.keep).await;
        let done = done?;
        cleared?;
        Ok(done)
    }

    async fn make(&self) -> Result<Place, Failure> {
        let (ground, location) = if let Some(url) = &self.database_url {
            let scratch = Scratch::create(url).await.map_err(|e| {
                Failure::new(format!(
                    "no database can be made for the measurement: {e}. Name a server, and a user that may create databases: \
                     --database-url postgres://USER@HOST/postgres"
                ))
            })?;
            let url = scratch.url();
            (Ground::Postgres(Box::new(scratch)), url)
        } else {
            let folder = tempfile::Builder::new().prefix("berth-bench-").tempdir();
            let folder = folder.map_err(|e| Failure::new(format!("no temporary folder can be made: {e}. Name one in TMPDIR")))?;
            let file = folder.path().join("berth.db").display().to_string();
            (Ground::Sqlite(folder), file)
        };
        match open(&location, self.database_url.is_some(), self.connections).await {
            Ok(store) => {
                let place = Place { store, location, ground };
                match place.store.db().migrate().await {
                    Ok(_) => Ok(place),
                    Err(e) => {
                        place.leave(false).await?;
                        Err(refused(e))
                    }
                }
            }
            Err(e) => {
                if let Ground::Postgres(scratch) = ground {
                    scratch.discard().await.map_err(refused)?;
                }
                Err(e)
            }
        }
    }

    /// For a measurement with workers in processes of their own.
    ///
    /// # Errors
    /// No server is named.
    pub fn several_processes(&self) -> Result<(), Failure> {
        match self.database_url {
            Some(_) => Ok(()),
            None => Err(Failure::new(
                "workers in processes of their own need PostgreSQL: SQLite is for one process. Name a server: --database-url URL",
            )),
        }
    }

    /// A measurement's parameters, and on what it was made.
    pub fn parameters(&self, of: Value) -> Value {
        let mut parameters = of;
        parameters["database"] = json!(if self.database_url.is_some() { "postgresql" } else { "sqlite" });
        if self.database_url.is_some() {
            parameters["connections"] = json!(self.connections);
        }
        parameters
    }
}

/// A handle on the database at `location`.
pub async fn open(location: &str, is_url: bool, connections: u32) -> Result<Store, Failure> {
    let waits = Waits { statement: STATEMENT, connection: Duration::from_mins(1), ..Waits::default() };
    let db = if is_url { Db::open_postgres(location, connections, waits).await } else { Db::open_sqlite(&PathBuf::from(location)).await };
    Ok(Store::new(db.map_err(refused)?))
}

impl Place {
    /// What the database is called, or the folder that it is in.
    pub fn name(&self) -> String {
        match &self.ground {
            Ground::Postgres(scratch) => scratch.name().to_owned(),
            Ground::Sqlite(folder) => folder.path().display().to_string(),
        }
    }

    async fn leave(self, keep: bool) -> Result<(), Failure> {
        self.store.db().close().await;
        match self.ground {
            Ground::Postgres(scratch) if keep => eprintln!("berth: the database {} is kept", scratch.name()),
            Ground::Postgres(scratch) => scratch.discard().await.map_err(|e| Failure::new(format!("the database is left behind: {e}")))?,
            Ground::Sqlite(folder) if keep => eprintln!("berth: the database is kept in {}", folder.keep().display()),
            Ground::Sqlite(folder) => drop(folder),
        }
        Ok(())
    }
}
