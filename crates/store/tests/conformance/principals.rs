//! Principals, their roles, and the database's time.

use std::time::Duration;

use domain::PrincipalKind::{ServiceAccount, User};
use domain::model::{Membership, Role, Scope};
use domain::ports::{AuditLog, Health, Page, Principals, WorkspaceFilter, Workspaces};
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, draft, user};

#[rstest]
#[tokio::test]
async fn a_name_gets_one_id_per_kind_whoever_asks(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    let made = world.store.ensure(User, "ada", None, first).await.unwrap();
    assert_eq!((made.principal.id, made.principal.kind, made.name.as_str()), (first, User, "ada"));
    assert_eq!(world.store.ensure(User, "ada", None, second).await.unwrap(), made);
    let machine = world.store.ensure(ServiceAccount, "ada", Some(first), second).await.unwrap();
    assert_eq!((machine.principal.id, machine.account_id), (second, Some(first)));
    assert_eq!(world.store.find(User, "ada").await.unwrap(), Some(made.clone()));
    assert_eq!(world.store.find(User, "eve").await.unwrap(), None);
    assert_eq!(Principals::get(&world.store, made.principal).await.unwrap(), Some(made));
    assert_eq!(Principals::get(&world.store, user()).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn a_grant_sets_the_one_role_and_is_audited(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (workspace, _) = world.workspace(account, "data").await;
    let ada = user();
    for role in [Role::Viewer, Role::Admin] {
        let membership = Membership { scope: Scope::Workspace, scope_id: workspace, principal: ada, role };
        world.store.grant(membership, draft(account, Some(workspace), "membership.set")).await.unwrap();
    }
    let roles: Vec<_> =
        world.store.memberships(Scope::Workspace, workspace).await.unwrap().into_iter().filter(|m| m.principal == ada).collect();
    assert_eq!(roles.iter().map(|m| m.role).collect::<Vec<_>>(), [Role::Admin]);
    assert_eq!(world.store.of_workspace(workspace, None, 9).await.unwrap().len(), 3);
    let page = Page { after: None, limit: 10 };
    assert_eq!(world.store.list_by_member(ada, &WorkspaceFilter::default(), page).await.unwrap().len(), 1);
}

#[rstest]
#[tokio::test]
async fn the_account_of_a_scope_is_told(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (workspace, _) = world.workspace(account, "data").await;
    assert_eq!(world.store.account_of(Scope::Account, account).await.unwrap(), Some(account));
    assert_eq!(world.store.account_of(Scope::Workspace, workspace).await.unwrap(), Some(account));
    assert_eq!(world.store.account_of(Scope::Workspace, account).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn time_is_the_databases_and_tests_can_move_it(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let before = world.store.now().await.unwrap();
    world.test.db.advance(Duration::from_hours(5));
    let after = world.store.now().await.unwrap();
    let moved = after.since(before);
    assert!(moved >= Duration::from_hours(5) && moved < Duration::from_hours(6), "{before} to {after}");
}
