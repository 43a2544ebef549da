//! Retries of ended runs: a new run for the same workspace or account, if it is still to be had.

use domain::change::Subject;
use domain::model::{AccountStatus, WorkspaceStatus};
use domain::ports::{Accounts, ProvisioningRuns, RequestAnswer, RetryAnswer, RetryRun, Slug, Workspaces, Written};
use rstest::rstest;
use saga::journal::Ending;
use saga::{RunId, Verb};
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::requests::{ask, new_request};
use crate::world::{World, draft, ended, idempotency, new_account, new_run, user};

fn retry_of(account: Uuid, workspace: Option<Uuid>, of: RunId) -> RetryRun {
    let mut run = new_run(account, workspace);
    run.retry_of = Some(of);
    RetryRun { run, audit: draft(account, workspace, "run.retry"), idempotency: None }
}

async fn retry(world: &World, new: &RetryRun) -> RetryAnswer {
    match ProvisioningRuns::retry(&world.store, new.clone()).await.unwrap() {
        Written::Done(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// A workspace whose run has ended.
async fn failed(world: &World, account: Uuid, slug: &str, ending: Ending) -> (Uuid, RunId) {
    let (workspace, run) = world.workspace(account, slug).await;
    world.end(workspace, ending).await;
    (workspace, run)
}

#[rstest]
#[tokio::test]
async fn a_failed_workspace_is_provisioned_again_by_a_new_run(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(1).await;
    let (workspace, first) = failed(&world, account, "a", Ending::Failed).await;
    let mut new = retry_of(account, Some(workspace), first);
    new.idempotency = Some(idempotency(account, user(), "k", b"f"));
    assert_eq!(retry(&world, &new).await, RetryAnswer::Created);
    let row = Workspaces::get(&world.store, workspace).await.unwrap().unwrap();
    assert_eq!((row.status, row.run_id, row.revision), (WorkspaceStatus::Provisioning, new.run.id, 3));
    let old = ProvisioningRuns::get(&world.store, first).await.unwrap().unwrap().run;
    assert_eq!((old.retried_by, old.version), (Some(new.run.id), 3));
    assert_eq!(ProvisioningRuns::get(&world.store, new.run.id).await.unwrap().unwrap().run.retry_of, Some(first));
    let room = world.store.room(account, &Slug::Given("a".to_owned())).await.unwrap().unwrap();
    assert_eq!((room.live, room.slug), (1, None), "slug and quota are held again");

    assert!(matches!(ProvisioningRuns::retry(&world.store, new.clone()).await.unwrap(), Written::Replayed(_)));
    let again = retry(&world, &retry_of(account, Some(workspace), first)).await;
    assert_eq!(again, RetryAnswer::RetriedAlready { by: new.run.id });
    world.end(workspace, Ending::Succeeded).await;
    assert_eq!(Workspaces::get(&world.store, workspace).await.unwrap().unwrap().status, WorkspaceStatus::Active);
    let late = retry(&world, &retry_of(account, Some(workspace), new.run.id)).await;
    assert_eq!(late, RetryAnswer::NotFailed { status: "active" });
}

#[rstest]
#[tokio::test]
async fn a_run_at_work_rules_a_retry_out(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(1).await;
    let (workspace, run) = world.workspace(account, "a").await;
    assert_eq!(retry(&world, &retry_of(account, Some(workspace), run)).await, RetryAnswer::RunInProgress { run });
}

#[rstest]
#[tokio::test]
async fn a_slug_or_a_quota_that_is_gone_rules_a_retry_out(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(1).await;
    let (workspace, run) = failed(&world, account, "a", Ending::Failed).await;
    let (usurper, _) = world.workspace(account, "a").await;
    let taken = retry(&world, &retry_of(account, Some(workspace), run)).await;
    assert_eq!(taken, RetryAnswer::SlugTaken { slug: "a".to_owned() });
    world.end(usurper, Ending::Failed).await;
    world.workspace(account, "b").await;
    let full = retry(&world, &retry_of(account, Some(workspace), run)).await;
    assert_eq!(full, RetryAnswer::QuotaExceeded { max: 1 });
    let row = Workspaces::get(&world.store, workspace).await.unwrap().unwrap();
    assert_eq!(row.status, WorkspaceStatus::Failed);
}

#[rstest]
#[tokio::test]
async fn an_abandoned_workspace_holds_its_quota_already(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(1).await;
    let (workspace, run) = failed(&world, account, "a", Ending::Abandoned).await;
    assert_eq!(retry(&world, &retry_of(account, Some(workspace), run)).await, RetryAnswer::Created);
    assert_eq!(world.store.room(account, &Slug::Given("x".to_owned())).await.unwrap().unwrap().live, 1);
}

#[rstest]
#[tokio::test]
async fn a_failed_account_is_provisioned_again(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let new = new_account(1);
    let (account, first) = (new.id, new.run.id);
    Accounts::create(&world.store, new).await.unwrap();
    assert_eq!(retry(&world, &retry_of(account, None, first)).await, RetryAnswer::RunInProgress { run: first });
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    world.committed(ended(&claimed, Subject::Account(account), Ending::Failed)).await;
    let again = retry_of(account, None, first);
    assert_eq!(retry(&world, &again).await, RetryAnswer::Created);
    assert_eq!(Accounts::get(&world.store, account).await.unwrap().unwrap().status, AccountStatus::Provisioning);
    assert_eq!(world.claim_one(worker).await.facts.run, again.run.id);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn of_many_retries_at_once_one_makes_a_run(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, first) = failed(&world, account, "a", Ending::Failed).await;
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (store, new) = (world.store.clone(), retry_of(account, Some(workspace), first));
            tokio::spawn(async move { ProvisioningRuns::retry(&store, new).await.unwrap() })
        })
        .collect();
    let mut created = 0;
    for task in tasks {
        match task.await.unwrap() {
            Written::Done(RetryAnswer::Created) => created += 1,
            Written::Done(RetryAnswer::RetriedAlready { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(created, 1);
}

#[rstest]
#[tokio::test]
async fn a_run_that_is_not_there_any_more_is_told_from_one_that_cannot_be_retried(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(1).await;
    let (workspace, run) = failed(&world, account, "a", Ending::Failed).await;
    let forgotten = RunId(new_run(account, None).id.0);
    for about in [Some(workspace), None] {
        assert_eq!(retry(&world, &retry_of(account, about, forgotten)).await, RetryAnswer::Forgotten);
    }
    let asked = ask(&world, &new_request(account, forgotten, Verb::Cancel)).await;
    assert_eq!(asked, Written::Done(RequestAnswer::Forgotten));
    assert_eq!(retry(&world, &retry_of(account, Some(workspace), run)).await, RetryAnswer::Created, "nothing was changed");
}
