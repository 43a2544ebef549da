//! The engine's store with an ear on it: hears of each run that has ended, when its end is durable.

use std::time::Duration;

use async_trait::async_trait;
use domain::Change;
use saga::journal::Ending;
use saga::ports::{Claim, Claimed, Commit, CommitAnswer, Disposition, Renewal, Request, Runs};
use saga::{DefinitionId, Record, RunId, StoreError, Time, WorkerId};
use store::Store;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

/// A run whose end has been committed.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    pub run: RunId,
    pub at: Instant,
    pub succeeded: bool,
}

pub struct Tap {
    store: Store,
    ended: UnboundedSender<Ended>,
}

impl Tap {
    pub fn new(store: Store, ended: UnboundedSender<Ended>) -> Self {
        Self { store, ended }
    }

    fn runs(&self) -> &dyn Runs<Change> {
        &self.store
    }
}

#[async_trait]
impl Runs<Change> for Tap {
    async fn commit(&self, batch: Vec<Commit<Change>>) -> Vec<CommitAnswer> {
        let ending: Vec<(RunId, Option<bool>)> = batch
            .iter()
            .map(|member| {
                let ends = member.disposition == Disposition::End;
                (member.run, ends.then_some(member.head.ending == Some(Ending::Succeeded)))
            })
            .collect();
        let answers = self.runs().commit(batch).await;
        let at = Instant::now();
        for ((run, succeeded), answer) in ending.into_iter().zip(&answers) {
            if let (Some(succeeded), CommitAnswer::Committed { .. }) = (succeeded, answer) {
                // Nobody listens any more once all that was wanted has been heard.
                let _ = self.ended.send(Ended { run, at, succeeded });
            }
        }
        answers
    }

    async fn register(&self, worker: WorkerId, lease: Duration, known: &[DefinitionId]) -> Result<Time, StoreError> {
        self.runs().register(worker, lease, known).await
    }

    async fn renew(&self, worker: WorkerId, lease: Duration) -> Result<Renewal, StoreError> {
        self.runs().renew(worker, lease).await
    }

    async fn bury(&self) -> Result<u64, StoreError> {
        self.runs().bury().await
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.runs().retire(worker).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        self.runs().claim(claim).await
    }

    async fn resume(&self, over: Duration) -> Result<u64, StoreError> {
        self.runs().resume(over).await
    }

    async fn requests(&self, run: RunId) -> Result<Vec<Request>, StoreError> {
        self.runs().requests(run).await
    }

    async fn journal(&self, run: RunId, epoch: i64) -> Result<Option<Vec<Record>>, StoreError> {
        self.runs().journal(run, epoch).await
    }

    async fn unknown(&self, known: &[DefinitionId]) -> Result<Vec<(DefinitionId, u64)>, StoreError> {
        self.runs().unknown(known).await
    }

    async fn unclaimable(&self, known: &[DefinitionId]) -> Result<Vec<(DefinitionId, u64)>, StoreError> {
        self.runs().unclaimable(known).await
    }
}
