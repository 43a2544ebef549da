//! What a database's error means to a caller: conflicts are told by SQLSTATE or result code, never by a constraint's name.

use saga::StoreError;
use sqlx::error::DatabaseError;

/// A failed statement, sorted by what may be concluded from it.
#[derive(Debug, Clone)]
pub enum Error {
    /// A unique, foreign or check constraint, or a value that the column cannot hold: this data will never fit.
    Unfit(String),
    /// The change was made from a state that has moved on: made anew it may fit.
    Stale(String),
    /// A deadlock, a serialization failure or a busy database: nothing was changed, the same again may succeed at once.
    Contended(String),
    /// Waited for a lock as long as is allowed.
    LockTimeout(String),
    /// Nothing was changed; worth another try later.
    Unavailable(String),
    /// An error at COMMIT: it may have happened.
    Unknown(String),
    /// A fault of ours.
    Broken(String),
}

impl Error {
    pub fn broken(text: impl Into<String>) -> Self {
        Self::Broken(text.into())
    }

    /// An error that COMMIT gave. Only few of them prove that nothing was committed.
    #[must_use]
    pub(super) fn at_commit(error: sqlx::Error) -> Self {
        match Self::from(error) {
            sure @ (Self::Unfit(_) | Self::Stale(_) | Self::Contended(_)) => sure,
            Self::Unavailable(text) if text.starts_with(DISK_FULL) || text.starts_with(READ_ONLY) => Self::Unavailable(text),
            Self::LockTimeout(text) | Self::Unavailable(text) | Self::Unknown(text) | Self::Broken(text) => Self::Unknown(text),
        }
    }
}

const DISK_FULL: &str = "the disk that holds the database is full; free some space";
const READ_ONLY: &str = "the database's server changes nothing, as a standby does";

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(cause) => of_database(cause.as_ref()),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unavailable(error.to_string()),
            _ => Self::Broken(error.to_string()),
        }
    }
}

fn of_database(cause: &(dyn DatabaseError + 'static)) -> Error {
    let text = cause.to_string();
    let code = cause.code().unwrap_or_default();
    if is_stale_statement(cause) {
        return Error::Contended(text);
    }
    if cause.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() { of_postgres(&code, text) } else { of_sqlite(&code, text) }
}

/// The server does not know a statement that was prepared, or would answer it otherwise than it was prepared for.
pub(super) fn is_stale_statement(cause: &(dyn DatabaseError + 'static)) -> bool {
    match cause.code().as_deref() {
        Some("26000") => true,
        Some("0A000") => cause.message().contains("cached plan"),
        _ => false,
    }
}

/// The server is a standby now, or is protected: whoever is connected to it is connected to the wrong one.
pub(super) fn is_read_only(cause: &(dyn DatabaseError + 'static)) -> bool {
    cause.code().as_deref() == Some("25006")
}

/// <https://www.postgresql.org/docs/15/errcodes-appendix.html>
fn of_postgres(code: &str, text: String) -> Error {
    match code {
        "40001" | "40P01" => Error::Contended(text),
        "55P03" => Error::LockTimeout(text),
        "53100" => Error::Unavailable(format!("{DISK_FULL}: {text}")),
        "25006" => Error::Unavailable(format!("{READ_ONLY}: {text}")),
        // Cancelled by statement_timeout; being shut down; not yet up.
        "57014" | "57P01" | "57P02" | "57P03" => Error::Unavailable(text),
        _ => match code.get(..2) {
            Some("22" | "23" | "54") => Error::Unfit(text),
            // Connections, a transaction's state, refused log-ins, no such database, resources, the system.
            Some("08" | "25" | "28" | "3D" | "53" | "58") => Error::Unavailable(text),
            _ => Error::Broken(text),
        },
    }
}

/// <https://www.sqlite.org/rescode.html>; the low byte is the primary code.
fn of_sqlite(code: &str, text: String) -> Error {
    match code.parse::<i32>().unwrap_or(0) & 0xff {
        5 | 6 => Error::Contended(text),
        13 => Error::Unavailable(format!("{DISK_FULL}: {text}")),
        // Out of memory, read-only, interrupted, input/output, cannot open.
        7..=10 | 14 => Error::Unavailable(text),
        // Too big, constraint, mismatch.
        18..=20 => Error::Unfit(text),
        _ => Error::Broken(text),
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::Contended(text) | Error::LockTimeout(text) | Error::Unavailable(text) => Self::Unavailable(text),
            Error::Unknown(text) => Self::Unknown(text),
            Error::Unfit(text) | Error::Stale(text) | Error::Broken(text) => Self::Broken(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> sqlx::Error {
        sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())
    }

    #[test]
    fn a_connection_lost_before_commit_has_changed_nothing_and_one_lost_at_commit_may_have() {
        assert!(matches!(StoreError::from(Error::from(lost())), StoreError::Unavailable(_)));
        assert!(matches!(StoreError::from(Error::at_commit(lost())), StoreError::Unknown(_)));
    }

    #[test]
    fn codes_are_sorted_by_what_may_be_concluded() {
        let postgres = |code| of_postgres(code, String::new());
        assert!(matches!(postgres("40001"), Error::Contended(_)));
        assert!(matches!(postgres("40P01"), Error::Contended(_)));
        assert!(matches!(postgres("55P03"), Error::LockTimeout(_)));
        assert!(matches!(postgres("57014"), Error::Unavailable(_)));
        assert!(matches!(postgres("23505"), Error::Unfit(_)));
        assert!(matches!(postgres("22001"), Error::Unfit(_)));
        assert!(matches!(postgres("42P01"), Error::Broken(_)));
        let sqlite = |code| of_sqlite(code, String::new());
        assert!(matches!(sqlite("517"), Error::Contended(_)), "SQLITE_BUSY_SNAPSHOT");
        assert!(matches!(sqlite("2067"), Error::Unfit(_)), "SQLITE_CONSTRAINT_UNIQUE");
        assert!(matches!(sqlite("1034"), Error::Unavailable(_)), "SQLITE_IOERR_FSYNC");
        assert!(matches!(sqlite("1"), Error::Broken(_)));
    }

    #[test]
    fn a_full_disk_is_said_plainly() {
        for error in [of_postgres("53100", "x".to_owned()), of_sqlite("13", "x".to_owned())] {
            let Error::Unavailable(text) = error else { panic!("{error:?}") };
            assert!(text.contains("is full; free some space"), "{text}");
        }
    }
}
