//! Hints between processes: that a run is new, or that something may be due, asked or paused.
//!
//! They make things start within milliseconds and are never relied on: every process looks for itself now and then. So they are
//! sent outside of any transaction (a NOTIFY would make all commits of the server wait for each other), as few as can be, and
//! whatever goes wrong with them is only logged.

use std::sync::Arc;
use std::time::Duration;

use saga::StoreError;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Db, Pools};

crate::statements! {
    NOTIFY = split("select pg_notify($1, $2)", "select 1");
}

/// What a process may tell the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// A new run waits to be claimed.
    NewRun,
    /// Something may be due, or asked of a run, or paused.
    Wake,
}

impl Hint {
    const ALL: [Self; 2] = [Self::NewRun, Self::Wake];

    fn channel(self) -> &'static str {
        match self {
            Self::NewRun => "berth_new_run",
            Self::Wake => "berth_wake",
        }
    }
}

/// Two hints of one kind are at least this far apart; those in between are one.
const APART: Duration = Duration::from_millis(5);
/// How long after a lost connection the next one is tried.
const AGAIN_IN: Duration = Duration::from_secs(1);

/// Tells other processes; cheap to clone.
#[derive(Clone)]
pub struct Hints {
    /// Of this process, which need not be told what it says.
    sender: Uuid,
    waiting: Arc<[Notify; 2]>,
}

impl Hints {
    /// Makes what [`Db::send`] sends. Without a sender nothing is told.
    #[must_use]
    pub fn new(sender: Uuid) -> Self {
        Self { sender, waiting: Arc::new([Notify::new(), Notify::new()]) }
    }

    /// Returns at once.
    pub fn tell(&self, hint: Hint) {
        self.waiting[hint as usize].notify_one();
    }
}

impl Db {
    /// Sends what is told until `stop` fires. Nobody else hears of a SQLite database.
    pub async fn send(&self, hints: Hints, stop: CancellationToken) {
        let each = Hint::ALL.map(|hint| self.send_one(&hints, hint, &stop));
        futures::future::join_all(each).await;
    }

    async fn send_one(&self, hints: &Hints, hint: Hint, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = hints.waiting[hint as usize].notified() => {}
            }
            let Some(once) = self.once(&NOTIFY) else { return };
            let sender = hints.sender.simple().to_string();
            if let Err(error) = once.bind(hint.channel()).bind(sender).fetch_all().await {
                tracing::debug!(?error, "a hint could not be sent");
            }
            tokio::time::sleep(APART).await;
        }
    }

    /// Calls `heard` for each hint of another process until `stop` fires, and once for each new connection, because hints may
    /// have been missed before. `direct`: the same database without a pooler in between, which does not pass hints on.
    ///
    /// # Errors
    /// `direct` is malformed. A server that cannot be reached is tried again.
    pub async fn listen(
        &self,
        direct: Option<&str>,
        hints: &Hints,
        stop: CancellationToken,
        heard: impl Fn(Hint) + Send,
    ) -> Result<(), StoreError> {
        let Pools::Postgres(kept) = &self.pools else { return Ok(()) };
        let options = match direct {
            Some(url) => url
                .parse::<PgConnectOptions>()
                .map_err(|_| StoreError::Broken("the direct database URL is malformed".to_owned()))?
                .application_name("berth hints"),
            None if self.session.keeps_statements => kept.pool().connect_options().as_ref().clone(),
            None => return Ok(()),
        };
        let own = hints.sender.simple().to_string();
        let pool = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).connect_lazy_with(options);
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                lost = hear(&pool, &own, &heard) => {
                    tracing::debug!(error = %lost, "hints cannot be heard; trying again");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(AGAIN_IN) => {}
                    }
                }
            }
        }
        pool.close().await;
        Ok(())
    }
}

/// Hears until the connection is lost.
async fn hear(pool: &sqlx::PgPool, own: &str, heard: &(impl Fn(Hint) + Send)) -> sqlx::Error {
    let listening = async {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen_all(Hint::ALL.map(Hint::channel)).await?;
        heard(Hint::Wake);
        while let Some(told) = listener.try_recv().await? {
            let hint = Hint::ALL.into_iter().find(|hint| hint.channel() == told.channel());
            if let Some(hint) = hint.filter(|_| told.payload() != own) {
                heard(hint);
            }
        }
        Ok(())
    };
    match listening.await {
        Ok(()) => sqlx::Error::WorkerCrashed,
        Err(error) => error,
    }
}
