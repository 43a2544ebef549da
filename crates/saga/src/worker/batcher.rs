//! Group commit: transitions of many runs in one transaction. What queued while one was under way is the next one, so that a
//! lone run waits for nobody, and many share what a commit costs. No timer gathers anything.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::ports::{Commit, CommitAnswer, Runs, StoreError};

/// Members of one transaction at most: it must not hold its locks for long.
const LARGEST: usize = 256;

struct Queued<C> {
    commit: Commit<C>,
    answer: oneshot::Sender<CommitAnswer>,
}

/// Where executors hand in their commits.
pub(crate) struct Batcher<C> {
    queue: mpsc::UnboundedSender<Queued<C>>,
}

/// What [`Batcher`] hands on.
pub(crate) struct Batches<C> {
    queued: mpsc::UnboundedReceiver<Queued<C>>,
}

pub(crate) fn batcher<C>() -> (Batcher<C>, Batches<C>) {
    let (queue, queued) = mpsc::unbounded_channel();
    (Batcher { queue }, Batches { queued })
}

impl<C: Send + 'static> Batcher<C> {
    /// The store's answer to this commit, whoever shared the transaction.
    pub async fn commit(&self, commit: Commit<C>) -> CommitAnswer {
        let (answer, answered) = oneshot::channel();
        // Whether what was under way has happened is not known when the other end goes.
        let gone = || CommitAnswer::Failed(StoreError::Unknown("the worker has stopped".to_owned()));
        if self.queue.send(Queued { commit, answer }).is_err() {
            return gone();
        }
        answered.await.unwrap_or_else(|_| gone())
    }
}

impl<C: Send + 'static> Batches<C> {
    /// Commits what is handed in, one batch after the other, until nobody can hand in anything.
    pub async fn run(mut self, runs: Arc<dyn Runs<C>>) {
        let mut taken = Vec::new();
        while self.queued.recv_many(&mut taken, LARGEST).await > 0 {
            let (commits, answers): (Vec<_>, Vec<_>) = taken.drain(..).map(|q| (q.commit, q.answer)).unzip();
            let mut told = runs.commit(commits).await.into_iter();
            for answer in answers {
                // Nobody listens where the executor was dropped.
                let _ = answer
                    .send(told.next().unwrap_or_else(|| CommitAnswer::Failed(StoreError::Unknown("the store did not answer".to_owned()))));
            }
        }
    }
}
