use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::model::{ProvisioningRun, RunDetail};
use domain::ports::{IdempotencyKey, NewRequest, Page, RequestAnswer, RetryAnswer, RetryRun, RunCounts, RunFilter, Written};
use saga::StoreError;
use uuid::Uuid;

use super::*;

/// Knows one version for all runs, and counts how often it is asked.
#[derive(Default)]
struct Runs {
    version: AtomicI64,
    asked: AtomicUsize,
    away: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl ProvisioningRuns for Runs {
    async fn versions(&self, ids: &[RunId]) -> Result<Vec<(RunId, i64)>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.away.swap(false, Ordering::SeqCst) {
            return Err(StoreError::Unavailable("away".into()));
        }
        Ok(ids.iter().map(|id| (*id, self.version.load(Ordering::SeqCst))).collect())
    }
    async fn get(&self, _: RunId) -> Result<Option<RunDetail>, StoreError> {
        unreachable!("a watcher reads versions only")
    }
    async fn list(&self, _: Option<&[Uuid]>, _: &RunFilter, _: Page) -> Result<Vec<ProvisioningRun>, StoreError> {
        unreachable!("a watcher reads versions only")
    }
    async fn request(&self, _: NewRequest) -> Result<Written<RequestAnswer>, StoreError> {
        unreachable!("a watcher reads versions only")
    }
    async fn retry(&self, _: RetryRun) -> Result<Written<RetryAnswer>, StoreError> {
        unreachable!("a watcher reads versions only")
    }
    async fn recall(&self, _: &IdempotencyKey) -> Result<Written<()>, StoreError> {
        unreachable!("a watcher reads versions only")
    }
    async fn counts(&self) -> Result<RunCounts, StoreError> {
        unreachable!("a watcher reads versions only")
    }
}

const INTERVAL: Duration = Duration::from_millis(100);

fn run(n: u128) -> RunId {
    RunId(Uuid::from_u128(n))
}

#[tokio::test(start_paused = true)]
async fn a_hundred_watchers_cost_one_question_per_interval() {
    let runs = Arc::new(Runs::default());
    let watch = Watch::new(runs.clone(), INTERVAL);
    let waiting: Vec<_> = (0..100)
        .map(|n| {
            let mut watcher = watch.watch(run(n % 7), 0);
            tokio::spawn(async move { watcher.newer_than(0).await })
        })
        .collect();
    tokio::time::sleep(INTERVAL * 10).await;
    assert!(runs.asked.load(Ordering::SeqCst) <= 11);
    assert!(waiting.iter().all(|w| !w.is_finished()));
    runs.version.store(1, Ordering::SeqCst);
    for watcher in waiting {
        watcher.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_while_nobody_watches_and_watching_starts_again() {
    let runs = Arc::new(Runs::default());
    let watch = Watch::new(runs.clone(), INTERVAL);
    drop(watch.watch(run(1), 0));
    tokio::time::sleep(INTERVAL * 3).await;
    let asked = runs.asked.load(Ordering::SeqCst);
    tokio::time::sleep(INTERVAL * 100).await;
    assert_eq!(runs.asked.load(Ordering::SeqCst), asked);
    runs.version.store(5, Ordering::SeqCst);
    watch.watch(run(1), 4).newer_than(4).await;
}

/// Catches a watcher that joins a watched run with an older version on the board and takes that for news.
#[tokio::test(start_paused = true)]
async fn a_watcher_that_knows_more_than_the_board_waits_for_what_is_newer() {
    let runs = Arc::new(Runs::default());
    let watch = Watch::new(runs.clone(), INTERVAL);
    let _first = watch.watch(run(1), 0);
    let mut second = watch.watch(run(1), 3);
    assert!(tokio::time::timeout(INTERVAL * 5, second.newer_than(3)).await.is_err());
    runs.version.store(4, Ordering::SeqCst);
    second.newer_than(3).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_delays_news_and_loses_none() {
    let runs = Arc::new(Runs::default());
    runs.away.store(true, Ordering::SeqCst);
    runs.version.store(1, Ordering::SeqCst);
    Watch::new(runs.clone(), INTERVAL).watch(run(1), 0).newer_than(0).await;
    assert_eq!(runs.asked.load(Ordering::SeqCst), 2);
}
