//! Around the engine's store: one commit that goes wrong as the drill wants it, and what the store was told.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::Change;
use saga::ports::{Claim, Claimed, Commit, CommitAnswer, Renewal, Request, Runs};
use saga::{DefinitionId, Event, Record, RunId, StoreError, Time, WorkerId};

use super::control::{CommitAct, Control};

pub(super) struct Watched {
    pub inner: Arc<dyn Runs<Change>>,
    pub control: Arc<Control>,
}

/// Whether the record tells how an attempt of this step, or of its undo, ended.
fn is_outcome(record: &Record, step: &str, undo: bool) -> bool {
    match &record.event {
        Event::StepSucceeded { step: of, .. }
        | Event::StepFailed { step: of, .. }
        | Event::StepUnknown { step: of, .. }
        | Event::StepRefused { step: of, .. } => !undo && of == step,
        Event::Undone { step: of, .. } | Event::UndoFailed { step: of, .. } => undo && of == step,
        _ => false,
    }
}

impl Watched {
    /// The fault that this commit meets, if it is the one.
    fn meets(&self, commit: &Commit<Change>) -> Option<CommitAct> {
        let mut planned = self.control.commit.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |(step, undo, _): &(String, bool, CommitAct)| commit.records.iter().any(|r| is_outcome(r, step, *undo));
        if !planned.as_ref().is_some_and(fits) {
            return None;
        }
        self.control.progress.send_modify(|p| p.commit_faults += 1);
        planned.take().map(|(_, _, act)| act)
    }

    async fn send(&self, commit: Commit<Change>) -> CommitAnswer {
        if commit.run == self.control.run {
            let late = std::mem::take(&mut *self.control.late.lock().unwrap_or_else(PoisonError::into_inner));
            for commit in late {
                self.pass(commit).await;
            }
        }
        self.pass(commit).await
    }

    /// To the store, and what it answered is noted.
    async fn pass(&self, commit: Commit<Change>) -> CommitAnswer {
        let (run, head, requests) = (commit.run, commit.head.clone(), commit.requests.len());
        let answer = self.inner.commit(vec![commit]).await.pop().expect("one answer per member");
        if run == self.control.run {
            self.control.progress.send_modify(|p| match &answer {
                CommitAnswer::Committed { .. } => {
                    p.head = Some(head);
                    p.requests += requests;
                }
                CommitAnswer::Fenced => p.fenced += 1,
                CommitAnswer::Rejected(_) | CommitAnswer::Stale(_) | CommitAnswer::Requested | CommitAnswer::Failed(_) => {}
            });
        }
        answer
    }

    async fn crash(&self) -> CommitAnswer {
        self.control.crashed.cancel();
        // The process is gone; whoever drills takes it down.
        std::future::pending().await
    }
}

fn unknown() -> CommitAnswer {
    CommitAnswer::Failed(StoreError::Unknown("drilled: the answer to the commit was lost".to_owned()))
}

#[async_trait]
impl Runs<Change> for Watched {
    async fn register(&self, worker: WorkerId, lease: Duration, known: &[DefinitionId]) -> Result<Time, StoreError> {
        self.inner.register(worker, lease, known).await
    }

    async fn renew(&self, worker: WorkerId, lease: Duration) -> Result<Renewal, StoreError> {
        self.inner.renew(worker, lease).await
    }

    async fn bury(&self) -> Result<u64, StoreError> {
        self.inner.bury().await
    }

    async fn retire(&self, worker: WorkerId) -> Result<(), StoreError> {
        self.inner.retire(worker).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let claimed = self.inner.claim(claim).await?;
        if claimed.runs.iter().any(|r| r.facts.run == self.control.run) {
            self.control.progress.send_modify(|p| p.claims += 1);
        }
        Ok(claimed)
    }

    async fn resume(&self, over: Duration) -> Result<u64, StoreError> {
        self.inner.resume(over).await
    }

    async fn requests(&self, run: RunId) -> Result<Vec<Request>, StoreError> {
        self.inner.requests(run).await
    }

    async fn commit(&self, batch: Vec<Commit<Change>>) -> Vec<CommitAnswer> {
        let mut answers = Vec::with_capacity(batch.len());
        for commit in batch {
            let act = if commit.run == self.control.run { self.meets(&commit) } else { None };
            answers.push(match act {
                None => self.send(commit).await,
                Some(CommitAct::CrashBefore) => self.crash().await,
                Some(CommitAct::CrashAfter) => {
                    self.send(commit).await;
                    self.crash().await
                }
                Some(CommitAct::Lost) => unknown(),
                Some(CommitAct::Applied) => {
                    self.send(commit).await;
                    unknown()
                }
                Some(CommitAct::Late) => {
                    self.control.late.lock().unwrap_or_else(PoisonError::into_inner).push(commit);
                    unknown()
                }
            });
        }
        answers
    }

    async fn journal(&self, run: RunId, epoch: i64) -> Result<Option<Vec<Record>>, StoreError> {
        self.inner.journal(run, epoch).await
    }

    async fn unknown(&self, known: &[DefinitionId]) -> Result<Vec<(DefinitionId, u64)>, StoreError> {
        self.inner.unknown(known).await
    }

    async fn unclaimable(&self, known: &[DefinitionId]) -> Result<Vec<(DefinitionId, u64)>, StoreError> {
        self.inner.unclaimable(known).await
    }
}
