//! Races about roles, scripted as in [`crate::races`].

use domain::Principal;
use domain::model::{Role, ScopeRef};
use domain::ports::{ChangeAnswer, Members, Page, RoleChange, Written};
use rstest::rstest;
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use tokio::task::JoinHandle;

use crate::members::account_ref;
use crate::races::seen_to_wait;
use crate::world::{World, role_change, user};

static LOCK_ACCOUNT: Statement =
    Statement::split("lock account", "select id from accounts where id = $1 for no key update", "select id from accounts where id = $1");
static LOCK_WORKSPACE: Statement = Statement::split(
    "lock workspace",
    "select id from workspaces where id = $1 for no key update",
    "select id from workspaces where id = $1",
);
static DEMOTE: Statement = Statement::shared("demote", "update memberships set role = 'admin' where scope_id = $1 and principal_id = $2");
static FREEZE: Statement = Statement::shared("freeze", "update workspaces set freeze_revision = freeze_revision + 1 where id = $1");
static INSERT_FREEZE: Statement = Statement::shared(
    "insert freeze",
    "insert into workspace_freezes (bucket, workspace_id, source, mode, reason_code, note, created_by_kind, created_by_id, created_at, expires_at)
     select bucket, id, 'billing', 'read_only', 'unpaid', null, created_by_kind, created_by_id, created_at, null from workspaces where id = $1",
);

fn change(world: &World, on: ScopeRef, who: Principal, change: RoleChange) -> JoinHandle<ChangeAnswer> {
    let store = world.store.clone();
    tokio::spawn(async move {
        match Members::change(&store, role_change(on, who, change)).await.unwrap() {
            Written::Done(answer) => answer,
            other => panic!("{other:?}"),
        }
    })
}

/// Two owners, each taking the other's role away.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_last_owner_is_told_after_the_wait_for_the_scopes_row(
    #[values(Sqlite, Postgres)] backend: Backend,
    #[values(true, false)] of_account: bool,
) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let on = if of_account { account_ref(account) } else { world.active_workspace(account, "data").await };
    let creator = Members::list(&world.store, on, Page { after: None, limit: 1 }).await.unwrap()[0].principal;
    let ada = user();
    world.role_changed(on, ada, RoleChange::Add(Role::Owner)).await;

    let mut holder = world.test.db.write().await.unwrap();
    holder.query(if of_account { &LOCK_ACCOUNT } else { &LOCK_WORKSPACE }).bind(on.id).fetch_all().await.unwrap();
    holder.query(&DEMOTE).bind(on.id).bind(creator.id).execute().await.unwrap();
    let task = change(&world, on, ada, RoleChange::Remove);
    seen_to_wait(&world, &task).await;
    holder.commit().await.unwrap();
    assert_eq!(task.await.unwrap(), ChangeAnswer::LastOwner);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_given_wholly_before_or_wholly_after_a_freeze(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let on = world.active_workspace(world.account(3).await, "data").await;
    let (ada, bob) = (user(), user());
    world.role_changed(on, ada, RoleChange::Add(Role::Member)).await;
    let mut holder = world.test.db.write().await.unwrap();
    holder.query(&FREEZE).bind(on.id).execute().await.unwrap();
    holder.query(&INSERT_FREEZE).bind(on.id).execute().await.unwrap();
    let given = change(&world, on, bob, RoleChange::Add(Role::Member));
    seen_to_wait(&world, &given).await;
    holder.commit().await.unwrap();
    assert!(matches!(given.await.unwrap(), ChangeAnswer::Frozen(_)));
    assert!(matches!(change(&world, on, ada, RoleChange::Remove).await.unwrap(), ChangeAnswer::Made(_)));
}

/// Who takes from the outbox does not wait for who is taking, and takes nothing twice.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn many_who_take_at_once_take_each_change_once(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let on = account_ref(world.account(3).await);
    let mut wanted = Vec::new();
    for _ in 0..12 {
        wanted.extend(world.role_changed(on, user(), RoleChange::Add(Role::Member)).await.iter().map(|change| change.id));
    }
    world.test.db.advance(std::time::Duration::from_secs(3));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = world.store.clone();
            tokio::spawn(async move { store.take_due(5, std::time::Duration::from_mins(5)).await.unwrap().changes })
        })
        .collect();
    let mut taken = Vec::new();
    for task in tasks {
        taken.extend(task.await.unwrap().iter().map(|change| change.id));
    }
    taken.extend(world.store.take_due(100, std::time::Duration::from_mins(5)).await.unwrap().changes.iter().map(|change| change.id));
    taken.sort();
    wanted.sort();
    assert_eq!(taken, wanted);
}
