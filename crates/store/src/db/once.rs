//! One statement that is a transaction of its own: one round trip, where there are round trips.

use std::sync::Arc;

use super::kept::Kept;
use super::open::Session;
use super::query::mend;
use super::{Arguments, Bind, Db, Error, Pools, Row, Statement};

/// A statement with its values, about to be executed outside of any other transaction.
pub struct Once<'d> {
    kept: &'d Arc<Kept>,
    session: &'d Session,
    statement: &'static Statement,
    arguments: Arguments,
    failed: Option<String>,
}

impl Db {
    /// The statement as a transaction of its own; `None` on SQLite, where a transaction of several costs no more.
    #[must_use]
    pub fn once(&self, statement: &'static Statement) -> Option<Once<'_>> {
        match &self.pools {
            Pools::Postgres(kept) => Some(Once {
                kept,
                session: &self.session,
                statement,
                arguments: Arguments::Postgres(sqlx::postgres::PgArguments::default()),
                failed: None,
            }),
            Pools::Sqlite { .. } => None,
        }
    }
}

/// A statement that only reads, with its values: what it sees is one moment, without a transaction around it.
pub struct Ask<'d> {
    db: &'d Db,
    statement: &'static Statement,
    arguments: Arguments,
    failed: Option<String>,
}

impl Db {
    /// Asks one question, in one round trip.
    #[must_use]
    pub fn ask(&self, statement: &'static Statement) -> Ask<'_> {
        let arguments = match &self.pools {
            Pools::Postgres(_) => Arguments::Postgres(sqlx::postgres::PgArguments::default()),
            Pools::Sqlite { .. } => Arguments::Sqlite(sqlx::sqlite::SqliteArguments::default()),
        };
        Ask { db: self, statement, arguments, failed: None }
    }
}

impl Ask<'_> {
    #[must_use]
    pub fn bind(mut self, value: impl Bind) -> Self {
        if let Err(error) = value.add(&mut self.arguments) {
            self.failed.get_or_insert(error.to_string());
        }
        self
    }

    /// # Errors
    /// As sorted by [`Error`].
    pub async fn fetch_all(self) -> Result<Vec<Row>, Error> {
        let Self { db, statement, arguments, failed } = self;
        match (&db.pools, arguments) {
            (Pools::Postgres(kept), arguments @ Arguments::Postgres(_)) => {
                // It changed nothing, so that nothing about it can be unknown.
                let once = Once { kept, session: &db.session, statement, arguments, failed };
                once.fetch_all().await.map_err(|error| if let Error::Unknown(text) = error { Error::Unavailable(text) } else { error })
            }
            (Pools::Sqlite { readers, .. }, Arguments::Sqlite(values)) => {
                if let Some(text) = failed {
                    return Err(Error::Broken(format!("{}: {text}", statement.name)));
                }
                let rows = sqlx::query_with(statement.sqlite, values).fetch_all(readers).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            _ => Err(Error::broken("values of one driver for the other")),
        }
    }

    /// # Errors
    /// As [`Ask::fetch_all`].
    pub async fn fetch_optional(self) -> Result<Option<Row>, Error> {
        Ok(self.fetch_all().await?.into_iter().next())
    }

    /// # Errors
    /// As [`Ask::fetch_all`]; and if there is no row.
    pub async fn fetch_one(self) -> Result<Row, Error> {
        self.fetch_optional().await?.ok_or_else(|| Error::broken("a row was expected"))
    }
}

impl Once<'_> {
    #[must_use]
    pub fn bind(mut self, value: impl Bind) -> Self {
        if let Err(error) = value.add(&mut self.arguments) {
            self.failed.get_or_insert(error.to_string());
        }
        self
    }

    /// # Errors
    /// [`Error::Unknown`]: it may have been committed all the same, for the statement commits itself.
    pub async fn fetch_all(self) -> Result<Vec<Row>, Error> {
        if let Some(text) = self.failed {
            return Err(Error::Broken(format!("{}: {text}", self.statement.name)));
        }
        let Arguments::Postgres(values) = self.arguments else { return Err(Error::broken("values of one driver for the other")) };
        let query = sqlx::query_with(self.statement.postgres, values).persistent(self.session.keeps_statements);
        let rows = if self.session.keeps_statements {
            let mut held = self.kept.alone().await?;
            match query.fetch_all(&mut *held).await {
                Ok(rows) => {
                    held.done();
                    rows
                }
                Err(error) => {
                    mend(&mut held, &error).await;
                    return Err(Error::at_commit(error));
                }
            }
        } else {
            // A pooler lets timeouts be told to a transaction only.
            let mut held = self.kept.begin(&self.session.write).await?;
            let rows = query.fetch_all(&mut *held).await?;
            held.end("commit").await.map_err(Error::at_commit)?;
            rows
        };
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }
}
