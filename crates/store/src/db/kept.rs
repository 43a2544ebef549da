//! PostgreSQL connections, kept ready between transactions.
//!
//! The driver's pool asks a connection whether it lives each time it is taken and each time it is given back: two round trips
//! that many of our transactions do not last as long as. Here a connection that ended a transaction well is taken again as it
//! is; one that died meanwhile is noticed by the first statement, BEGIN, before anything has happened, and another is taken.
//! A transaction that is dropped, at whatever await, is rolled back before anybody gets its connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Executor as _, PgPool, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A connection goes through the pool, which tests it and sees to its age, after this many transactions.
const USES: u32 = 10_000;
/// What a roll-back that nobody waits for may take.
const ROLLBACK: Duration = Duration::from_secs(5);

pub(super) struct Kept {
    pool: PgPool,
    /// One for each connection that the pool may open, so that nobody waits in the pool while a kept one is free.
    places: Arc<Semaphore>,
    size: usize,
    wait: Duration,
    ready: Mutex<Vec<Ready>>,
}

struct Ready {
    connection: PoolConnection<Postgres>,
    uses: u32,
}

impl Kept {
    pub fn new(pool: PgPool, size: u32, wait: Duration) -> Arc<Self> {
        let size = size as usize;
        Arc::new(Self { pool, places: Arc::new(Semaphore::new(size)), size, wait, ready: Mutex::default() })
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub fn in_use(&self) -> usize {
        self.size.saturating_sub(self.places.available_permits())
    }

    fn ready(&self) -> std::sync::MutexGuard<'_, Vec<Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection and says `begin` on it.
    pub async fn begin(self: &Arc<Self>, begin: &Arc<str>) -> Result<Held, sqlx::Error> {
        let mut place = self.place().await?;
        loop {
            let (mut held, tested) = self.take(place).await?;
            held.in_transaction = true;
            match held.execute(AssertSqlSafe(begin.clone())).await {
                Ok(_) => return Ok(held),
                // It died while nobody used it: nothing has happened, another one is taken.
                Err(sqlx::Error::Io(_) | sqlx::Error::Database(_)) if !tested => place = held.close()?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a connection for one statement that is a transaction of its own. Until [`Held::done`] it counts as one that is open.
    pub async fn alone(self: &Arc<Self>) -> Result<Held, sqlx::Error> {
        let place = self.place().await?;
        let (mut held, _) = self.take(place).await?;
        held.in_transaction = true;
        Ok(held)
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, sqlx::Error> {
        match timeout(self.wait, self.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(sqlx::Error::PoolClosed),
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        }
    }

    /// A connection, and whether the pool has just tested or opened it.
    async fn take(self: &Arc<Self>, place: OwnedSemaphorePermit) -> Result<(Held, bool), sqlx::Error> {
        let found = self.ready().pop();
        let tested = found.is_none();
        let ready = match found {
            Some(ready) => ready,
            None => Ready { connection: self.pool.acquire().await?, uses: 0 },
        };
        Ok((Held { ready: Some(ready), place: Some(place), kept: self.clone(), in_transaction: false }, tested))
    }

    fn give_back(&self, mut ready: Ready, place: OwnedSemaphorePermit) {
        ready.uses += 1;
        if ready.uses < USES && !self.places.is_closed() {
            self.ready().push(ready);
        }
        drop(place);
    }

    pub async fn close(&self) {
        self.places.close();
        self.ready().clear();
        self.pool.close().await;
    }
}

/// A connection in use by one transaction.
pub(super) struct Held {
    /// `None` once it is given back.
    ready: Option<Ready>,
    place: Option<OwnedSemaphorePermit>,
    kept: Arc<Kept>,
    in_transaction: bool,
}

impl Held {
    /// Says how the transaction ends, and gives the connection back.
    pub async fn end(mut self, how: &'static str) -> Result<(), sqlx::Error> {
        self.execute(how).await?;
        self.in_transaction = false;
        Ok(())
    }

    /// The one statement has been answered.
    pub fn done(mut self) {
        self.in_transaction = false;
    }

    /// What is connected to this server shall be so no longer than it is in use: the next ones find the server that the name leads to.
    pub fn forsake_server(&mut self) {
        let mut ready = std::mem::take(&mut *self.kept.ready());
        for ready in ready.iter_mut().chain(&mut self.ready) {
            ready.connection.close_on_drop();
            ready.uses = USES;
        }
    }

    /// The connection is gone; its place is left.
    fn close(mut self) -> Result<OwnedSemaphorePermit, sqlx::Error> {
        if let Some(mut ready) = self.ready.take() {
            ready.connection.close_on_drop();
        }
        self.place.take().ok_or(sqlx::Error::PoolClosed)
    }
}

impl std::ops::Deref for Held {
    type Target = sqlx::PgConnection;

    fn deref(&self) -> &Self::Target {
        match &self.ready {
            Some(ready) => &ready.connection,
            None => unreachable!("a connection is held until it is given back"),
        }
    }
}

impl std::ops::DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match &mut self.ready {
            Some(ready) => &mut ready.connection,
            None => unreachable!("a connection is held until it is given back"),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (Some(mut ready), Some(place)) = (self.ready.take(), self.place.take()) else { return };
        if !self.in_transaction {
            return self.kept.give_back(ready, place);
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return ready.connection.close_on_drop() };
        let kept = self.kept.clone();
        // What was asked and not waited for is answered before: the driver reads such answers away.
        drop(runtime.spawn(async move {
            let rolled_back = timeout(ROLLBACK, ready.connection.execute("rollback")).await;
            if matches!(rolled_back, Ok(Ok(_))) {
                kept.give_back(ready, place);
            } else {
                ready.connection.close_on_drop();
            }
        }));
    }
}
