//! What `apply-freezes` reads of a workspace, and that what it did counts only for the revision that it read.

use std::time::Duration;

use domain::change::{Change, NewEnvironment, Subject};
use domain::ids::{bucket, within};
use domain::model::{EnvironmentName, TenancyModel, WorkspaceStatus};
use domain::ports::{FreezeSets, NewWorkspace, Workspaces};
use domain::steps::input::{CreateWorkspaceInput, EnvironmentInput};
use rstest::rstest;
use saga::RunId;
use saga::journal::{Ending, Event};
use saga::ports::{CommitAnswer, Runs};
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, ended, kept, new_workspace, record, step_started};

static FREEZE: Statement = Statement::shared(
    "freeze",
    "insert into workspace_freezes (bucket, workspace_id, source, mode, reason_code, created_by_kind, created_by_id, created_at, expires_at)
     values ($1, $2, $3, 'read_only', 'test', 'user', $4, $5, $6)",
);
static RAISE: Statement =
    Statement::shared("raise", "update workspaces set freeze_revision = freeze_revision + 1 where bucket = $1 and id = $2");
static LOGINS: Statement =
    Statement::shared("logins", "select id, login_open, login_revision from backend_workspaces where workspace_id = $1 order by id");

pub(crate) struct Made {
    pub workspace: Uuid,
    pub run: RunId,
    pub input: CreateWorkspaceInput,
}

/// A workspace whose run's input is what `create-workspace` has.
pub(crate) async fn workspace(world: &World, account: Uuid, slug: &str) -> Made {
    let mut new: NewWorkspace = new_workspace(account, slug);
    let environments = EnvironmentName::ALL.iter().map(|name| EnvironmentInput {
        id: within(account, Uuid::now_v7()),
        name: *name,
        is_default: *name == EnvironmentName::Prod,
        backend_workspace_id: within(account, Uuid::now_v7()),
    });
    let input = CreateWorkspaceInput {
        workspace_id: new.id,
        account_id: account,
        name: slug.to_owned(),
        region: "local".to_owned(),
        tenancy_model: TenancyModel::Shared,
        creator: new.created_by,
        environments: environments.collect(),
    };
    new.run.input = serde_json::to_value(&input).unwrap();
    let made = Made { workspace: new.id, run: new.run.id, input };
    Workspaces::create(&world.store, new).await.unwrap();
    made
}

/// Its rows of environments and backend workspaces, as an open run's changes.
pub(crate) fn rows(made: &Made) -> Vec<Change> {
    let new = |e: &EnvironmentInput| NewEnvironment { id: e.id, name: e.name, is_default: e.is_default };
    let environments =
        Change::InsertEnvironments { workspace_id: made.workspace, environments: made.input.environments.iter().map(new).collect() };
    let backends = made.input.environments.iter().map(|e| Change::InsertBackendWorkspace {
        id: e.backend_workspace_id,
        workspace_id: made.workspace,
        environment_id: e.id,
        backend: "local".to_owned(),
        locator: "here".to_owned(),
    });
    std::iter::once(environments).chain(backends).collect()
}

/// A change of the set, as `PATCH status` makes it.
pub(crate) async fn freeze(world: &World, workspace: Uuid, source: &str, for_seconds: Option<u64>) {
    let mut tx = world.test.db.write().await.unwrap();
    let now = tx.now().await.unwrap();
    let expires = for_seconds.map(|s| now + Duration::from_secs(s));
    let insert = tx.query(&FREEZE).bind(bucket(workspace)).bind(workspace).bind(source).bind(Uuid::nil()).bind(now).bind(expires);
    insert.execute().await.unwrap();
    tx.query(&RAISE).bind(bucket(workspace)).bind(workspace).execute().await.unwrap();
    tx.commit().await.unwrap();
}

async fn logins(world: &World, workspace: Uuid) -> Vec<(bool, i64)> {
    let mut tx = world.test.db.read().await.unwrap();
    let rows = tx.query(&LOGINS).bind(workspace).fetch_all().await.unwrap();
    rows.iter().map(|r| (r.get("login_open").unwrap(), r.get("login_revision").unwrap())).collect()
}

fn applied(made: &Made, revision: i64, open: bool) -> Change {
    let backend_workspaces = made.input.environments.iter().map(|e| e.backend_workspace_id).collect();
    Change::FreezesApplied { workspace_id: made.workspace, revision, open, backend_workspaces }
}

#[rstest]
#[tokio::test]
async fn the_set_is_that_of_the_moment_and_names_all_that_the_workspaces_run_may_have_made(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let made = workspace(&world, account, "a").await;
    let other = workspace(&world, account, "b").await;
    let current = || async { world.store.current(made.workspace).await.unwrap().unwrap() };
    let set = current().await;
    assert_eq!((set.revision, set.open), (0, true));
    assert_eq!(set.backends, made.input.backends(made.run), "before there is a row of any of them");
    freeze(&world, made.workspace, "billing", Some(60)).await;
    freeze(&world, made.workspace, "security", Some(120)).await;
    assert_eq!((current().await.revision, current().await.open), (2, false));
    world.test.db.advance(Duration::from_secs(61));
    assert!(!current().await.open, "one is still in force");
    world.test.db.advance(Duration::from_mins(1));
    assert_eq!((current().await.revision, current().await.open), (2, true), "by database time, before anybody has raised the revision");
    assert!(world.store.current(other.workspace).await.unwrap().unwrap().open);
    assert_eq!(world.store.current(within(account, Uuid::now_v7())).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn a_set_that_was_carried_out_is_kept_with_the_rows_that_are_there(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let made = workspace(&world, account, "a").await;
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    let mut some = kept(&claimed, vec![step_started(1, "a", 1)]);
    some.changes = rows(&made)[..2].to_vec();
    world.committed(some).await;
    assert_eq!(logins(&world, made.workspace).await, [(true, 0)]);
    freeze(&world, made.workspace, "billing", None).await;
    let before = world.store.get(made.workspace).await.unwrap().unwrap();
    let mut carried = kept(&claimed, vec![step_started(2, "b", 1)]);
    carried.changes = vec![applied(&made, 1, false)];
    world.committed(carried).await;
    assert_eq!(logins(&world, made.workspace).await, [(false, 1)]);
    let after = world.store.get(made.workspace).await.unwrap().unwrap();
    assert_eq!((after.freeze_applied, after.freeze_revision), (1, 1));
    assert_eq!(after.revision, before.revision, "nothing that a person changes has changed");
}

#[rstest]
#[tokio::test]
async fn what_was_done_for_a_set_that_has_moved_on_is_stale_and_its_batch_goes_on_without_it(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let mut all = Vec::new();
    for slug in ["a", "b", "c", "d"] {
        all.push(workspace(&world, account, slug).await);
        freeze(&world, all.last().unwrap().workspace, "billing", None).await;
    }
    freeze(&world, all[2].workspace, "security", None).await;
    let worker = world.worker().await;
    let claimed = world.claim(worker).await;
    let batch = all.iter().map(|made| {
        let run = claimed.iter().find(|r| r.facts.run == made.run).unwrap();
        let mut commit = kept(run, vec![record(1, Event::RunStarted)]);
        commit.changes = vec![applied(made, 1, false)];
        commit
    });
    let answers = world.store.commit(batch.collect()).await;
    for (n, (made, answer)) in all.iter().zip(answers).enumerate() {
        let row = world.store.get(made.workspace).await.unwrap().unwrap();
        let journal = domain::ports::ProvisioningRuns::get(&world.store, made.run).await.unwrap().unwrap().journal;
        if n == 2 {
            assert!(matches!(answer, CommitAnswer::Stale(_)), "{answer:?}");
            assert_eq!((row.freeze_applied, journal.len()), (0, 0), "nothing of it was changed");
        } else {
            assert!(matches!(answer, CommitAnswer::Committed { .. }), "{answer:?}");
            assert_eq!((row.freeze_applied, journal.len()), (1, 1));
        }
    }
}

#[rstest]
#[tokio::test]
async fn the_end_of_a_run_beside_the_workspaces_own_leaves_its_status(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let made = workspace(&world, account, "a").await;
    let other = workspace(&world, account, "b").await;
    let worker = world.worker().await;
    let claimed = world.claim(worker).await;
    // As if the other's run were one of `apply-freezes` of this workspace.
    let beside = claimed.iter().find(|r| r.facts.run == other.run).unwrap();
    world.committed(ended(beside, Subject::Workspace(made.workspace), Ending::Abandoned)).await;
    assert_eq!(world.store.get(made.workspace).await.unwrap().unwrap().status, WorkspaceStatus::Provisioning);
}
