//! Freezes that come while a run is at work, on the real engine and both databases.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use domain::pauses::Kind;
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};
use testkit::drill::{Heard, Owner, Stage, definitions};

async fn stage(backend: Backend) -> Stage {
    let creation = definitions().iter().find(|definition| definition.id.name == "create-workspace").unwrap();
    Stage::new(backend, creation).await.unwrap()
}

fn holds(done: Result<(), String>) {
    if let Err(why) = done {
        panic!("{why}");
    }
}

/// Catches a commit that records the end of a stage and begins the next one although a park waits to be journaled.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_parks_at_its_next_step_boundary_and_goes_on_days_later(
    #[values(Sqlite, Postgres)] backend: Backend,
    #[values(Heard::FromItsCommit, Heard::Never)] heard: Heard,
) {
    let stage = stage(backend).await;
    for step in ["create-environments", "backend-staging", "write-relationships", "verify-access"] {
        holds(stage.frozen_at(step, Owner::First, heard).await);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_does_the_run_that_took_the_place_of_a_failed_one(#[values(Sqlite, Postgres)] backend: Backend) {
    let stage = stage(backend).await;
    for heard in [Heard::FromItsCommit, Heard::Never] {
        holds(stage.frozen_at("write-relationships", Owner::Retried, heard).await);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compensation_goes_on_under_a_freeze(#[values(Sqlite, Postgres)] backend: Backend) {
    let stage = stage(backend).await;
    for step in ["create-environments", "backend-prod", "write-relationships"] {
        holds(stage.frozen_while_undoing(step).await);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_freezes_in_quick_succession_the_last_one_stands(#[values(Sqlite, Postgres)] backend: Backend) {
    let stage = stage(backend).await;
    let (freeze, unfreeze) = (true, false);
    for changes in [&[freeze, unfreeze, freeze][..], &[freeze, unfreeze], &[freeze, unfreeze, freeze, unfreeze, freeze, unfreeze, freeze]] {
        for _ in 0..4 {
            holds(stage.frozen_in_quick_succession(changes).await);
        }
    }
}

/// A pause must leave no login open that a freeze shuts; who wants that names the saga.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_is_carried_out_whatever_is_paused_but_its_own_saga(#[values(Sqlite, Postgres)] backend: Backend) {
    let stage = stage(backend).await;
    for kind in Kind::ALL {
        holds(stage.frozen_while_paused(kind).await);
    }
}
