//! One poller for all who wait for a run to change.
//!
//! However many requests wait, the database is asked one question per interval, about the runs that are watched, and
//! none while nobody watches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::ports::ProvisioningRuns;
use saga::RunId;
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
    watched: HashMap<RunId, watch::Sender<i64>>,
    polling: bool,
}

/// Waits for one run; dropping it ends the watch.
pub struct Watcher(watch::Receiver<i64>);

impl Watcher {
    /// Returns once the run is newer than `version`, so far as the poller knows.
    pub async fn newer_than(&mut self, version: i64) {
        if self.0.wait_for(|v| *v > version).await.is_err() {
            // The poller is gone, which only a stopping process can bring about.
            std::future::pending::<()>().await;
        }
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
        let receiver = board.watched.entry(run).or_insert_with(|| watch::Sender::new(version)).subscribe();
        if !board.polling {
            board.polling = true;
            tokio::spawn(Poller(self.0.clone()).run());
        }
        Watcher(receiver)
    }
}

impl Shared {
    fn board(&self) -> std::sync::MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runs that somebody still watches; `None`, and the end of polling, if there are none.
    fn wanted(&self) -> Option<Vec<RunId>> {
        let mut board = self.board();
        board.watched.retain(|_, sender| sender.receiver_count() > 0);
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
                        if let Some(sender) = board.watched.get(&run) {
                            sender.send_if_modified(|seen| std::mem::replace(seen, version.max(*seen)) < version);
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
