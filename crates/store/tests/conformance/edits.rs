//! Edits of workspaces under their lock, and what a name stands for.

use domain::labels::LabelsPatch;
use domain::model::{Workspace, WorkspaceStatus};
use domain::names::Name;
use domain::ports::{AuditLog, EditAnswer, EditWorkspace, Edits, IfMatch, Named, Workspaces, Written};
use domain::workspaces::edit::Edit;
use rstest::rstest;
use saga::journal::Ending;
use serde_json::json;
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::races::seen_to_wait;
use crate::world::{World, draft, new_workspace};

static RAISE: Statement = Statement::shared("raise", "update workspaces set revision = revision + 1");
static FREEZE: Statement = Statement::shared("freeze", "update workspaces set freeze_revision = 1, revision = revision + 1");
static SHUT: Statement = Statement::shared(
    "shut",
    "insert into workspace_freezes (bucket, workspace_id, source, mode, reason_code, note, created_by_kind, created_by_id, created_at, expires_at)
     select bucket, id, 'billing', 'read_only', 'unpaid', null, created_by_kind, created_by_id, created_at, null from workspaces",
);

pub fn edit_of(workspace: Uuid, account: Uuid, name: Option<&str>, labels: &[(&str, Option<&str>)]) -> EditWorkspace {
    let labels: LabelsPatch = labels.iter().map(|(k, v)| ((*k).to_owned(), v.map(str::to_owned))).collect();
    EditWorkspace {
        workspace_id: workspace,
        edit: Edit {
            name: name.map(|name| Name::parse("/name", name).unwrap()),
            labels: (!labels.is_empty()).then_some(labels),
            termination_protection: None,
        },
        if_match: None,
        audit: draft(account, Some(workspace), "workspace.update"),
    }
}

async fn done(world: &World, new: EditWorkspace) -> Workspace {
    match world.store.edit(new).await.unwrap() {
        EditAnswer::Done(workspace) => *workspace,
        other => panic!("{other:?}"),
    }
}

async fn named(world: &World, account: Uuid, name: &str) -> (Option<Uuid>, Vec<Uuid>) {
    let Named { alias, live } = world.store.by_name(account, name).await.unwrap();
    (alias.map(|w| w.id), live.into_iter().map(|w| w.id).collect())
}

async fn revision(world: &World, workspace: Uuid) -> i64 {
    Workspaces::get(&world.store, workspace).await.unwrap().unwrap().revision
}

async fn entries(world: &World, workspace: Uuid) -> usize {
    world.store.of_workspace(workspace, None, 100).await.unwrap().iter().filter(|e| e.action == "workspace.update").count()
}

#[rstest]
#[tokio::test]
async fn an_edit_changes_the_row_and_tells_the_audit_log_what(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (id, _) = world.workspace(account, "data").await;
    let edited = done(&world, edit_of(id, account, Some("Data  Two"), &[("a", Some("1")), ("b", Some("2"))])).await;
    assert_eq!(Workspaces::get(&world.store, id).await.unwrap().unwrap(), edited, "what is answered is what is stored");
    assert_eq!((edited.name.as_str(), edited.slug.as_str(), edited.revision), ("Data  Two", "data", 2));
    let edited = done(&world, edit_of(id, account, None, &[("a", None)])).await;
    assert_eq!((json!(edited.labels), edited.revision), (json!({"b": "2"}), 3));
    let entry = world.store.of_workspace(id, None, 1).await.unwrap().remove(0);
    assert_eq!((entry.before, entry.after), (Some(json!({"labels": {"a": "1", "b": "2"}})), Some(json!({"labels": {"b": "2"}}))));

    let same = done(&world, edit_of(id, account, Some("Data  Two"), &[("b", Some("2")), ("x", None)])).await;
    assert_eq!((same.revision, entries(&world, id).await), (3, 2), "what changes nothing leaves nothing");
    let mut stale = edit_of(id, account, Some("x"), &[]);
    stale.if_match = Some(IfMatch::Revisions(vec![2, 4]));
    assert_eq!(world.store.edit(stale.clone()).await.unwrap(), EditAnswer::OtherRevision { revision: 3 });
    stale.if_match = Some(IfMatch::Any);
    assert_eq!(done(&world, stale).await.revision, 4);
    let nobody = edit_of(domain::ids::within(account, Uuid::now_v7()), account, Some("x"), &[]);
    assert_eq!(world.store.edit(nobody).await.unwrap(), EditAnswer::Gone);
}

#[rstest]
#[tokio::test]
async fn a_name_stays_whose_it_was_until_it_fails(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (first, _) = world.workspace(account, "data").await;
    assert_eq!(named(&world, account, "data").await, (Some(first), vec![first]));
    done(&world, edit_of(first, account, Some("other"), &[])).await;
    assert_eq!(named(&world, account, "data").await, (Some(first), vec![]));
    assert_eq!(named(&world, account, "other").await, (Some(first), vec![first]));
    world.end(first, Ending::Failed).await;
    assert_eq!(named(&world, account, "data").await, (None, vec![]), "all its names are free");
    assert_eq!(named(&world, account, "other").await, (None, vec![]));
    // A failed one may be renamed, and takes no name by that.
    done(&world, edit_of(first, account, Some("third"), &[])).await;
    assert_eq!(named(&world, account, "third").await, (None, vec![]));

    let mut second = new_workspace(account, "data");
    second.folded_name = "data".to_owned();
    let second_id = second.id;
    Workspaces::create(&world.store, second).await.unwrap();
    assert_eq!(named(&world, account, "data").await, (Some(second_id), vec![second_id]));
    let elsewhere = world.account(1).await;
    assert_eq!(named(&world, elsewhere, "data").await, (None, vec![]), "another account's names are its own");
    assert_eq!(Workspaces::get(&world.store, first).await.unwrap().unwrap().status, WorkspaceStatus::Failed);
}

/// Catches an edit that looks at the revision before it has the lock.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_is_looked_at_after_the_wait_for_a_concurrent_change(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (id, _) = world.workspace(account, "data").await;
    let mut new = edit_of(id, account, Some("late"), &[]);
    new.if_match = Some(IfMatch::Revisions(vec![revision(&world, id).await]));
    let mut holder = world.test.db.write().await.unwrap();
    holder.query(&RAISE).execute().await.unwrap();
    let store = world.store.clone();
    let task = tokio::spawn(async move { store.edit(new).await.unwrap() });
    seen_to_wait(&world, &task).await;
    holder.commit().await.unwrap();
    assert_eq!(task.await.unwrap(), EditAnswer::OtherRevision { revision: 2 });
    assert_eq!(entries(&world, id).await, 0);
}

/// Catches an edit that passes the gate before it has the lock.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn no_edit_commits_after_a_freeze(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (id, _) = world.workspace(account, "data").await;
    let mut holder = world.test.db.write().await.unwrap();
    holder.query(&FREEZE).execute().await.unwrap();
    holder.query(&SHUT).execute().await.unwrap();
    let (store, new) = (world.store.clone(), edit_of(id, account, Some("late"), &[]));
    let task = tokio::spawn(async move { store.edit(new).await.unwrap() });
    seen_to_wait(&world, &task).await;
    holder.commit().await.unwrap();
    assert!(matches!(task.await.unwrap(), EditAnswer::Frozen(freezes) if freezes.len() == 1));
    assert_eq!(Workspaces::get(&world.store, id).await.unwrap().unwrap().name, "DATA");
}

/// Whoever commits first has the name: both take it under the head row's lock.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_and_a_create_with_one_name_give_it_to_one(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(99).await;
    for round in 0..8 {
        let (first, _) = world.workspace(account, &format!("old-{round}")).await;
        let name = format!("name-{round}");
        let mut second = new_workspace(account, &format!("new-{round}"));
        second.folded_name.clone_from(&name);
        let second_id = second.id;
        let (one, other) = (world.store.clone(), world.store.clone());
        let rename = edit_of(first, account, Some(&name), &[]);
        let renamed = tokio::spawn(async move { one.edit(rename).await.unwrap() });
        let created = tokio::spawn(async move { Workspaces::create(&other, second).await.unwrap() });
        assert!(matches!(renamed.await.unwrap(), EditAnswer::Done(_)));
        assert!(matches!(created.await.unwrap(), Written::Done(domain::ports::CreateWorkspace::Created { .. })));
        let (holder, mut live) = named(&world, account, &name).await;
        let mut both = vec![first, second_id];
        both.sort_unstable();
        live.sort_unstable();
        assert_eq!(live, both);
        assert!(holder.is_some_and(|id| both.contains(&id)));
    }
    let chain = world.store.of_account(account, 0, 1000).await.unwrap();
    domain::audit::verify(&chain).unwrap();
}
