//! SQLite's one writer, whose turns are given in the order in which they were asked for.
//!
//! A commit waits for the disk, and nobody else can write meanwhile. So transactions that may share one ([`Shares::Commit`]) do: one
//! that ends while others of them wait for a turn leaves its changes in the open transaction; each that follows stands on a savepoint
//! of its own; and the last of them commits for all, or, if they do not end, a turn that the first one has stood in line for again.
//! A lone transaction waits for nobody, and there is no timer.
//!
//! One that shares sees what those before it have written and the disk has not. So it is told that it has ended, whether by commit or by
//! roll-back, when they are committed; and so is one whose statement fails, before it is told of that. (Group
//! commit of pre-committed transactions, as in "Implementation Techniques for Main Memory Database Systems", SIGMOD 1984: what is locked is
//! let go before the log is on disk, and who read it becomes durable no sooner.)

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::TryStreamExt as _;
use saga::Time;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::time::timeout;

use super::Error;

const BEGIN: &str = "begin immediate";
const COMMIT: &str = "commit";
const ROLL_BACK: &str = "rollback";
/// One who shares stands on this, on those of all before it; a commit lets go of all of them.
const SET: &str = "savepoint member";
const BACK_TO: &str = "rollback to member";
const AND: &str = ";\n";

/// Whether a transaction may be committed together with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shares {
    Nothing,
    Commit,
}

/// SQLite's time: this process's, as SQLite reads it in statements, in whole milliseconds.
#[expect(clippy::disallowed_methods, reason = "SQLite has no clock but this one")]
pub(super) fn now(offset: i64) -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_millis()).unwrap_or(i64::MAX / 2_000) * 1_000 + offset)
}

pub(super) struct Writer {
    options: SqliteConnectOptions,
    /// For a turn.
    wait: Duration,
    turn: Arc<Mutex<Turn>>,
    /// How many wait for a turn that would share a commit.
    sharing: AtomicUsize,
}

/// What is handed from one to the next.
#[derive(Default)]
struct Turn {
    /// `None` before the first turn, and after one that may have left the connection in any state.
    connection: Option<SqliteConnection>,
    /// Those whose changes are in the open transaction; if there are none, no transaction is open between turns.
    shared: Vec<oneshot::Sender<Result<(), Error>>>,
    is_closed: bool,
}

impl Writer {
    /// Opens the file, or makes it.
    pub async fn open(options: SqliteConnectOptions, wait: Duration) -> Result<Arc<Self>, sqlx::Error> {
        let turn = Turn { connection: Some(options.connect().await?), ..Turn::default() };
        Ok(Arc::new(Self { options, wait, turn: Arc::new(Mutex::new(turn)), sharing: AtomicUsize::new(0) }))
    }

    pub fn in_use(&self) -> usize {
        usize::from(self.turn.try_lock().is_err())
    }

    pub async fn close(&self) {
        let mut turn = self.turn.clone().lock_owned().await;
        turn.commit_all().await;
        turn.is_closed = true;
        if let Some(connection) = turn.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the database's connection was not closed well");
        }
    }

    /// The connection, with no transaction open.
    pub async fn alone(&self) -> Result<Alone, sqlx::Error> {
        Ok(Alone(self.turn(Shares::Nothing).await?))
    }

    /// A transaction that its first statement opens.
    pub async fn begin(self: &Arc<Self>, shares: Shares) -> Result<Taken, sqlx::Error> {
        let turn = self.turn(shares).await?;
        Ok(Taken { turn: Some(turn), writer: self.clone(), shares, state: State::Unopened })
    }

    /// Waits for a turn; there is a connection then, and an open transaction only if it is to be shared.
    async fn turn(&self, shares: Shares) -> Result<OwnedMutexGuard<Turn>, sqlx::Error> {
        let waits = (shares == Shares::Commit).then(|| Counted::one_more(&self.sharing));
        let turn = timeout(self.wait, self.turn.clone().lock_owned()).await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        drop(waits);
        let mut turn = if shares == Shares::Nothing { settle(turn).await? } else { turn };
        if turn.is_closed {
            return Err(sqlx::Error::PoolClosed);
        }
        if turn.connection.is_none() {
            turn.connection = Some(self.options.connect().await?);
        }
        Ok(turn)
    }
}

fn gone() -> Error {
    Error::Unknown("who was committing has stopped".to_owned())
}

/// Counts for as long as it lives.
struct Counted<'c>(&'c AtomicUsize);

impl<'c> Counted<'c> {
    fn one_more(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Commits what is shared, if anything is. In a task of its own, so that who is dropped meanwhile takes nobody along.
async fn settle(mut turn: OwnedMutexGuard<Turn>) -> Result<OwnedMutexGuard<Turn>, sqlx::Error> {
    if turn.shared.is_empty() {
        return Ok(turn);
    }
    let settling = tokio::spawn(async move {
        turn.commit_all().await;
        turn
    });
    settling.await.map_err(|_| sqlx::Error::WorkerCrashed)
}

impl Turn {
    async fn order(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        let connection = self.connection.as_mut().ok_or(sqlx::Error::WorkerCrashed)?;
        sqlx::query(statement).execute(connection).await.map(drop)
    }

    async fn commit_all(&mut self) {
        if self.shared.is_empty() {
            return;
        }
        let committed = self.commit().await;
        self.tell(&committed);
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let committed = self.order(COMMIT).await.map_err(Error::at_commit);
        if committed.is_err() {
            self.connection = None;
        }
        committed
    }

    /// Takes back what has been written in this turn.
    async fn roll_back(&mut self) -> Result<(), sqlx::Error> {
        let back = if self.shared.is_empty() { ROLL_BACK } else { BACK_TO };
        self.order(back).await
    }

    /// Closed, the connection is rolled back whatever became of its transaction, and another one is opened.
    fn lose(&mut self) {
        self.connection = None;
        self.tell(&Err(Error::Contended("a transaction that shared this one was lost".to_owned())));
    }

    fn tell(&mut self, committed: &Result<(), Error>) {
        for waiting in self.shared.drain(..) {
            // Nobody waits where the request was dropped.
            let _ = waiting.send(committed.clone());
        }
    }
}

/// The connection, for what is no transaction of ours.
pub(super) struct Alone(OwnedMutexGuard<Turn>);

/// An open transaction, or a part of one that is shared; dropped, it is rolled back.
pub(super) struct Taken {
    /// `None` once it has ended.
    turn: Option<OwnedMutexGuard<Turn>>,
    writer: Arc<Writer>,
    shares: Shares,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has been asked.
    Unopened,
    Open,
    /// It is not known whether there is a transaction still.
    Lost,
}

impl Taken {
    fn turn(&mut self) -> Result<&mut Turn, Error> {
        // What is executed outside of a transaction is committed at once.
        self.turn.as_deref_mut().filter(|_| self.state != State::Lost).ok_or_else(ended)
    }

    /// The connection, and what it is to execute: these statements, behind the one that opens the transaction if they are the first.
    /// They go together, because one thread sleeps until the other one is awake each time that something is handed to the connection's.
    ///
    /// # Errors
    /// The transaction has ended, by a statement that failed.
    pub fn ask(&mut self, statements: &[&'static str]) -> Result<(&mut SqliteConnection, AssertSqlSafe<Cow<'static, str>>), Error> {
        let is_shared = !self.turn()?.shared.is_empty();
        let text = match (self.state, statements) {
            (State::Unopened, _) => [&[if is_shared { SET } else { BEGIN }], statements].concat().join(AND).into(),
            (_, [statement]) => Cow::Borrowed(*statement),
            _ => statements.join(AND).into(),
        };
        // Before it is ordered, so that whoever is dropped meanwhile leaves no transaction open.
        self.state = State::Open;
        Ok((self.turn()?.connection.as_mut().ok_or_else(ended)?, AssertSqlSafe(text)))
    }

    /// Executes statements one after the other, whose values are one after the other too. Returns how many rows each of them changed.
    pub async fn execute(&mut self, statements: &[&'static str], values: SqliteArguments) -> Result<Vec<u64>, Error> {
        let (connection, text) = self.ask(statements)?;
        let done = connection.fetch_many(sqlx::query_with(text, values));
        let changed: Result<Vec<u64>, _> =
            done.try_filter_map(async |done| Ok(done.left().map(|done| done.rows_affected()))).try_collect().await;
        match changed {
            // That of the opening is of no account.
            Ok(mut changed) => Ok(changed.split_off(changed.len().saturating_sub(statements.len()))),
            Err(error) => Err(self.failed(error).await),
        }
    }

    pub async fn commit(mut self) -> Result<(), Error> {
        if self.state == State::Unopened {
            return Ok(());
        }
        if !self.turn()?.shared.is_empty() || self.is_followed() {
            return self.share().await;
        }
        let committed = self.turn()?.commit().await;
        self.turn = None;
        committed
    }

    /// # Errors
    /// What was read in it has not become durable.
    pub async fn rollback(mut self) -> Result<(), Error> {
        if self.state == State::Unopened {
            return Ok(());
        }
        if !self.turn()?.shared.is_empty() {
            return self.give_up().await;
        }
        self.turn()?.roll_back().await?;
        self.turn = None;
        Ok(())
    }

    /// Ends this part of a shared transaction without its changes, and waits for the whole.
    async fn give_up(&mut self) -> Result<(), Error> {
        if let Err(error) = self.turn()?.roll_back().await {
            self.state = State::Lost;
            return Err(error.into());
        }
        self.share().await
    }

    fn is_followed(&self) -> bool {
        self.shares == Shares::Commit && self.writer.sharing.load(Ordering::Relaxed) > 0
    }

    /// Leaves its changes in the open transaction, and waits until that is committed.
    async fn share(&mut self) -> Result<(), Error> {
        let is_followed = self.is_followed();
        let mut turn = self.turn.take().ok_or_else(ended)?;
        let (tell, told) = oneshot::channel();
        turn.shared.push(tell);
        if !is_followed {
            drop(settle(turn).await);
        } else if let [_first] = turn.shared.as_slice() {
            // In a task of its own: the transaction does not stay open if nobody waits for this commit any more.
            let again = self.writer.turn.clone();
            drop(turn);
            drop(tokio::spawn(async move { again.lock_owned().await.commit_all().await }));
        } else {
            drop(turn);
        }
        told.await.unwrap_or_else(|_| Err(gone()))
    }

    /// A statement has failed with this, and with it the transaction. Returns what its caller is told.
    pub async fn failed(&mut self, error: sqlx::Error) -> Error {
        let is_of_statement = matches!(error, sqlx::Error::RowNotFound);
        let error = Error::from(error);
        if !is_of_statement && !matches!(error, Error::Unfit(_)) {
            // Of some errors SQLite rolls the whole transaction back (https://www.sqlite.org/lang_transaction.html).
            self.state = State::Lost;
            return error;
        }
        self.end_for(error).await
    }

    pub async fn refused(mut self, error: Error) -> Error {
        self.end_for(error).await
    }

    /// What is in the way may be of those before it: that it is, is told when they are durable.
    async fn end_for(&mut self, error: Error) -> Error {
        if self.state == State::Unopened || self.turn.as_ref().is_none_or(|turn| turn.shared.is_empty()) {
            return error;
        }
        match self.give_up().await {
            Ok(()) => error,
            Err(lost) => Error::Contended(format!("what shared the transaction was not committed: {lost:?}")),
        }
    }
}

fn ended() -> Error {
    Error::broken("the transaction has ended, by a statement that failed")
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(mut turn) = self.turn.take() else { return };
        match tokio::runtime::Handle::try_current() {
            _ if self.state == State::Unopened => {}
            Ok(runtime) if self.state == State::Open => drop(runtime.spawn(async move {
                // What was asked and not waited for is executed before.
                if turn.roll_back().await.is_err() {
                    turn.lose();
                }
            })),
            _ => turn.lose(),
        }
    }
}

impl Deref for Alone {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        match &self.0.connection {
            Some(connection) => connection,
            None => unreachable!("a turn begins with a connection"),
        }
    }
}

impl DerefMut for Alone {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match &mut self.0.connection {
            Some(connection) => connection,
            None => unreachable!("a turn begins with a connection"),
        }
    }
}
