//! A statement with its values, on whichever database its transaction is.

use std::iter;

use sqlx::Connection as _;

use super::kept::Held;
use super::{Arguments, Bind, Error, Inner, Row, Statement, Tx, error};

/// Does for the connection what an error on it asks for. A prepared statement whose tables a migration has changed, or that a pooler has
/// lost, would be refused for ever: the connection forgets all that it has prepared, and the transaction can be begun again. A server that
/// has become a standby would refuse all changes, and answer with what was: no connection to it is kept.
pub(super) async fn mend(on: &mut Held, error: &sqlx::Error) {
    let Some(cause) = error.as_database_error() else { return };
    if error::is_read_only(cause) {
        on.forsake_server();
    } else if error::is_stale_statement(cause)
        && let Err(trouble) = on.clear_cached_statements().await
    {
        tracing::debug!(%trouble, "prepared statements could not be forgotten");
    }
}

/// A statement with its values, about to be executed.
pub struct Query<'t> {
    tx: &'t mut Tx,
    statement: &'static Statement,
    /// That are executed after it.
    more: Vec<&'static Statement>,
    arguments: Arguments,
    failed: Option<String>,
}

/// As SQLite takes them.
fn texts(first: &'static Statement, more: &[&'static Statement]) -> Vec<&'static str> {
    iter::once(first).chain(more.iter().copied()).map(|statement| statement.sqlite).collect()
}

/// Runs `$method` of the driver's query on the transaction's connection.
macro_rules! run {
    ($self:ident, $method:ident) => {{
        if let Some(text) = $self.failed {
            return Err(Error::Broken(format!("{}: {text}", $self.statement.name)));
        }
        match (&mut $self.tx.inner, $self.arguments) {
            (Inner::Postgres(tx), Arguments::Postgres(values)) => {
                let query = sqlx::query_with($self.statement.postgres, values).persistent($self.tx.keeps_statements);
                match query.$method(&mut **tx).await {
                    Ok(done) => either!(Postgres, done),
                    Err(error) => {
                        mend(tx, &error).await;
                        return Err(error.into());
                    }
                }
            }
            (Inner::Reader(tx), Arguments::Sqlite(values)) => {
                either!(Sqlite, sqlx::query_with($self.statement.sqlite, values).$method(&mut **tx).await?)
            }
            (Inner::Writer(taken), Arguments::Sqlite(values)) => {
                let (connection, text) = taken.ask(&texts($self.statement, &$self.more))?;
                match sqlx::query_with(text, values).$method(connection).await {
                    Ok(done) => either!(Sqlite, done),
                    Err(error) => return Err(taken.failed(error).await),
                }
            }
            _ => return Err(Error::broken("values of one driver for the other")),
        }
    }};
}

impl<'t> Query<'t> {
    pub(super) fn new(tx: &'t mut Tx, statement: &'static Statement, arguments: Arguments) -> Self {
        Self { tx, statement, more: Vec::new(), arguments, failed: None }
    }

    #[must_use]
    pub fn bind(mut self, value: impl Bind) -> Self {
        if let Err(error) = value.add(&mut self.arguments) {
            self.failed.get_or_insert(error.to_string());
        }
        self
    }

    /// Has the writer on SQLite execute another statement after this one, without a pause; its values are bound next. The parameters of
    /// each are places without a number (`?`), and all of them are bound.
    #[must_use]
    pub fn then(mut self, statement: &'static Statement) -> Self {
        if !matches!(self.tx.inner, Inner::Writer(_)) {
            self.failed.get_or_insert_with(|| "only SQLite's writer takes several statements at once".to_owned());
        }
        self.more.push(statement);
        self
    }

    /// Returns how many rows each of the statements changed.
    ///
    /// # Errors
    /// As sorted by [`Error`]: of the first that failed, and those after it were not executed.
    pub async fn execute_each(self) -> Result<Vec<u64>, Error> {
        if let Some(text) = self.failed {
            return Err(Error::Broken(format!("{}: {text}", self.statement.name)));
        }
        match (&mut self.tx.inner, self.arguments) {
            (Inner::Writer(taken), Arguments::Sqlite(values)) => taken.execute(&texts(self.statement, &self.more), values).await,
            _ => Err(Error::broken("only SQLite's writer tells of each statement")),
        }
    }

    /// Returns how many rows it changed.
    ///
    /// # Errors
    /// As sorted by [`Error`].
    pub async fn execute(self) -> Result<u64, Error> {
        if matches!(self.tx.inner, Inner::Writer(_)) {
            return Ok(self.execute_each().await?.pop().unwrap_or_default());
        }
        macro_rules! either {
            ($arm:ident, $done:expr) => {
                $done.rows_affected()
            };
        }
        Ok(run!(self, execute))
    }

    /// # Errors
    /// As sorted by [`Error`].
    pub async fn fetch_optional(self) -> Result<Option<Row>, Error> {
        macro_rules! either {
            ($arm:ident, $row:expr) => {
                $row.map(Row::$arm)
            };
        }
        Ok(run!(self, fetch_optional))
    }

    /// # Errors
    /// As sorted by [`Error`]; and if there is no row.
    pub async fn fetch_one(self) -> Result<Row, Error> {
        macro_rules! either {
            ($arm:ident, $row:expr) => {
                Row::$arm($row)
            };
        }
        Ok(run!(self, fetch_one))
    }

    /// # Errors
    /// As sorted by [`Error`].
    pub async fn fetch_all(self) -> Result<Vec<Row>, Error> {
        macro_rules! either {
            ($arm:ident, $rows:expr) => {
                $rows.into_iter().map(Row::$arm).collect()
            };
        }
        Ok(run!(self, fetch_all))
    }
}
