//! What the rows mean the permission system to hold.

use std::collections::BTreeSet;

use domain::PrincipalKind;
use domain::model::{Role, Scope};
use domain::permissions::{Object, Relationship, Tuples as _, Update};
use domain::ports::{Home, Intended, Intent, Intents, Members, Principals as _, RoleChange, ServiceAccounts as _};
use rstest::rstest;
use saga::journal::Ending;
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, user};

static SET: Statement = Statement::shared("set status", "update workspaces set status = $2, status_before = $3 where id = $1");

async fn of(world: &World, scope: Scope, id: Uuid) -> Option<Intent> {
    world.store.of(scope, &[id]).await.unwrap().pop()
}

async fn intended(world: &World, workspace: Uuid) -> Intended {
    of(world, Scope::Workspace, workspace).await.expect("it is known").intended
}

async fn set(world: &World, workspace: Uuid, status: &str, before: Option<&str>) {
    let mut tx = world.test.db.write().await.unwrap();
    assert_eq!(tx.query(&SET).bind(workspace).bind(status).bind(before).execute().await.unwrap(), 1);
    tx.commit().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn what_a_run_is_at_work_on_says_nothing_and_afterwards_its_state_does(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(10).await;
    assert_eq!(of(&world, Scope::Account, account).await.unwrap().intended, Intended::Granted);
    assert_eq!(of(&world, Scope::Account, Uuid::now_v7()).await, None);

    let (made, run) = world.workspace(account, "made").await;
    let in_flight = of(&world, Scope::Workspace, made).await.unwrap();
    assert_eq!((in_flight.intended, in_flight.made_by, in_flight.members.len()), (Intended::InFlight, run.0, 0));
    // Whatever its row says, while its run is alive.
    set(&world, made, "active", None).await;
    assert_eq!(intended(&world, made).await, Intended::InFlight);
    set(&world, made, "provisioning", None).await;
    world.end(made, Ending::Succeeded).await;
    let granted = of(&world, Scope::Workspace, made).await.unwrap();
    assert_eq!((granted.intended, granted.on.account_id), (Intended::Granted, account));
    assert_eq!(granted.members.iter().map(|(_, role)| *role).collect::<Vec<_>>(), [Role::Owner]);

    let (failed, _) = world.workspace(account, "failed").await;
    world.end(failed, Ending::Failed).await;
    assert_eq!(intended(&world, failed).await, Intended::Nothing);
    for (status, before, wanted) in [
        ("deleted", Some("active"), Intended::Granted),
        ("deleted", Some("failed"), Intended::Nothing),
        ("purging", Some("active"), Intended::InFlight),
    ] {
        set(&world, made, status, before).await;
        assert_eq!(intended(&world, made).await, wanted, "{status} {before:?}");
    }
}

#[rstest]
#[tokio::test]
async fn a_members_change_is_unsettled_first_and_its_seal_is_wanted_once_it_is_delivered(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(10).await;
    let on = world.active_workspace(account, "sales").await;
    let bob = user();
    let line = world.role_changed(on, bob, RoleChange::Add(Role::Viewer)).await;
    let told = of(&world, Scope::Workspace, on.id).await.unwrap();
    assert!(told.members.contains(&(bob, Role::Viewer)), "{told:?}");
    assert_eq!((told.unsettled, told.sealed), (vec![bob], Vec::new()));
    Members::delivered(&world.store, &line[0], Some("token".to_owned()), None).await.unwrap();
    let told = of(&world, Scope::Workspace, on.id).await.unwrap();
    assert_eq!((told.unsettled, told.sealed), (vec![bob], vec![line[0].predecessor]), "delivered, and not long ago");
}

#[rstest]
#[tokio::test]
async fn pages_hold_each_account_and_workspace_once(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let (mut accounts, mut workspaces) = (BTreeSet::new(), BTreeSet::new());
    for n in 0..5 {
        let account = world.account(10).await;
        accounts.insert(account);
        workspaces.insert(world.active_workspace(account, &format!("first-{n}")).await.id);
        workspaces.insert(world.active_workspace(account, &format!("second-{n}")).await.id);
    }
    for (scope, all) in [(Scope::Account, accounts), (Scope::Workspace, workspaces)] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = Intents::after(&world.store, scope, after, 2).await.unwrap();
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            after = Some(last.on.id);
            for intent in page {
                assert_eq!(Some(&intent), of(&world, scope, intent.on.id).await.as_ref());
                seen.push(intent.on.id);
            }
        }
        assert_eq!((seen.len(), seen.into_iter().collect::<BTreeSet<_>>()), (all.len(), all));
    }
}

#[rstest]
#[tokio::test]
async fn service_accounts_are_of_the_account_that_their_principal_names(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(10).await;
    let robot = async |name: &str, of: Option<Uuid>| {
        world.store.ensure(PrincipalKind::ServiceAccount, name, of, Uuid::new_v4()).await.unwrap().principal.id
    };
    let (own, lonely, elsewhere) =
        (robot("own", Some(account)).await, robot("lonely", None).await, robot("else", Some(Uuid::new_v4())).await);
    world.store.ensure(PrincipalKind::User, "zoe", Some(account), Uuid::new_v4()).await.unwrap();
    let deploy = crate::service_accounts::program_with_principal(&world, account).await;
    let page = world.store.homes_after(None, 10).await.unwrap();
    let told = |home: &Home| (home.service_account, home.account == Some(account), home.intended);
    let mut wanted = vec![(own, true, Intended::Granted), (elsewhere, false, Intended::Nothing), (deploy, true, Intended::InFlight)];
    wanted.sort_unstable_by_key(|(id, ..)| *id);
    let mut found: Vec<_> = page.iter().map(told).collect();
    found.sort_unstable_by_key(|(id, ..)| *id);
    assert_eq!(found, wanted, "who is of no account is not among them, nor is a user");
    let of_lonely = world.store.homes_of(&[lonely, Uuid::new_v4()]).await.unwrap();
    assert_eq!(of_lonely, [Home { service_account: lonely, name: "lonely".to_owned(), account: None, intended: Intended::Nothing }]);

    world.store.related(deploy).await.unwrap();
    assert_eq!(world.store.homes_of(&[deploy]).await.unwrap()[0].intended, Intended::Granted);
    let (mut names, mut after) = (Vec::new(), None::<String>);
    while let Some(last) = world.store.homes_after(after.as_deref(), 1).await.unwrap().pop() {
        after = Some(last.name.clone());
        names.push(last.name);
    }
    assert_eq!(names, page.into_iter().map(|home| home.name).collect::<Vec<_>>());
}

#[rstest]
#[tokio::test]
async fn pages_hold_each_relationship_of_a_type_once(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let tuple = |kind: &str, id: &str, relation: &str, subject: &str| {
        Relationship::new(Object::new(kind, id), relation, Object::new("user", subject))
    };
    let all = [
        tuple("workspace", "w1", "owner", "ada"),
        tuple("workspace", "w1", "owner", "bob"),
        tuple("workspace", "w1", "viewer", "ada"),
        tuple("workspace", "w2", "member", "ada"),
        tuple("workspace", "w3", "admin", "eve"),
    ];
    let others = [tuple("account", "w1", "owner", "ada"), tuple("platform", "main", "operator", "ada")];
    world.store.write(&all.iter().chain(&others).cloned().map(Update::Touch).collect::<Vec<_>>(), &[]).await.unwrap();
    for limit in 1..=6 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = world.store.page("workspace", after.as_ref(), limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            seen.extend(page);
        }
        assert_eq!(seen, all, "{limit} at a time");
    }
}
