//! The end of a workspace: everything that it had is gone, and nothing else.

use std::sync::Arc;

use domain::change::{Change, Subject};
use domain::ids::bucket;
use domain::model::{Scope, WorkspaceStatus};
use domain::ports::{AuditLog, FreezeSets, ProvisioningRuns, Slug, Workspaces};
use domain::steps::input::CreateWorkspaceInput;
use rstest::rstest;
use saga::journal::{Ending, Event};
use saga::ports::CommitAnswer;
use serde_json::json;
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::logins::{Made, freeze, rows, workspace};
use crate::world::{World, ended, kept, record};

static STATUS: Statement = Statement::shared("status", "update workspaces set status = $3, holds_quota = $4 where bucket = $1 and id = $2");
static FREEZES: Statement = Statement::shared("freezes", "select count(*) as n from workspace_freezes where workspace_id = $1");
static ALIASES: Statement = Statement::shared("aliases", "select count(*) as n from workspace_aliases where workspace_id = $1");

async fn set_status(world: &World, workspace: Uuid, status: &str, holds_quota: bool) {
    let mut tx = world.test.db.write().await.unwrap();
    tx.query(&STATUS).bind(bucket(workspace)).bind(workspace).bind(status).bind(holds_quota).execute().await.unwrap();
    tx.commit().await.unwrap();
}

/// Rows of environments, backend workspaces, memberships, freezes and aliases.
async fn counts(world: &World, workspace: Uuid) -> [usize; 5] {
    let mut tx = world.test.db.read().await.unwrap();
    let mut count = [0; 2];
    for (n, statement) in [&FREEZES, &ALIASES].into_iter().enumerate() {
        count[n] = usize::try_from(tx.query(statement).bind(workspace).fetch_one().await.unwrap().get::<i64>("n").unwrap()).unwrap();
    }
    [
        world.store.environments(workspace).await.unwrap().len(),
        world.store.backend_workspaces(workspace).await.unwrap().len(),
        world.store.memberships(Scope::Workspace, workspace).await.unwrap().len(),
        count[0],
        count[1],
    ]
}

async fn live(world: &World, account: Uuid) -> i64 {
    world.store.room(account, &Slug::Given("x".to_owned())).await.unwrap().unwrap().live
}

#[rstest]
#[case(true)]
#[case(false)]
#[tokio::test]
async fn a_purge_takes_every_row_blanks_the_workspaces_own_and_frees_its_quota_once(
    #[case] holds_quota: bool,
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let all: [Made; 2] = [workspace(&world, account, "a").await, workspace(&world, account, "b").await];
    let worker = world.worker().await;
    let claimed = world.claim(worker).await;
    let run_of = |made: &Made| claimed.iter().find(|r| r.facts.run == made.run).unwrap();
    for made in &all {
        let mut commit = kept(run_of(made), vec![record(1, Event::RunStarted)]);
        commit.changes = rows(made);
        world.committed(commit).await;
        freeze(&world, made.workspace, "deletion", None).await;
    }
    let [gone, bystander] = &all;
    assert_eq!(counts(&world, gone.workspace).await, [3, 3, 1, 1, 1]);
    let (before, entries) = (live(&world, account).await, world.store.of_workspace(gone.workspace, None, 100).await.unwrap().len());

    let purge = || {
        let mut commit = ended(run_of(gone), Subject::Workspace(gone.workspace), Ending::Succeeded);
        Arc::make_mut(&mut commit.records)[0].seq = 2;
        commit.changes.insert(0, Change::PurgeWorkspace { workspace_id: gone.workspace });
        commit
    };
    assert!(matches!(world.commit(purge()).await, CommitAnswer::Rejected(_)), "only what is being purged can be");
    set_status(&world, gone.workspace, "purging", holds_quota).await;
    world.committed(purge()).await;

    assert_eq!(counts(&world, gone.workspace).await, [0; 5]);
    assert_eq!(counts(&world, bystander.workspace).await, [3, 3, 1, 1, 1]);
    assert_eq!(live(&world, account).await, before - i64::from(holds_quota));
    let row = Workspaces::get(&world.store, gone.workspace).await.unwrap().unwrap();
    assert_eq!((row.name.as_str(), row.slug.as_str(), row.labels.len()), ("", "", 0));
    assert_eq!(row.status, WorkspaceStatus::Purging);
    assert!(row.purged_at.is_some());
    assert_eq!(world.store.current(gone.workspace).await.unwrap(), None, "no login is left to be opened or shut");
    let left = world.store.of_workspace(gone.workspace, None, 100).await.unwrap().len();
    assert_eq!(left, entries + 1, "audit stays, and tells of the end");
    // What people called it is nowhere any more; which ids the run was to make still stands there.
    let input = async |run| ProvisioningRuns::get(&world.store, run).await.unwrap().unwrap().run.input;
    assert_eq!(input(gone.run).await, json!(CreateWorkspaceInput { name: String::new(), ..gone.input.clone() }));
    assert_eq!(input(bystander.run).await, json!(bystander.input));
}

#[rstest]
#[case(Ending::Failed)]
#[case(Ending::Abandoned)]
#[tokio::test]
async fn a_purge_that_does_not_succeed_makes_no_failed_workspace_of_it(
    #[case] ending: Ending,
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let made = workspace(&world, account, "a").await;
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    set_status(&world, made.workspace, "purging", true).await;
    let before = live(&world, account).await;
    world.committed(ended(&claimed, Subject::Workspace(made.workspace), ending)).await;
    let row = Workspaces::get(&world.store, made.workspace).await.unwrap().unwrap();
    assert_eq!((row.status, live(&world, account).await), (WorkspaceStatus::Purging, before));
}
