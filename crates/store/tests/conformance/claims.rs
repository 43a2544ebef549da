//! Claims among many accounts and workers: whose turn it is, and what is left to others.

use std::collections::HashSet;

use domain::change::Change;
use domain::ports::Health as _;
use rstest::rstest;
use saga::ports::{Claim, Runs, Sought};
use saga::{RunId, StoreError};
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, claim, released};

async fn take(world: &World, claim: Claim) -> Result<Vec<RunId>, StoreError> {
    Ok(Runs::<Change>::claim(&world.store, &claim).await?.runs.iter().map(|run| run.facts.run).collect())
}

/// Handed in at once, so that they are queued together, however slow the machine is.
async fn runs_of(world: &World, account: Uuid, many: usize) -> Vec<RunId> {
    let ask = async |n: usize| world.workspace(account, &format!("w-{n}")).await.1;
    futures::future::join_all((0..many).map(ask)).await
}

#[rstest]
#[tokio::test]
async fn who_comes_later_does_not_wait_for_all_that_another_account_has_queued(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let (busy, late) = (world.account(1000).await, world.account(9).await);
    // Each takes a turn of 10 ms: the last of these is ten seconds in the future.
    runs_of(&world, busy, 1000).await;
    let wanted = runs_of(&world, late, 1).await[0];
    let worker = world.worker().await;
    let first = take(&world, Claim { limit: 900, sought: Sought::New, ..claim(worker) }).await.unwrap();
    assert!(first.contains(&wanted), "its turn comes before those that were queued for later");
    // Nobody else is there: what is queued for later is taken at once.
    let rest = take(&world, Claim { limit: 900, sought: Sought::New, ..claim(worker) }).await.unwrap();
    assert_eq!((first.len(), rest.len()), (900, 101));
}

#[rstest]
#[case(Sought::New)]
#[case(Sought::All)]
#[tokio::test]
async fn accounts_of_which_a_worker_has_its_fill_are_left_to_others(#[values(Sqlite, Postgres)] backend: Backend, #[case] sought: Sought) {
    let world = World::new(backend).await;
    let (full, other) = (world.account(9).await, world.account(9).await);
    let (left, wanted) = (runs_of(&world, full, 3).await, runs_of(&world, other, 2).await);
    let worker = world.worker().await;
    let without = vec![format!("account:{full}"), "saga:create-workspace".to_owned()];
    let taken = take(&world, Claim { without, sought, ..claim(worker) }).await.unwrap();
    assert_eq!(taken, wanted, "only accounts are limited by the store");
    assert_eq!(take(&world, Claim { sought, ..claim(worker) }).await.unwrap(), left);
}

#[rstest]
#[tokio::test]
async fn a_claim_of_what_is_new_leaves_what_was_released(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let old = runs_of(&world, account, 1).await;
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    world.committed(released(&claimed, Some(world.store.now().await.unwrap()))).await;
    let (_, new) = world.workspace(account, "later").await;
    assert_eq!(take(&world, Claim { sought: Sought::New, ..claim(worker) }).await.unwrap(), [new]);
    let all: HashSet<RunId> = take(&world, claim(worker)).await.unwrap().into_iter().collect();
    assert_eq!(all, old.into_iter().collect(), "what is due is found by a claim of everything");
}
