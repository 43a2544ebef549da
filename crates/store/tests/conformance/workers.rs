//! Workers: leases, deaths, and what becomes of a dead worker's runs.

use std::time::Duration;

use domain::Change;
use rstest::rstest;
use saga::Runs;
use saga::ports::{Claim, CommitAnswer, Renewal, Sought};
use testkit::Backend::{self, Postgres, Sqlite};

use store::db::Statement;

use crate::world::{LEASE, World, definition, kept, step_started};

static SAY_NOTHING: Statement = Statement::shared("say nothing", "update workers set definitions = null");

async fn renew(world: &World, worker: saga::WorkerId) -> Renewal {
    Runs::<Change>::renew(&world.store, worker, LEASE).await.unwrap()
}

async fn bury(world: &World) -> u64 {
    Runs::<Change>::bury(&world.store).await.unwrap()
}

#[rstest]
#[tokio::test]
async fn a_lease_that_is_renewed_in_time_lives(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let worker = world.worker().await;
    for _ in 0..3 {
        world.test.db.advance(Duration::from_secs(9));
        assert_eq!(bury(&world).await, 0);
        assert!(matches!(renew(&world, worker).await, Renewal::Alive { .. }));
    }
    world.test.db.advance(Duration::from_secs(11));
    assert_eq!(bury(&world).await, 1);
    assert_eq!(bury(&world).await, 0, "nobody dies twice");
    assert!(matches!(renew(&world, worker).await, Renewal::Dead));
}

#[rstest]
#[tokio::test]
async fn a_dead_workers_run_is_taken_over_and_its_late_commit_fenced(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    world.workspace(account, "data").await;
    let dead = world.worker().await;
    let run = world.claim_one(dead).await;
    world.committed(kept(&run, vec![step_started(1, "a", 1)])).await;
    world.test.db.advance(Duration::from_secs(11));
    if backend == Postgres {
        let other = world.worker().await;
        assert!(world.claim(other).await.is_empty(), "a worker that nobody has buried keeps its runs");
    }
    assert_eq!(bury(&world).await, 1);
    assert!(world.claim(dead).await.is_empty(), "what is taken from the dead is not for them");
    let heir = world.worker().await;
    let taken = world.claim_one(heir).await;
    assert_eq!(taken.epoch, run.epoch + 1);
    assert_eq!(taken.journal, [step_started(1, "a", 1)]);
    assert!(matches!(world.commit(kept(&run, vec![step_started(2, "late", 1)])).await, CommitAnswer::Fenced));
    assert_eq!(Runs::<Change>::journal(&world.store, run.facts.run, run.epoch).await.unwrap(), None);
    let journal = Runs::<Change>::journal(&world.store, run.facts.run, taken.epoch).await.unwrap().unwrap();
    assert_eq!(journal, [step_started(1, "a", 1)]);
}

#[rstest]
#[tokio::test]
async fn the_dead_are_given_nothing_new(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let dead = world.worker().await;
    Runs::<Change>::retire(&world.store, dead).await.unwrap();
    world.workspace(account, "data").await;
    for sought in [Sought::New, Sought::All] {
        let claim = Claim { sought, ..crate::world::claim(dead) };
        assert_eq!(Runs::<Change>::claim(&world.store, &claim).await.unwrap().runs.len(), 0);
    }
    let alive = world.worker().await;
    world.claim_one(alive).await;
}

#[rstest]
#[tokio::test]
async fn a_retired_workers_runs_are_free_at_once(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    world.workspace(account, "data").await;
    let first = world.worker().await;
    let run = world.claim_one(first).await;
    assert!(world.claim(first).await.is_empty(), "what is owned is not claimed again");
    Runs::<Change>::retire(&world.store, first).await.unwrap();
    assert!(matches!(renew(&world, first).await, Renewal::Dead));
    let second = world.worker().await;
    assert_eq!(world.claim_one(second).await.epoch, run.epoch + 1);
}

/// The lock on the data folder tells that no earlier worker can be alive.
#[tokio::test]
async fn on_sqlite_a_new_worker_takes_over_from_all_earlier_ones() {
    let world = World::new(Sqlite).await;
    let account = world.account(3).await;
    world.workspace(account, "data").await;
    let killed = world.worker().await;
    let run = world.claim_one(killed).await;
    let next = world.worker().await;
    assert_eq!(world.claim_one(next).await.epoch, run.epoch + 1);
    assert!(matches!(renew(&world, killed).await, Renewal::Dead));
}

/// On PostgreSQL many live side by side.
#[tokio::test]
async fn on_postgres_a_new_worker_leaves_the_others_their_runs() {
    let world = World::new(Postgres).await;
    let account = world.account(3).await;
    world.workspace(account, "data").await;
    let first = world.worker().await;
    world.claim_one(first).await;
    let second = world.worker().await;
    assert!(world.claim(second).await.is_empty());
    assert!(matches!(renew(&world, first).await, Renewal::Alive { .. }));
}

/// What one process does for all, the worker's does that has been there for longest.
#[tokio::test]
async fn of_living_workers_one_is_the_first() {
    let world = World::new(Postgres).await;
    let is_first = async |worker| match renew(&world, worker).await {
        Renewal::Alive { is_first, .. } => is_first,
        Renewal::Dead => panic!("dead"),
    };
    let (first, second) = (world.worker().await, world.worker().await);
    assert_eq!((is_first(first).await, is_first(second).await), (true, false));
    Runs::<Change>::retire(&world.store, first).await.unwrap();
    let third = world.worker().await;
    assert_eq!((is_first(second).await, is_first(third).await), (true, false));
    world.test.db.advance(Duration::from_secs(9));
    assert!(!is_first(third).await);
    world.test.db.advance(Duration::from_secs(2));
    assert_eq!(bury(&world).await, 1, "the second one has not renewed its lease");
    assert!(is_first(third).await);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn claims_at_once_share_the_runs_out(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(100).await;
    for n in 0..40 {
        world.workspace(account, &format!("w{n}")).await;
    }
    let worker = world.worker().await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = world.store.clone();
            let claim = Claim { limit: 5, ..crate::world::claim(worker) };
            tokio::spawn(async move { Runs::<Change>::claim(&store, &claim).await.unwrap().runs })
        })
        .collect();
    let mut claimed = Vec::new();
    for task in tasks {
        let runs = task.await.unwrap();
        assert!(runs.len() <= 5, "more than was asked for");
        claimed.extend(runs.into_iter().map(|r| r.facts.run));
    }
    let taken = claimed.len();
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), taken, "a run was claimed twice");
    claimed.extend(world.claim(worker).await.into_iter().map(|r| r.facts.run));
    assert_eq!(claimed.len(), 40);
}

#[rstest]
#[tokio::test]
async fn runs_that_no_live_worker_can_execute_are_counted(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    for slug in ["a", "b"] {
        world.workspace(account, slug).await;
    }
    let known = [definition(1), definition(2)];
    let unclaimable = async || Runs::<Change>::unclaimable(&world.store, &known).await.unwrap();
    let all = vec![(definition(1), 2)];
    assert_eq!(unclaimable().await, all, "there is no worker at all");
    let other = saga::WorkerId(uuid::Uuid::now_v7());
    Runs::<Change>::register(&world.store, other, LEASE, &[definition(2)]).await.unwrap();
    assert_eq!(unclaimable().await, all, "whatever the process that asks knows itself");
    let mut tx = world.test.db.write().await.unwrap();
    tx.query(&SAY_NOTHING).execute().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(unclaimable().await, [], "one that does not say is taken to know what the asker does");
    Runs::<Change>::retire(&world.store, other).await.unwrap();
    assert_eq!(unclaimable().await, all);
    let worker = world.worker().await;
    assert_eq!(unclaimable().await, []);
    assert_eq!(Runs::<Change>::unknown(&world.store, &known[1..]).await.unwrap(), all, "of one process alone");
    world.test.db.advance(LEASE + Duration::from_secs(1));
    assert_eq!(unclaimable().await, all, "its lease has ended, whether or not anybody has buried it");
    assert!(!matches!(renew(&world, worker).await, Renewal::Dead));
    assert_eq!(unclaimable().await, []);
}
