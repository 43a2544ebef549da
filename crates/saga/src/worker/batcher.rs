//! Group commit: transitions of many runs in one transaction. What queued while one was under way is the next one, so that a
//! lone run waits for nobody, and many share what a commit costs. No timer gathers anything, and no task stands in between:
//! whoever finds a place free commits for all who wait, once everybody who is ready to hand something in has had a turn.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Semaphore, oneshot};

use crate::ports::{Commit, CommitAnswer, Runs, StoreError};

/// Members of one transaction at most: it must not hold its locks for long.
const LARGEST: usize = 256;

struct Queued<C> {
    commit: Commit<C>,
    answer: oneshot::Sender<CommitAnswer>,
}

/// Where executors hand in their commits.
pub(crate) struct Batcher<C> {
    runs: Arc<dyn Runs<C>>,
    queue: Mutex<Vec<Queued<C>>>,
    /// Transactions at once: while one waits for the disk, the next one can be executed.
    places: Semaphore,
    /// How many may hand something in; at most one commit of each is under way.
    members: AtomicUsize,
}

impl<C: Send + 'static> Batcher<C> {
    pub fn new(runs: Arc<dyn Runs<C>>, at_once: usize) -> Self {
        Self { runs, queue: Mutex::default(), places: Semaphore::new(at_once.max(1)), members: AtomicUsize::new(usize::MAX) }
    }

    /// From now on this many may hand something in: when all of them have, nobody more is waited for.
    pub fn expect(&self, members: usize) {
        self.members.store(members, Ordering::Relaxed);
    }

    /// The store's answer to this commit, whoever shared the transaction. Where the one who commits for others is dropped in
    /// the middle, it is not known what became of theirs.
    pub async fn commit(&self, commit: Commit<C>) -> CommitAnswer {
        let (answer, mut answered) = oneshot::channel();
        self.lock().push(Queued { commit, answer });
        loop {
            // Whoever finds a place free does not listen meanwhile: his own answer need not wake him.
            let place = if let Ok(free) = self.places.try_acquire() {
                Ok(free)
            } else {
                tokio::select! {
                    biased;
                    told = &mut answered => return told.unwrap_or_else(|_| gone()),
                    place = self.places.acquire() => place,
                }
            };
            match answered.try_recv() {
                Ok(told) => return told,
                Err(TryRecvError::Closed) => return gone(),
                Err(TryRecvError::Empty) => {}
            }
            // A batch's answers wake its members at once: without this the first of them would commit alone, and the others wait for it.
            if self.lock().len() < self.members.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
            let taken: Vec<Queued<C>> = {
                let mut queue = self.lock();
                let many = queue.len().min(LARGEST);
                queue.drain(..many).collect()
            };
            if taken.is_empty() {
                // Ours was taken along while the place was waited for.
                drop(place);
                return answered.await.unwrap_or_else(|_| gone());
            }
            let (commits, answers): (Vec<_>, Vec<_>) = taken.into_iter().map(|q| (q.commit, q.answer)).unzip();
            let mut told = self.runs.commit(commits).await.into_iter();
            for answer in answers {
                // Nobody listens where the executor was dropped.
                let _ = answer.send(told.next().unwrap_or_else(gone));
            }
            // Where more were queued than fit, ours may wait yet, and nobody else may come for it.
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Queued<C>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone() -> CommitAnswer {
    CommitAnswer::Failed(StoreError::Unknown("who was committing has stopped".to_owned()))
}
