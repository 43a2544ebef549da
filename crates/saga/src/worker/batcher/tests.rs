//! More commits than fit into one transaction.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use uuid::Uuid;

use super::*;
use crate::ports::{Claim, Claimed, Disposition, Head, Renewal, Request, State};
use crate::{DefinitionId, Record, RunId, Time, WorkerId};

/// Nothing here waits for anything but for us.
const PATIENCE: Duration = Duration::from_secs(30);

/// Commits when it is let, and keeps what each transaction held.
struct Gated {
    gate: Semaphore,
    batches: Mutex<Vec<Vec<RunId>>>,
}

#[async_trait]
impl Runs<()> for Gated {
    async fn commit(&self, batch: Vec<Commit<()>>) -> Vec<CommitAnswer> {
        self.gate.acquire().await.unwrap().forget();
        self.batches.lock().unwrap().push(batch.iter().map(|member| member.run).collect());
        batch.iter().map(|_| CommitAnswer::Committed { now: Time::from_micros(1), requested: false }).collect()
    }
    async fn register(&self, _: WorkerId, _: Duration, _: &[DefinitionId]) -> Result<Time, StoreError> {
        unreachable!()
    }
    async fn renew(&self, _: WorkerId, _: Duration) -> Result<Renewal, StoreError> {
        unreachable!()
    }
    async fn bury(&self) -> Result<u64, StoreError> {
        unreachable!()
    }
    async fn retire(&self, _: WorkerId) -> Result<(), StoreError> {
        unreachable!()
    }
    async fn claim(&self, _: &Claim) -> Result<Claimed, StoreError> {
        unreachable!()
    }
    async fn resume(&self, _: Duration) -> Result<u64, StoreError> {
        unreachable!()
    }
    async fn requests(&self, _: RunId) -> Result<Vec<Request>, StoreError> {
        unreachable!()
    }
    async fn journal(&self, _: RunId, _: i64) -> Result<Option<Vec<Record>>, StoreError> {
        unreachable!()
    }
    async fn unknown(&self, _: &[DefinitionId]) -> Result<Vec<(DefinitionId, u64)>, StoreError> {
        unreachable!()
    }
    async fn unclaimable(&self, _: &[DefinitionId]) -> Result<Vec<(DefinitionId, u64)>, StoreError> {
        unreachable!()
    }
}

fn commit() -> Commit<()> {
    let head = Head {
        state: State::Running,
        waiting_for: None,
        ending: None,
        turn: None,
        done: 0,
        total: 1,
        deadline_at: None,
        paused_by: Vec::new(),
    };
    Commit {
        run: RunId(Uuid::now_v7()),
        epoch: 1,
        records: Arc::default(),
        changes: Vec::new(),
        requests: Vec::new(),
        head,
        disposition: Disposition::Keep,
        resent: false,
    }
}

/// A batcher with one place, which somebody's commit holds until the gate is opened.
async fn busy() -> (Arc<Gated>, Arc<Batcher<()>>, tokio::task::JoinHandle<CommitAnswer>) {
    let gated = Arc::new(Gated { gate: Semaphore::new(0), batches: Mutex::default() });
    let batcher = Arc::new(Batcher::new(gated.clone(), 1));
    let of_first = batcher.clone();
    let first = tokio::spawn(async move { of_first.commit(commit()).await });
    // It has given those who are ready a turn, and has taken what was queued: its own.
    while batcher.places.available_permits() > 0 || !batcher.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    (gated, batcher, first)
}

fn is_committed(answer: &CommitAnswer) -> bool {
    matches!(answer, CommitAnswer::Committed { .. })
}

#[tokio::test]
async fn more_commits_than_fit_into_one_transaction_are_all_made_though_nobody_comes_after() {
    let (gated, batcher, first) = busy().await;
    let waiting = join_all((0..=3 * LARGEST).map(|_| batcher.commit(commit())));
    let opened = async {
        // Polled after all of them: they are queued by now.
        assert_eq!(batcher.lock().len(), 3 * LARGEST + 1);
        gated.gate.add_permits(1_000);
    };
    let (answers, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(waiting, opened) }).await.expect("each is answered");
    assert!(answers.iter().all(is_committed) && is_committed(&first.await.unwrap()));
    let made = gated.batches.lock().unwrap();
    assert_eq!(made.iter().map(Vec::len).collect::<Vec<_>>(), [1, LARGEST, LARGEST, LARGEST, 1]);
    let runs: std::collections::BTreeSet<_> = made.iter().flatten().collect();
    assert_eq!(runs.len(), 3 * LARGEST + 2, "each once");
}

#[tokio::test]
async fn a_commit_behind_many_whose_executors_are_gone_is_made_though_nobody_comes_after() {
    let (gated, batcher, first) = busy().await;
    for _ in 0..2 * LARGEST {
        // Queued, and then dropped, as an executor is whose worker has lost its lease.
        assert!(futures::poll!(Box::pin(batcher.commit(commit()))).is_pending());
    }
    let last = batcher.commit(commit());
    let opened = async { gated.gate.add_permits(1_000) };
    let (answer, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(last, opened) }).await.expect("it is answered");
    assert!(is_committed(&answer) && is_committed(&first.await.unwrap()));
    assert_eq!(gated.batches.lock().unwrap().iter().map(Vec::len).sum::<usize>(), 2 * LARGEST + 2, "those of the others as well");
}

#[tokio::test]
async fn where_all_have_handed_in_nobody_is_waited_for() {
    for (members, at_once) in [(1, true), (2, false)] {
        let gated = Arc::new(Gated { gate: Semaphore::new(1_000), batches: Mutex::default() });
        let batcher = Batcher::new(gated, 1);
        batcher.expect(members);
        let mut alone = Box::pin(batcher.commit(commit()));
        assert_eq!(futures::poll!(&mut alone).is_ready(), at_once, "{members} members");
    }
}
