//! Idempotency keys: one mutation per key, whoever comes when.

use std::time::Duration;

use domain::ports::{Accounts, AuditLog, CreateWorkspace, Page, ProvisioningRuns, WorkspaceFilter, Workspaces, Written};
use rstest::rstest;
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, idempotency, new_account, new_workspace, user};

static FORGET_ALL_KEYS: Statement = Statement::shared("forget all keys", "delete from idempotency");
const PAGE: Page = Page { after: None, limit: 1000 };

async fn workspaces(world: &World, account: Uuid) -> usize {
    world.store.list_by_account(account, None, &WorkspaceFilter::default(), PAGE).await.unwrap().len()
}

#[rstest]
#[tokio::test]
async fn the_same_request_is_replayed_and_another_with_its_key_refused(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let caller = user();
    let with_key = |slug: &str, key: &str, fingerprint: &[u8]| {
        let mut new = new_workspace(account, slug);
        new.idempotency = Some(idempotency(account, caller, key, fingerprint));
        new
    };
    let first = with_key("a", "k1", b"f1");
    let idempotency = first.idempotency.clone().unwrap();
    let created = Workspaces::create(&world.store, first).await.unwrap();
    assert_eq!(created, Written::Done(CreateWorkspace::Created { slug: "a".to_owned() }));

    let again = Workspaces::create(&world.store, with_key("a", "k1", b"f1")).await.unwrap();
    assert_eq!(again, Written::Replayed(idempotency.answer.clone()));
    assert_eq!(world.store.recall(&idempotency.key).await.unwrap(), Written::Replayed(idempotency.answer));
    assert_eq!(Workspaces::create(&world.store, with_key("b", "k1", b"f2")).await.unwrap(), Written::KeyReused);
    assert_eq!(workspaces(&world, account).await, 1);

    // The key is the principal's own.
    let mut other = with_key("c", "k1", b"f1");
    other.idempotency.as_mut().unwrap().key.principal = user();
    let never = other.idempotency.as_ref().unwrap().key.clone();
    assert_eq!(world.store.recall(&never).await.unwrap(), Written::Done(()));
    assert!(matches!(Workspaces::create(&world.store, other).await.unwrap(), Written::Done(CreateWorkspace::Created { .. })));
    assert_eq!(workspaces(&world, account).await, 2);
}

#[rstest]
#[tokio::test]
async fn a_conflict_leaves_nothing_not_even_its_key(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    world.workspace(account, "a").await;
    let before = world.store.of_account(account, 0, 100).await.unwrap();
    let mut new = new_workspace(account, "a");
    new.idempotency = Some(idempotency(account, user(), "k", b"f"));
    let key = new.idempotency.as_ref().unwrap().key.clone();
    let id = new.id;
    let taken = Workspaces::create(&world.store, new.clone()).await.unwrap();
    assert_eq!(taken, Written::Done(CreateWorkspace::SlugTaken { slug: "a".to_owned() }));
    assert_eq!(world.store.recall(&key).await.unwrap(), Written::Done(()));
    assert_eq!(Workspaces::get(&world.store, id).await.unwrap(), None);
    assert_eq!(world.store.of_account(account, 0, 100).await.unwrap(), before);
    // The same key may now be used for what can be done.
    new.slug = domain::ports::Slug::Given("b".to_owned());
    new.folded_name = "b".to_owned();
    assert!(matches!(Workspaces::create(&world.store, new).await.unwrap(), Written::Done(CreateWorkspace::Created { .. })));
}

#[rstest]
#[tokio::test]
async fn a_key_is_forgotten_after_a_day_of_the_databases_time(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let caller = user();
    let with_key = |fingerprint: &[u8]| {
        let mut new = new_account(1);
        new.idempotency = Some(idempotency(Uuid::nil(), caller, "k", fingerprint));
        new
    };
    assert_eq!(Accounts::create(&world.store, with_key(b"f1")).await.unwrap(), Written::Done(()));
    world.test.db.advance(Duration::from_hours(24) - Duration::from_mins(1));
    assert_eq!(Accounts::create(&world.store, with_key(b"f2")).await.unwrap(), Written::KeyReused);
    world.test.db.advance(Duration::from_mins(1));
    assert_eq!(Accounts::create(&world.store, with_key(b"f2")).await.unwrap(), Written::Done(()));
    assert!(matches!(Accounts::create(&world.store, with_key(b"f2")).await.unwrap(), Written::Replayed(_)));
    assert_eq!(Accounts::create(&world.store, with_key(b"f1")).await.unwrap(), Written::KeyReused);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_equal_requests_at_once_make_one_workspace(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(1000).await;
    let caller = user();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let store = world.store.clone();
            let mut new = new_workspace(account, "data");
            new.idempotency = Some(idempotency(account, caller, "k", b"f"));
            tokio::spawn(async move { Workspaces::create(&store, new).await.unwrap() })
        })
        .collect();
    let (mut done, mut replayed) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Written::Done(CreateWorkspace::Created { .. }) => done += 1,
            Written::Replayed(_) => replayed += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((done, replayed), (1, 99));
    assert_eq!(workspaces(&world, account).await, 1);
}

/// Only PostgreSQL lets two transactions meet at one key; on SQLite the second has not begun yet.
#[tokio::test]
async fn a_key_that_is_at_work_for_too_long_is_busy() {
    let world = World::with_lock_wait(Postgres, Duration::from_millis(200)).await;
    let account = world.account(9).await;
    let mut new = new_workspace(account, "a");
    new.idempotency = Some(idempotency(account, user(), "k", b"f"));
    assert!(matches!(Workspaces::create(&world.store, new.clone()).await.unwrap(), Written::Done(CreateWorkspace::Created { .. })));
    // Whether the key is free is open until this transaction ends, as it is while a first request is at work.
    let mut holder = world.test.db.write().await.unwrap();
    holder.query(&FORGET_ALL_KEYS).execute().await.unwrap();
    assert_eq!(Workspaces::create(&world.store, new.clone()).await.unwrap(), Written::KeyBusy);
    holder.rollback().await.unwrap();
    assert!(matches!(Workspaces::create(&world.store, new).await.unwrap(), Written::Replayed(_)));
}

#[rstest]
#[tokio::test]
async fn account_keys_do_not_meet_platform_keys(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let caller = user();
    let mut new = new_workspace(account, "a");
    new.idempotency = Some(idempotency(account, caller, "k", b"f"));
    Workspaces::create(&world.store, new).await.unwrap();
    assert_eq!(world.store.recall(&idempotency(Uuid::nil(), caller, "k", b"f").key).await.unwrap(), Written::Done(()));
}
