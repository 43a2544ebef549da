//! Workspaces: creation and its conflicts, what a run's changes make of them, and reads.

use std::time::Duration;

use domain::change::{Change, NewEnvironment, Subject};
use domain::ids::within;
use domain::model::{EnvironmentName, EnvironmentStatus, Scope, WorkspaceStatus};
use domain::ports::{Accounts, AuditLog, CreateWorkspace, LabelFilter, Page, ProvisioningRuns, Slug, WorkspaceFilter, Workspaces, Written};
use rstest::rstest;
use saga::journal::Ending;
use saga::ports::State;
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, ended, kept, new_account, new_workspace, step_started, user};

static ALIASES: Statement = Statement::shared("aliases", "select workspace_id from workspace_aliases");

#[rstest]
#[tokio::test]
async fn a_create_leaves_row_membership_run_and_audit_entry(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let new = new_workspace(account, "data");
    let wanted = new.clone();
    assert_eq!(Workspaces::create(&world.store, new).await.unwrap(), Written::Done(CreateWorkspace::Created { slug: "data".to_owned() }));

    let workspace = Workspaces::get(&world.store, wanted.id).await.unwrap().unwrap();
    assert_eq!(workspace.status, WorkspaceStatus::Provisioning);
    assert_eq!((workspace.name.as_str(), workspace.slug.as_str(), workspace.revision), ("DATA", "data", 1));
    assert_eq!((workspace.created_by, workspace.run_id), (wanted.created_by, wanted.run.id));
    let memberships = world.store.memberships(Scope::Workspace, wanted.id).await.unwrap();
    assert_eq!(memberships.iter().map(|m| (m.principal, m.role)).collect::<Vec<_>>(), [(wanted.created_by, wanted.role)]);
    let detail = ProvisioningRuns::get(&world.store, wanted.run.id).await.unwrap().unwrap();
    assert_eq!((detail.run.state, detail.run.version, detail.run.total), (State::Pending, 1, 3));
    assert_eq!(detail.run.input, wanted.run.input);
    let entries = world.store.of_workspace(wanted.id, None, 10).await.unwrap();
    assert_eq!(entries.iter().map(|e| e.action.as_str()).collect::<Vec<_>>(), ["workspace.create"]);
}

#[rstest]
#[tokio::test]
async fn an_account_that_is_not_active_gets_no_workspace(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let nowhere = Workspaces::create(&world.store, new_workspace(Uuid::new_v4(), "a")).await.unwrap();
    assert_eq!(nowhere, Written::Done(CreateWorkspace::AccountNotActive { status: None }));
    let new = new_account(3);
    let id = new.id;
    Accounts::create(&world.store, new).await.unwrap();
    let early = Workspaces::create(&world.store, new_workspace(id, "a")).await.unwrap();
    let status = Some(domain::model::AccountStatus::Provisioning);
    assert_eq!(early, Written::Done(CreateWorkspace::AccountNotActive { status }));
}

#[rstest]
#[tokio::test]
async fn a_given_slug_that_is_taken_is_a_conflict_and_a_generated_one_gets_a_suffix(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(10).await;
    world.workspace(account, "data").await;
    let mut given = new_workspace(account, "data");
    given.folded_name = "other".to_owned();
    assert_eq!(
        Workspaces::create(&world.store, given).await.unwrap(),
        Written::Done(CreateWorkspace::SlugTaken { slug: "data".to_owned() })
    );
    for expected in ["data-2", "data-3"] {
        let mut generated = new_workspace(account, "data");
        generated.slug = Slug::Generated("data".to_owned());
        let answer = Workspaces::create(&world.store, generated).await.unwrap();
        assert_eq!(answer, Written::Done(CreateWorkspace::Created { slug: expected.to_owned() }));
    }
    let room = world.store.room(account, &Slug::Generated("data".to_owned())).await.unwrap().unwrap();
    assert_eq!((room.live, room.max, room.slug.as_deref()), (3, 10, Some("data-4")));
    assert_eq!(world.store.room(account, &Slug::Given("data".to_owned())).await.unwrap().unwrap().slug, None);
    // Another account's slugs are its own.
    let other = world.account(1).await;
    world.workspace(other, "data").await;
}

#[rstest]
#[tokio::test]
async fn a_run_that_succeeds_makes_environments_backends_and_an_active_workspace(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (workspace, _) = world.workspace(account, "data").await;
    let worker = world.worker().await;
    let mut run = world.claim_one(worker).await;
    let environment = within(account, Uuid::now_v7());
    let backend_workspace = within(account, Uuid::now_v7());
    let mut commit = kept(&run, vec![step_started(1, "create-environments", 1)]);
    let environments = vec![NewEnvironment { id: environment, name: EnvironmentName::Prod, is_default: true }];
    commit.changes = vec![
        Change::InsertEnvironments { workspace_id: workspace, environments },
        Change::InsertBackendWorkspace {
            id: backend_workspace,
            workspace_id: workspace,
            environment_id: environment,
            backend: "local".to_owned(),
            locator: "ws_1".to_owned(),
        },
        Change::KeepPermissionsToken { subject: Subject::Workspace(workspace), token: "7".to_owned() },
    ];
    world.committed(commit).await;
    let environments = world.store.environments(workspace).await.unwrap();
    assert_eq!(
        environments.iter().map(|e| (e.id, e.is_default, e.status)).collect::<Vec<_>>(),
        [(environment, true, EnvironmentStatus::Provisioning)]
    );
    assert_eq!(world.store.backend_workspaces(workspace).await.unwrap()[0].locator, "ws_1");

    run.journal.push(step_started(1, "create-environments", 1));
    let mut end = ended(&run, Subject::Workspace(workspace), Ending::Succeeded);
    end.changes.insert(0, Change::ActivateWorkspace { workspace_id: workspace });
    world.committed(end).await;
    let row = Workspaces::get(&world.store, workspace).await.unwrap().unwrap();
    assert_eq!((row.status, row.permissions_token.as_deref()), (WorkspaceStatus::Active, Some("7")));
    assert_eq!(row.revision, 3, "the token and the activation each raised it");
    assert_eq!(world.store.environments(workspace).await.unwrap()[0].status, EnvironmentStatus::Active);
}

#[rstest]
#[tokio::test]
async fn lists_are_filtered_and_in_key_order(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let me = user();
    let mut mine = Vec::new();
    for (n, slug) in ["alpha", "beta", "gamma", "stra\u{DF}e"].into_iter().enumerate() {
        let mut new = new_workspace(account, &format!("w{n}"));
        new.folded_name = slug.to_owned();
        new.region = if n == 0 { "eu".to_owned() } else { "us".to_owned() };
        if n < 3 {
            new.created_by = me;
            mine.push(new.id);
        }
        Workspaces::create(&world.store, new).await.unwrap();
        world.test.db.advance(Duration::from_secs(10));
    }
    mine.sort();
    let page = Page { after: None, limit: 100 };
    let ids = |rows: Vec<domain::model::Workspace>| rows.into_iter().map(|w| w.id).collect::<Vec<_>>();
    let any = WorkspaceFilter::default();
    assert_eq!(ids(world.store.list_by_member(&[me], &any, page).await.unwrap()), mine);
    assert_eq!(ids(world.store.list_by_member(&[me], &any, Page { after: Some(mine[0]), limit: 1 }).await.unwrap()), mine[1..2]);
    assert_eq!(ids(world.store.list_by_account(account, Some(me), &any, page).await.unwrap()), mine);
    let all = world.store.list_by_account(account, None, &any, page).await.unwrap();
    assert_eq!(all.len(), 4);
    let count = |filter: WorkspaceFilter| {
        let store = world.store.clone();
        async move { store.list_by_account(account, None, &filter, page).await.unwrap().len() }
    };
    assert_eq!(count(WorkspaceFilter { region: Some("us".to_owned()), ..any.clone() }).await, 3);
    assert_eq!(count(WorkspaceFilter { status: Some(WorkspaceStatus::Active), ..any.clone() }).await, 0);
    assert_eq!(count(WorkspaceFilter { name_contains: Some("ALPH".to_owned()), ..any.clone() }).await, 1);
    assert_eq!(count(WorkspaceFilter { name_contains: Some("TRA\u{DF}".to_owned()), ..any.clone() }).await, 1);
    assert_eq!(count(WorkspaceFilter { name_contains: Some("%".to_owned()), ..any.clone() }).await, 0, "no wildcards");
    let mut times: Vec<_> = all.iter().map(|w| w.created_at).collect();
    times.sort();
    assert_eq!(count(WorkspaceFilter { created_after: Some(times[0]), created_before: Some(times[3]), ..any.clone() }).await, 2);
    let other = world.account(1).await;
    assert_eq!(world.store.list_by_account(other, None, &any, page).await.unwrap(), []);
}

#[rstest]
#[tokio::test]
async fn lists_choose_by_labels_that_all_have_to_be_there(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let me = user();
    for (slug, labels) in [
        ("a", &[("env", "prod"), ("team/x.y", "'\"%_")][..]),
        ("b", &[("env", "dev"), ("empty", "")]),
        ("c", &[("7", "env"), ("env", "")]),
        ("d", &[]),
    ] {
        let mut new = new_workspace(account, slug);
        new.created_by = me;
        new.labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Workspaces::create(&world.store, new).await.unwrap();
    }
    let page = Page { after: None, limit: 100 };
    for (wanted, expected) in [
        (&[][..], &["a", "b", "c", "d"][..]),
        (&[("env", None)], &["a", "b", "c"]),
        (&[("env", Some("prod"))], &["a"]),
        (&[("env", Some(""))], &["c"]),
        (&[("empty", None)], &["b"]),
        (&[("7", Some("env"))], &["c"]),
        (&[("team/x.y", Some("'\"%_"))], &["a"]),
        (&[("env", None), ("team/x.y", None)], &["a"]),
        (&[("env", Some("prod")), ("env", Some("dev"))], &[]),
        (&[("prod", None)], &[]),
    ] {
        let labels = wanted.iter().map(|(key, value)| LabelFilter { key: (*key).to_owned(), value: value.map(str::to_owned) }).collect();
        let filter = WorkspaceFilter { labels, ..WorkspaceFilter::default() };
        let slugs = |rows: Vec<domain::model::Workspace>| rows.into_iter().map(|w| w.slug).collect::<Vec<_>>();
        assert_eq!(slugs(world.store.list_by_member(&[me], &filter, page).await.unwrap()), expected, "{wanted:?}");
        assert_eq!(slugs(world.store.list_by_account(account, None, &filter, page).await.unwrap()), expected, "{wanted:?}");
        assert_eq!(slugs(world.store.list_by_account(account, Some(me), &filter, page).await.unwrap()), expected, "{wanted:?}");
    }
}

#[rstest]
#[tokio::test]
async fn a_names_alias_goes_to_the_first_and_comes_back_when_it_fails(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (first, _) = world.workspace(account, "data").await;
    let mut second = new_workspace(account, "data-2");
    second.folded_name = "data".to_owned();
    Workspaces::create(&world.store, second).await.unwrap();
    let aliases = || async {
        let mut tx = world.test.db.read().await.unwrap();
        let rows = tx.query(&ALIASES).fetch_all().await.unwrap();
        rows.iter().map(|row| row.get::<Uuid>("workspace_id").unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(aliases().await, [first]);
    let failing = Workspaces::get(&world.store, first).await.unwrap().unwrap().run_id;
    let worker = world.worker().await;
    let run = world.claim(worker).await.into_iter().find(|r| r.facts.run == failing).unwrap();
    world.committed(ended(&run, Subject::Workspace(first), Ending::Failed)).await;
    assert_eq!(aliases().await, [] as [Uuid; 0]);
}
