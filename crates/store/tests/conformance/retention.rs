//! What is forgotten in time, and what a run must be kept for.

#![expect(clippy::unchecked_time_subtraction, reason = "constants, the longer one first")]

use std::time::Duration;

use domain::change::{Change, Subject};
use domain::model::FreezeSource;
use domain::ports::{Accounts, AuditLog, Deletions, Freezes, ProvisioningRuns, Retention, RetryAnswer, RetryRun, Written};
use rstest::rstest;
use saga::journal::Ending;
use saga::ports::{ClaimedRun, Runs};
use saga::{RunId, Verb};
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::deletions::{MONTH, REST, deleted, made, purge_of, purging};
use crate::freezes::{freeze, unfreeze};
use crate::requests::{ask, new_request};
use crate::world::{World, claim, draft, ended, idempotency, kept, new_account, new_run, user};

const KEPT: Duration = Duration::from_hours(400 * 24);
const HOUR: Duration = Duration::from_hours(1);

static COUNT: Statement = Statement::shared(
    "count",
    "select (select count(*) from run_journal) as journal, (select count(*) from run_requests) as requests,
       (select count(*) from provisioning_runs) as runs, (select count(*) from idempotency) as keys",
);
static POINT_NOWHERE: Statement = Statement::shared("point nowhere", "update accounts set run_id = id");

impl World {
    /// Records, requests, runs and idempotency keys that there are.
    async fn rows(&self) -> [u64; 4] {
        let mut tx = self.test.db.read().await.unwrap();
        let row = tx.query(&COUNT).fetch_one().await.unwrap();
        ["journal", "requests", "runs", "keys"].map(|name| row.count(name).unwrap())
    }

    /// Walks through all runs, and tells how many are gone.
    async fn forget(&self, kept: Duration) -> u64 {
        let (mut forgotten, mut after) = (0, None);
        loop {
            // Small, so that a walk takes several stretches.
            let stretch = self.store.forget_runs(after, 2, kept).await.unwrap();
            forgotten += stretch.forgotten;
            if stretch.next.is_none() {
                return forgotten;
            }
            assert!(stretch.next > after, "{stretch:?}");
            after = stretch.next;
        }
    }

    async fn is_there(&self, run: RunId) -> bool {
        ProvisioningRuns::get(&self.store, run).await.unwrap().is_some()
    }

    async fn carried(&self, workspace: Uuid) -> RunId {
        let carrier = self.claim_carrier().await.unwrap();
        self.committed(ended(&carrier, Subject::Workspace(workspace), Ending::Succeeded)).await;
        carrier.facts.run
    }
}

async fn claim_purge(world: &World) -> ClaimedRun {
    let worker = world.worker().await;
    let mut of = claim(worker);
    of.definitions = vec![purging()];
    Runs::<Change>::claim(&world.store, &of).await.unwrap().runs.pop().expect("the purge is due")
}

/// Deletes the workspace and carries its purge through. Returns the runs that this took.
async fn purged(world: &World, account: Uuid, workspace: Uuid) -> [RunId; 2] {
    deleted(world, account, workspace).await;
    let carrier = world.carried(workspace).await;
    world.test.db.advance(MONTH);
    assert!(Deletions::purge(&world.store, purge_of(&world.row(workspace).await)).await.unwrap());
    let purge = claim_purge(world).await;
    let mut end = ended(&purge, Subject::Workspace(workspace), Ending::Succeeded);
    end.changes.insert(0, Change::PurgeWorkspace { workspace_id: workspace });
    world.committed(end).await;
    [carrier, purge.facts.run]
}

#[rstest]
#[tokio::test]
async fn the_runs_of_a_purged_workspace_are_forgotten_with_all_that_hangs_on_them(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let stays = made(&world, account, "stays", Ending::Succeeded).await;
    let before = world.rows().await;
    let goes = made(&world, account, "goes", Ending::Succeeded).await;
    let made_by = world.row(goes).await.made_by;
    let [carrier, purge] = purged(&world, account, goes).await;
    let entries = world.store.of_account(account, 0, 99).await.unwrap();
    let [_, _, runs, _] = world.rows().await;
    assert_eq!(runs, before[2] + 3);

    world.test.db.advance(KEPT - MONTH - HOUR);
    assert_eq!(world.forget(KEPT).await, 0, "not yet");
    world.test.db.advance(MONTH + HOUR * 2);
    assert_eq!(world.forget(KEPT).await, 3);
    for run in [made_by, carrier, purge] {
        assert!(!world.is_there(run).await);
    }
    assert_eq!(world.rows().await, before, "journals and requests went with them");
    assert!(world.is_there(world.row(stays).await.made_by).await);
    assert_eq!(world.store.of_account(account, 0, 99).await.unwrap(), entries, "audit stays");
    assert_eq!(world.forget(KEPT).await, 0);
}

#[rstest]
#[tokio::test]
async fn a_run_that_has_not_ended_is_never_forgotten(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let id = made(&world, account, "a", Ending::Succeeded).await;
    deleted(&world, account, id).await;
    world.carried(id).await;
    world.test.db.advance(MONTH);
    assert!(Deletions::purge(&world.store, purge_of(&world.row(id).await)).await.unwrap());
    let purge = claim_purge(&world).await;
    // Its workspace is gone already, and would keep it no more.
    let mut last_step = kept(&purge, Vec::new());
    last_step.changes.push(Change::PurgeWorkspace { workspace_id: id });
    world.committed(last_step).await;
    let unclaimed = world.workspace(account, "b").await.1;
    ask(&world, &new_request(account, unclaimed, Verb::Cancel)).await;
    world.test.db.advance(KEPT * 2);
    assert_eq!(world.forget(KEPT).await, 2, "what made the workspace, and what carried its freeze");
    assert!(world.is_there(purge.facts.run).await && world.is_there(unclaimed).await);
}

#[rstest]
#[tokio::test]
async fn an_account_and_a_workspace_keep_the_runs_that_they_refer_to(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let failed = made(&world, account, "failed", Ending::Failed).await;
    let half_purged = made(&world, account, "half", Ending::Succeeded).await;
    deleted(&world, account, half_purged).await;
    world.carried(half_purged).await;
    world.test.db.advance(MONTH);
    assert!(Deletions::purge(&world.store, purge_of(&world.row(half_purged).await)).await.unwrap());
    let purge = claim_purge(&world).await;
    world.committed(ended(&purge, Subject::Workspace(half_purged), Ending::Abandoned)).await;
    world.test.db.advance(KEPT * 2);
    assert_eq!(world.forget(KEPT).await, 0);
    let rows = [world.row(failed).await, world.row(half_purged).await];
    assert_ne!(rows[1].run_id, rows[1].made_by);
    for run in rows.iter().flat_map(|row| [row.run_id, row.made_by]) {
        assert!(world.is_there(run).await);
    }
    assert!(world.store.to_purge(9, REST).await.unwrap().due.iter().any(|w| w.id == half_purged), "what it needs is there");
    // Nothing but the reference kept the account's.
    let mut tx = world.test.db.write().await.unwrap();
    tx.query(&POINT_NOWHERE).execute().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.forget(KEPT).await, 1);
}

#[rstest]
#[tokio::test]
async fn of_the_runs_that_carried_freezes_the_last_one_is_kept(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let id = made(&world, account, "a", Ending::Succeeded).await;
    let mut carriers = Vec::new();
    for source in [FreezeSource::Security, FreezeSource::Billing] {
        world.change(id, freeze(source)).await;
        carriers.push(world.carried(id).await);
    }
    world.test.db.advance(KEPT);
    assert_eq!(world.forget(KEPT).await, 1);
    assert_eq!([world.is_there(carriers[0]).await, world.is_there(carriers[1]).await], [false, true]);
    // From it the next one is made.
    world.change(id, unfreeze(&[FreezeSource::Security])).await;
    assert!(world.store.apply_again(id, Duration::ZERO).await.is_ok());
    assert!(world.claim_carrier().await.is_some());
}

fn retry_of(account: Uuid, workspace: Option<Uuid>, of: RunId) -> RetryRun {
    let mut run = new_run(account, workspace);
    run.retry_of = Some(of);
    RetryRun { run, audit: draft(account, workspace, "run.retry"), idempotency: None }
}

async fn retried(world: &World, new: &RetryRun) -> RunId {
    let answer = ProvisioningRuns::retry(&world.store, new.clone()).await.unwrap();
    assert_eq!(answer, Written::Done(RetryAnswer::Created));
    new.run.id
}

#[rstest]
#[tokio::test]
async fn the_retries_that_led_to_what_is_there_are_kept_with_it(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let id = made(&world, account, "a", Ending::Failed).await;
    let first = world.row(id).await.made_by;
    let second = retried(&world, &retry_of(account, Some(id), first)).await;
    world.end(id, Ending::Failed).await;
    world.test.db.advance(KEPT);
    let third = retried(&world, &retry_of(account, Some(id), second)).await;
    world.end(id, Ending::Succeeded).await;
    world.test.db.advance(KEPT);
    assert_eq!(world.forget(KEPT).await, 0, "three runs, and the account's");

    // When the workspace is gone they go together.
    let [_, purge] = purged(&world, account, id).await;
    world.test.db.advance(KEPT - HOUR);
    assert_eq!(world.forget(KEPT).await, 4, "the chain and the run that carried the deletion's freeze");
    assert!(world.is_there(purge).await);
    for run in [first, second, third] {
        assert!(!world.is_there(run).await);
    }
}

#[rstest]
#[tokio::test]
async fn a_chain_of_retries_goes_when_its_last_run_is_old_enough(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let id = made(&world, account, "a", Ending::Failed).await;
    let first = world.row(id).await.made_by;
    world.test.db.advance(MONTH);
    let second = retried(&world, &retry_of(account, Some(id), first)).await;
    world.test.db.advance(MONTH);
    world.end(id, Ending::Succeeded).await;
    purged(&world, account, id).await;
    world.test.db.advance(KEPT - MONTH * 2 + HOUR);
    assert_eq!(world.forget(KEPT).await, 0, "the first is old enough, the second is not");
    assert!(world.is_there(first).await && world.is_there(second).await);
    world.test.db.advance(MONTH);
    assert_eq!(world.forget(KEPT).await, 3);
}

#[rstest]
#[tokio::test]
async fn an_accounts_chain_of_retries_is_kept(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let new = new_account(9);
    let (account, first) = (new.id, new.run.id);
    assert_eq!(Accounts::create(&world.store, new).await.unwrap(), Written::Done(()));
    let end = async |ending| {
        let worker = world.worker().await;
        let claimed = world.claim_one(worker).await;
        world.committed(ended(&claimed, Subject::Account(account), ending)).await;
    };
    end(Ending::Failed).await;
    let second = retried(&world, &retry_of(account, None, first)).await;
    end(Ending::Failed).await;
    world.test.db.advance(KEPT * 2);
    assert_eq!(world.forget(KEPT).await, 0);
    assert!(world.is_there(first).await && world.is_there(second).await);
}

#[rstest]
#[tokio::test]
async fn keys_of_yesterday_are_forgotten(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    for key in ["a", "b", "c"] {
        let mut new = new_account(1);
        new.idempotency = Some(idempotency(Uuid::nil(), user(), key, b"f"));
        assert_eq!(Accounts::create(&world.store, new).await.unwrap(), Written::Done(()));
        world.test.db.advance(HOUR);
    }
    world.test.db.advance(HOUR * 21 - Duration::from_mins(1));
    assert_eq!(world.store.forget_keys(9).await.unwrap(), 0, "a day is not over");
    world.test.db.advance(HOUR + Duration::from_mins(1));
    assert_eq!(world.store.forget_keys(1).await.unwrap(), 1, "no more than is asked");
    assert_eq!(world.store.forget_keys(9).await.unwrap(), 1);
    assert_eq!(world.rows().await[3], 1);
}
