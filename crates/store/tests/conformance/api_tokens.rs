//! Long-lived tokens.

use std::time::Duration;

use domain::audit::Draft;
use domain::ids::{PLATFORM, within};
use domain::ports::{ApiTokens, AuditLog as _, CreateApiToken, Health as _, LIFETIME, LIFETIME_MAX, NewApiToken, Page, Written};
use domain::secrets::{Kind, make};
use domain::{Principal, PrincipalKind};
use rstest::rstest;
use saga::Time;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::World;

const ADA: Principal = Principal { kind: PrincipalKind::User, id: Uuid::from_u128(0xada) };
const EVE: Principal = Principal { kind: PrincipalKind::User, id: Uuid::from_u128(0xe7e) };

fn draft(action: &str) -> Draft {
    Draft::with_id(Uuid::now_v7(), PLATFORM, None, action)
}

async fn create(world: &World, expires_at: Option<Time>) -> CreateApiToken {
    let id = within(PLATFORM, Uuid::now_v7());
    let hash = make(Kind::ApiToken, id, [7; 32]).1;
    let audit = draft("api_token.create");
    let new = NewApiToken { id, principal: ADA, name: "nightly".to_owned(), hash, expires_at, audit, replay: None };
    match ApiTokens::create(&world.store, new).await.unwrap() {
        Written::Done(answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[tokio::test]
async fn one_is_kept_until_its_holder_revokes_it(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let CreateApiToken::Created(token) = create(&world, None).await else { panic!("it is made") };
    assert_eq!(token.expires_at, token.created_at + LIFETIME);
    let stored = ApiTokens::get(&world.store, token.id).await.unwrap().unwrap();
    assert!(stored.token == token && !stored.is_revoked && stored.hash.is(&make(Kind::ApiToken, token.id, [7; 32]).1));
    let page = Page { after: None, limit: 10 };
    assert_eq!(ApiTokens::list(&world.store, ADA, page).await.unwrap(), std::slice::from_ref(&token));
    assert!(ApiTokens::list(&world.store, EVE, page).await.unwrap().is_empty());
    assert!(!world.store.revoke(EVE, token.id, draft("api_token.revoke")).await.unwrap());
    assert!(world.store.revoke(ADA, token.id, draft("api_token.revoke")).await.unwrap());
    assert!(!world.store.revoke(ADA, token.id, draft("api_token.revoke")).await.unwrap());
    assert!(ApiTokens::get(&world.store, token.id).await.unwrap().unwrap().is_revoked);
    assert!(ApiTokens::list(&world.store, ADA, page).await.unwrap().is_empty());
    let actions: Vec<_> = world.store.of_account(PLATFORM, 0, 10).await.unwrap().into_iter().map(|e| e.action).collect();
    assert_eq!(actions, ["api_token.create", "api_token.revoke"]);
}

#[rstest]
#[tokio::test]
async fn the_time_of_use_is_coarse_and_the_expiry_has_its_bounds(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let now = world.store.now().await.unwrap();
    for wrong in [now, now + LIFETIME_MAX + Duration::from_hours(1)] {
        assert_eq!(create(&world, Some(wrong)).await, CreateApiToken::ExpiresOutOfRange);
    }
    let CreateApiToken::Created(token) = create(&world, Some(now + Duration::from_hours(1))).await else { panic!("it is made") };
    let used = async || {
        let stored = ApiTokens::get(&world.store, token.id).await.unwrap().unwrap();
        world.store.used(&stored).await.unwrap();
        ApiTokens::get(&world.store, token.id).await.unwrap().unwrap().token.last_used_at.unwrap()
    };
    let first = used().await;
    world.test.db.advance(Duration::from_mins(9));
    assert_eq!(used().await, first);
    world.test.db.advance(Duration::from_mins(2));
    assert!(used().await > first);
}
