//! Service accounts and their secrets.

use std::time::Duration;

use domain::audit::Draft;
use domain::ids::within;
use domain::ports::{
    AddClientSecret, AuditLog as _, CreateServiceAccount, NewClientSecret, NewServiceAccount, Page, Principals as _, ServiceAccounts,
    Written,
};
use domain::secrets::{Hash, Kind, make};
use domain::{Principal, PrincipalKind};
use rstest::rstest;
use saga::Time;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::World;

const ADA: Principal = Principal { kind: PrincipalKind::User, id: Uuid::from_u128(0xada) };

fn draft(account: Uuid, action: &str) -> Draft {
    Draft::with_id(within(account, Uuid::now_v7()), account, None, action)
}

fn new(account: Uuid, name: &str) -> NewServiceAccount {
    NewServiceAccount {
        id: within(account, Uuid::now_v7()),
        account_id: account,
        name: name.to_owned(),
        created_by: ADA,
        audit: draft(account, "service_account.create"),
        replay: None,
    }
}

async fn program(world: &World, account: Uuid) -> Uuid {
    match world.store.create(new(account, "deploy")).await.unwrap() {
        Written::Done(CreateServiceAccount::Created(made)) => made.id,
        other => panic!("{other:?}"),
    }
}

/// As the use case makes it, which begins with its principal.
pub async fn program_with_principal(world: &World, account: Uuid) -> Uuid {
    let id = program(world, account).await;
    world.store.ensure(PrincipalKind::ServiceAccount, &format!("deploy@{account}"), Some(account), id).await.unwrap();
    id
}

async fn add(world: &World, account: Uuid, of: Uuid, expires_at: Option<Time>) -> (Uuid, Hash, AddClientSecret) {
    let id = within(account, Uuid::now_v7());
    let (_, hash) = make(Kind::Client, id, [7; 32]);
    let audit = draft(account, "service_account.add_secret");
    let new = NewClientSecret { id, service_account_id: of, hash, expires_at, created_by: ADA, audit, replay: None };
    match world.store.add_secret(new).await.unwrap() {
        Written::Done(answer) => (id, hash, answer),
        other => panic!("{other:?}"),
    }
}

async fn actions(world: &World, account: Uuid) -> Vec<String> {
    world.store.of_account(account, 0, 100).await.unwrap().into_iter().map(|entry| entry.action).skip(2).collect()
}

#[rstest]
#[tokio::test]
async fn names_are_unique_in_an_account_and_the_permission_system_is_told_once(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let (account, other) = (world.account(3).await, world.account(3).await);
    let id = program(&world, account).await;
    assert_eq!(world.store.create(new(account, "deploy")).await.unwrap(), Written::Done(CreateServiceAccount::NameTaken));
    program(&world, other).await;
    let nowhere = Uuid::from_u128(7);
    let refused = CreateServiceAccount::AccountNotActive { status: None };
    assert_eq!(world.store.create(new(nowhere, "deploy")).await.unwrap(), Written::Done(refused));
    assert_eq!(world.store.unrelated(10).await.unwrap().len(), 2);
    world.store.related(id).await.unwrap();
    assert!(world.store.unrelated(10).await.unwrap().iter().all(|(unrelated, of)| *unrelated != id && *of == other));
    let listed = ServiceAccounts::list(&world.store, account, Page { after: None, limit: 10 }).await.unwrap();
    assert_eq!(listed, [ServiceAccounts::get(&world.store, id).await.unwrap().unwrap()]);
    assert_eq!(actions(&world, account).await, ["service_account.create"]);
}

#[rstest]
#[tokio::test]
async fn two_secrets_are_in_force_at_once_and_an_expired_one_makes_room(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let of = program(&world, account).await;
    let now = domain::ports::Health::now(&world.store).await.unwrap();
    let (first, hash, _) = add(&world, account, of, None).await;
    let (second, _, made) = add(&world, account, of, Some(now + Duration::from_mins(5))).await;
    assert!(matches!(made, AddClientSecret::Added(made) if made.expires_at == Some(now + Duration::from_mins(5))));
    assert_eq!(add(&world, account, of, None).await.2, AddClientSecret::Enough);
    assert_eq!(add(&world, account, of, Some(now)).await.2, AddClientSecret::ExpiresOutOfRange);
    let stored = world.store.secret(first).await.unwrap().unwrap();
    assert!(stored.is_live && stored.hash.is(&hash) && stored.service_account.id == of);
    assert!(world.store.issued(second, draft(account, "token.issue")).await.unwrap());
    world.test.db.advance(Duration::from_mins(6));
    assert!(!world.store.secret(second).await.unwrap().unwrap().is_live);
    assert!(!world.store.issued(second, draft(account, "token.issue")).await.unwrap());
    assert!(matches!(add(&world, account, of, None).await.2, AddClientSecret::Added(_)));
    let wanted = ["service_account.create", "service_account.add_secret", "service_account.add_secret", "token.issue"];
    assert_eq!(actions(&world, account).await[..4], wanted);
}

#[rstest]
#[tokio::test]
async fn what_is_deleted_or_disabled_gets_no_token(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let of = program(&world, account).await;
    let (first, ..) = add(&world, account, of, None).await;
    let (second, ..) = add(&world, account, of, None).await;
    assert!(!world.store.delete_secret(account, first, draft(account, "service_account.delete_secret")).await.unwrap(), "of another");
    assert!(world.store.delete_secret(of, first, draft(account, "service_account.delete_secret")).await.unwrap());
    assert!(!world.store.delete_secret(of, first, draft(account, "service_account.delete_secret")).await.unwrap());
    assert!(!world.store.issued(first, draft(account, "token.issue")).await.unwrap());
    assert!(world.store.issued(second, draft(account, "token.issue")).await.unwrap());
    let used = world.store.secrets(of).await.unwrap()[0].last_used_at;
    world.test.db.advance(Duration::from_mins(1));
    assert!(world.store.issued(second, draft(account, "token.issue")).await.unwrap());
    assert_eq!(world.store.secrets(of).await.unwrap()[0].last_used_at, used, "the time of use is coarse");
    assert!(!world.store.is_disabled(of).await.unwrap());
    assert!(world.store.disable(of, draft(account, "service_account.disable")).await.unwrap());
    assert!(!world.store.disable(of, draft(account, "service_account.disable")).await.unwrap());
    assert!(world.store.is_disabled(of).await.unwrap() && !world.store.is_disabled(account).await.unwrap());
    assert!(!world.store.issued(second, draft(account, "token.issue")).await.unwrap());
    assert_eq!(add(&world, account, of, None).await.2, AddClientSecret::Disabled);
}
