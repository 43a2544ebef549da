//! One statement that is a transaction of its own: one round trip, where there are round trips.

use std::sync::Arc;

use super::kept::Kept;
use super::{Arguments, Bind, Db, Error, Pools, Row, Statement};

/// A statement with its values, about to be executed outside of any other transaction.
pub struct Once<'d> {
    kept: &'d Arc<Kept>,
    statement: &'static Statement,
    arguments: Arguments,
    failed: Option<String>,
}

impl Db {
    /// The statement as a transaction of its own; `None` on SQLite, where a transaction of several costs no more.
    #[must_use]
    pub fn once(&self, statement: &'static Statement) -> Option<Once<'_>> {
        match &self.pools {
            Pools::Postgres(kept) => {
                Some(Once { kept, statement, arguments: Arguments::Postgres(sqlx::postgres::PgArguments::default()), failed: None })
            }
            Pools::Sqlite { .. } => None,
        }
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
        let mut held = self.kept.alone().await?;
        let rows = sqlx::query_with(self.statement.postgres, values).fetch_all(&mut *held).await.map_err(Error::at_commit)?;
        held.done();
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }
}
