//! A fresh, migrated database for one test, of either kind.

use std::path::PathBuf;

use store::{Db, Store, Waits};

use crate::postgres;

/// Which of the two databases a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// A database of one test, gone when this is dropped.
pub struct TestDb {
    pub db: Db,
    pub backend: Backend,
    place: Place,
    waits: Waits,
}

enum Place {
    Sqlite {
        file: PathBuf,
        _folder: tempfile::TempDir,
    },
    Postgres(postgres::Database),
    /// Somebody else's, which stays.
    Elsewhere(String),
}

impl TestDb {
    /// # Panics
    /// If there is no database to be had: no test is skipped for the want of one.
    pub async fn new(backend: Backend) -> Self {
        Self::with_waits(backend, Waits::default()).await
    }

    /// As [`TestDb::new`], waiting for locks as long as the test wants.
    ///
    /// # Panics
    /// As [`TestDb::new`].
    pub async fn with_waits(backend: Backend, waits: Waits) -> Self {
        crate::output::gather();
        let place = match backend {
            Backend::Sqlite => {
                let folder = tempfile::Builder::new().prefix("berth-test-").tempdir().expect("a folder can be made");
                Place::Sqlite { file: folder.path().join("berth.db"), _folder: folder }
            }
            Backend::Postgres => Place::Postgres(postgres::Database::new().await),
        };
        let db = open(&place, waits).await;
        if backend == Backend::Sqlite {
            db.migrate().await.expect("an empty database can be migrated");
        }
        Self { db, backend, place, waits }
    }

    /// A PostgreSQL database that is there and migrated.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub async fn on(url: String) -> Self {
        let (place, waits) = (Place::Elsewhere(url), Waits::default());
        Self { db: open(&place, waits).await, backend: Backend::Postgres, place, waits }
    }

    #[must_use]
    pub fn store(&self) -> Store {
        Store::new(self.db.clone())
    }

    /// A second handle with connections and a clock of its own, as another process would have it. On SQLite only one handle at a
    /// time may be in use.
    pub async fn reopen(&self) -> Db {
        open(&self.place, self.waits).await
    }

    /// What a `[database]` setting would say: a path, or a URL.
    #[must_use]
    pub fn location(&self) -> String {
        match &self.place {
            Place::Sqlite { file, .. } => file.display().to_string(),
            Place::Postgres(database) => database.url.clone(),
            Place::Elsewhere(url) => url.clone(),
        }
    }
}

async fn open(place: &Place, waits: Waits) -> Db {
    let db = match place {
        Place::Sqlite { file, .. } => Db::open_sqlite(file).await,
        Place::Postgres(database) => Db::open_postgres(&database.url, 20, waits).await,
        Place::Elsewhere(url) => Db::open_postgres(url, 20, waits).await,
    };
    db.expect("the test's database can be opened")
}
