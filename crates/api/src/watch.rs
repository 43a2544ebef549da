//! One poller for all who wait for a run to change.
//!
//! However many requests and streams wait, the database is asked one question per interval, about the runs that are
//! watched, and none while nobody watches. Those who watch one run read its journal once for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::model::RunDetail;
use domain::ports::ProvisioningRuns;
use saga::{RunId, StoreError};
use tokio::sync::watch;

/// After a failure the poller waits this many intervals.
const PATIENCE: u32 = 10;

/// Hands out watchers; cheap to clone.
#[derive(Clone)]
pub struct Watch(Arc<Shared>);

struct Shared {
    runs: Arc<dyn ProvisioningRuns>,
    interval: Duration,
    board: Mutex<Board>,
}

#[derive(Default)]
struct Board {
    watched: HashMap<RunId, Watched>,
    polling: bool,
}

struct Watched {
    version: watch::Sender<i64>,
    detail: Arc<Detail>,
}

/// The run as one of its watchers read it last.
type Detail = tokio::sync::Mutex<Option<Arc<RunDetail>>>;

/// Waits for one run; dropping it ends the watch.
pub struct Watcher {
    run: RunId,
    runs: Arc<dyn ProvisioningRuns>,
    version: watch::Receiver<i64>,
    detail: Arc<Detail>,
}

impl Watcher {
    /// Returns once the run is newer than `version`, so far as the poller knows.
    pub async fn newer_than(&mut self, version: i64) {
        if self.version.wait_for(|v| *v > version).await.is_err() {
            // The poller is gone, which only a stopping process can bring about.
            std::future::pending::<()>().await;
        }
    }

    /// The run as it is now, or as another watcher read it since it became newer than `version`.
    ///
    /// # Errors
    /// An outage.
    pub async fn detail(&self, version: i64) -> Result<Option<Arc<RunDetail>>, StoreError> {
        let mut kept = self.detail.lock().await;
        let wanted = version.max(*self.version.borrow());
        if kept.as_ref().is_none_or(|detail| detail.run.version < wanted) {
            *kept = self.runs.get(self.run).await?.map(Arc::new);
        }
        Ok(kept.clone())
    }
}

impl Watch {
    #[must_use]
    pub fn new(runs: Arc<dyn ProvisioningRuns>, interval: Duration) -> Self {
        Self(Arc::new(Shared { runs, interval, board: Mutex::default() }))
    }

    /// Watches a run that was last seen at `version`.
    #[must_use]
    pub fn watch(&self, run: RunId, version: i64) -> Watcher {
        let mut board = self.0.board();
        let watched = board.watched.entry(run).or_insert_with(|| Watched { version: watch::Sender::new(version), detail: Arc::default() });
        let one = Watcher { run, runs: self.0.runs.clone(), version: watched.version.subscribe(), detail: watched.detail.clone() };
        if !board.polling {
            board.polling = true;
            tokio::spawn(Poller(self.0.clone()).run());
        }
        one
    }
}

impl Shared {
    fn board(&self) -> std::sync::MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runs that somebody still watches; `None`, and the end of polling, if there are none.
    fn wanted(&self) -> Option<Vec<RunId>> {
        let mut board = self.board();
        board.watched.retain(|_, watched| watched.version.receiver_count() > 0);
        if board.watched.is_empty() {
            board.polling = false;
            return None;
        }
        Some(board.watched.keys().copied().collect())
    }
}

/// Dropped, it leaves the board so that the next watcher starts a new one.
struct Poller(Arc<Shared>);

impl Poller {
    async fn run(self) {
        let mut failing = false;
        while let Some(ids) = self.0.wanted() {
            match self.0.runs.versions(&ids).await {
                Ok(versions) => {
                    failing = false;
                    let board = self.0.board();
                    for (run, version) in versions {
                        if let Some(watched) = board.watched.get(&run) {
                            watched.version.send_if_modified(|seen| std::mem::replace(seen, version.max(*seen)) < version);
                        }
                    }
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(cause = %error, "watched runs cannot be read");
                    }
                    failing = true;
                }
            }
            tokio::time::sleep(if failing { self.0.interval * PATIENCE } else { self.0.interval }).await;
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.board().polling = false;
        }
    }
}

#[cfg(test)]
mod tests;
