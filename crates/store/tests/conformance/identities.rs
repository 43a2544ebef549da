//! Users who are let in no more, and identities that other issuers vouch for.

use domain::audit::Draft;
use domain::ids::{PLATFORM, within};
use domain::ports::{
    Admission, Answer, ApiTokens, AuditLog as _, ChangeAdmission, CreateApiToken, Health as _, Idempotency, IdempotencyKey,
    Identities as _, Keyed, LinkIdentity, NewApiToken, OutsideIdentity, Written,
};
use domain::secrets::{Kind, make};
use domain::{Principal, PrincipalKind};
use futures::future::join_all;
use rstest::rstest;
use serde_json::json;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::World;

const ADA: Uuid = Uuid::from_u128(0xada);
const EVE: Uuid = Uuid::from_u128(0xe7e);

fn draft(action: &str) -> Draft {
    Draft::with_id(Uuid::now_v7(), PLATFORM, None, action)
}

fn identity(subject: &str) -> OutsideIdentity {
    OutsideIdentity { issuer: "https://id.test".to_owned(), subject: subject.to_owned() }
}

fn key(key: &str) -> IdempotencyKey {
    IdempotencyKey {
        account_id: PLATFORM,
        principal: Principal { kind: PrincipalKind::User, id: EVE },
        on_behalf_of: None,
        method: "POST".to_owned(),
        path: "/v1/users".to_owned(),
        key: key.to_owned(),
        fingerprint: vec![7; 32],
    }
}

fn order(user: Uuid, revoke: bool) -> ChangeAdmission {
    let audit = draft(if revoke { "user.revoke" } else { "user.restore" });
    ChangeAdmission { user, revoke, keepers: Vec::new(), audit, idempotency: None }
}

async fn change(world: &World, user: Uuid, revoke: bool, keyed: Option<Keyed<Admission>>) -> Written<Admission> {
    match world.store.change_admission(ChangeAdmission { idempotency: keyed, ..order(user, revoke) }).await.unwrap() {
        Written::Done(admission) => Written::Done(admission.unwrap()),
        Written::Replayed(answer) => Written::Replayed(answer),
        Written::KeyReused => Written::KeyReused,
        Written::KeyBusy => Written::KeyBusy,
    }
}

async fn link(world: &World, subject: &str, user: Uuid) -> Written<Uuid> {
    let new = LinkIdentity { identity: identity(subject), user, audit: draft("user.register"), idempotency: None };
    world.store.link(new).await.unwrap()
}

async fn actions(world: &World) -> Vec<String> {
    world.store.of_account(PLATFORM, 0, 100).await.unwrap().into_iter().map(|e| e.action).collect()
}

#[rstest]
#[tokio::test]
async fn a_user_is_let_in_unless_revoked_and_only_what_changes_something_is_recorded(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    assert_eq!(world.store.admission(ADA).await.unwrap(), Admission::of(ADA));
    assert_eq!(change(&world, ADA, false, None).await, Written::Done(Admission::of(ADA)), "nobody had shut them out");
    let before = world.store.now().await.unwrap();
    let Written::Done(revoked) = change(&world, ADA, true, None).await else { panic!("it is done") };
    assert!(revoked.revoked_at.is_some_and(|at| at >= before) && revoked.tokens_not_before == revoked.revoked_at);
    assert_eq!(world.store.admission(ADA).await.unwrap(), revoked);
    assert_eq!(change(&world, ADA, true, None).await, Written::Done(revoked), "again changes nothing");
    world.test.db.advance(std::time::Duration::from_hours(1));
    let Written::Done(restored) = change(&world, ADA, false, None).await else { panic!("it is done") };
    assert!(restored.revoked_at.is_none() && restored.tokens_not_before > revoked.tokens_not_before);
    assert_eq!(world.store.admission(ADA).await.unwrap(), restored);
    assert_eq!(world.store.admission(EVE).await.unwrap(), Admission::of(EVE), "others are let in");
    assert_eq!(actions(&world).await, ["user.revoke", "user.restore"]);
}

/// Two operators who shut each other out in the same instant would leave none.
#[rstest]
#[tokio::test]
async fn nobody_is_shut_out_by_who_is_shut_out_already(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let kept_by = |keepers: &[Uuid]| ChangeAdmission { keepers: keepers.to_vec(), ..order(EVE, true) };
    change(&world, ADA, true, None).await;
    assert_eq!(world.store.change_admission(kept_by(&[ADA])).await.unwrap(), Written::Done(None));
    assert_eq!(world.store.admission(EVE).await.unwrap(), Admission::of(EVE));
    assert_eq!(actions(&world).await, ["user.revoke"]);
    let one_is_left = world.store.change_admission(kept_by(&[ADA, Uuid::now_v7()])).await.unwrap();
    assert!(matches!(one_is_left, Written::Done(Some(Admission { revoked_at: Some(_), .. }))), "{one_is_left:?}");
}

/// Each relies on the other; whoever comes second is told so.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_shut_each_other_out_at_once_one_stays(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    for round in 0..20 {
        let [a, b] = [Uuid::now_v7(), Uuid::now_v7()];
        let shut_out = |user: Uuid, by: Uuid| {
            let (store, order) = (world.store.clone(), ChangeAdmission { keepers: vec![by], ..order(user, true) });
            tokio::spawn(async move { store.change_admission(order).await.unwrap() })
        };
        let told = [shut_out(a, b), shut_out(b, a)].map(async |task| matches!(task.await.unwrap(), Written::Done(Some(_))));
        let told = futures::future::join_all(told).await;
        assert_eq!(told.iter().filter(|done| **done).count(), 1, "round {round}");
    }
}

#[rstest]
#[tokio::test]
async fn a_revocation_ends_the_users_long_lived_tokens_and_no_others(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let mut tokens = Vec::new();
    for (kind, holder) in [(PrincipalKind::User, ADA), (PrincipalKind::User, EVE), (PrincipalKind::ServiceAccount, ADA)] {
        let id = within(PLATFORM, Uuid::now_v7());
        let (audit, hash) = (draft("api_token.create"), make(Kind::ApiToken, id, [7; 32]).1);
        let principal = Principal { kind, id: holder };
        let new = NewApiToken { id, principal, name: "nightly".to_owned(), hash, expires_at: None, audit, replay: None };
        let made = ApiTokens::create(&world.store, new).await.unwrap();
        assert!(matches!(made, Written::Done(CreateApiToken::Created(_))));
        tokens.push(id);
    }
    change(&world, ADA, true, None).await;
    change(&world, ADA, false, None).await;
    let mut ended = Vec::new();
    for id in tokens {
        ended.push(ApiTokens::get(&world.store, id).await.unwrap().unwrap().is_revoked);
    }
    assert_eq!(ended, [true, false, false], "a restoration brings none back");
}

#[rstest]
#[tokio::test]
async fn an_identity_is_the_first_ones_who_asks_for_it_and_stays_theirs(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    assert_eq!(world.store.known(&identity("1")).await.unwrap(), None);
    assert_eq!(link(&world, "1", ADA).await, Written::Done(ADA));
    assert_eq!(link(&world, "1", EVE).await, Written::Done(ADA));
    assert_eq!(link(&world, "1", ADA).await, Written::Done(ADA));
    assert_eq!(world.store.known(&identity("1")).await.unwrap(), Some(ADA));
    assert_eq!(world.store.known(&identity("11")).await.unwrap(), None);
    let elsewhere = OutsideIdentity { issuer: "https://id.test/".to_owned(), subject: "1".to_owned() };
    assert_eq!(world.store.known(&elsewhere).await.unwrap(), None, "another issuer's subject is somebody else");
    assert_eq!(actions(&world).await, ["user.register"]);
}

#[rstest]
#[tokio::test]
async fn of_many_who_want_one_identity_at_once_one_gets_it(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let users: Vec<Uuid> = (1..=12).map(Uuid::from_u128).collect();
    let told = join_all(users.iter().map(|user| link(&world, "1", *user))).await;
    let winner = world.store.known(&identity("1")).await.unwrap().unwrap();
    assert!(users.contains(&winner) && told.iter().all(|told| *told == Written::Done(winner)), "{told:?}");
    assert_eq!(actions(&world).await, ["user.register"]);
}

#[rstest]
#[tokio::test]
async fn a_repeated_order_is_answered_as_the_first_was(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let keyed = || {
        Some(Keyed { key: key("a"), answer: |a: &Admission| Answer { status: 200, location: None, body: json!(a.revoked_at.is_some()) } })
    };
    assert!(matches!(change(&world, ADA, true, keyed()).await, Written::Done(_)));
    change(&world, ADA, false, None).await;
    let Written::Replayed(again) = change(&world, ADA, true, keyed()).await else { panic!("it is replayed") };
    assert_eq!(again.body, json!(true));
    assert_eq!(world.store.admission(ADA).await.unwrap().revoked_at, None, "and not done again");

    let new = |user: Uuid, name: &str| LinkIdentity {
        identity: identity("1"),
        user,
        audit: draft("user.register"),
        idempotency: Some(Idempotency { key: key(name), answer: Answer { status: 200, location: None, body: json!(user) } }),
    };
    assert_eq!(world.store.link(new(ADA, "b")).await.unwrap(), Written::Done(ADA));
    assert!(matches!(world.store.link(new(ADA, "b")).await.unwrap(), Written::Replayed(a) if a.body == json!(ADA)));
    assert_eq!(world.store.link(new(ADA, "c")).await.unwrap(), Written::Done(ADA), "it is so already");
    assert!(matches!(world.store.link(new(ADA, "c")).await.unwrap(), Written::Replayed(_)), "which is an answer, too");
    assert_eq!(world.store.link(new(EVE, "d")).await.unwrap(), Written::Done(ADA));
    assert_eq!(world.store.link(new(EVE, "d")).await.unwrap(), Written::Done(ADA), "a refusal is not kept");
}
