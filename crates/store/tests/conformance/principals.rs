//! Principals, their roles, and the database's time.

use std::time::Duration;

use domain::PrincipalKind::{ServiceAccount, User};
use domain::model::Scope;
use domain::ports::{Health, Principals};
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, user};

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
async fn principals_are_found_by_their_ids(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let ada = world.store.ensure(User, "ada", None, Uuid::now_v7()).await.unwrap();
    let robot = world.store.ensure(ServiceAccount, "robot", None, Uuid::now_v7()).await.unwrap();
    let mut found = world.store.by_ids(&[robot.principal.id, Uuid::now_v7(), ada.principal.id]).await.unwrap();
    found.sort_by_key(|known| known.name.clone());
    assert_eq!(found, [ada, robot]);
    assert_eq!(world.store.by_ids(&[]).await.unwrap(), []);
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
