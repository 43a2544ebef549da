//! The built-in issuer's keys.

use std::time::Duration;

use domain::audit::Draft;
use domain::ids::PLATFORM;
use domain::ports::{AuditLog as _, NewSigningKey, RevokeKeyAnswer, SigningKeys as _};
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, draft};

const HOUR: Duration = Duration::from_hours(1);

fn audit(action: &str) -> Draft {
    draft(PLATFORM, None, action)
}

async fn add(world: &World, after: Option<Uuid>, signs_in: Duration) -> Option<Uuid> {
    let id = Uuid::now_v7();
    let new = NewSigningKey { id, after, public_key: vec![1; 32], sealed_key: vec![2; 99], signs_in };
    world.store.add(new, audit("signing_key.add")).await.unwrap().then_some(id)
}

async fn entries(world: &World) -> usize {
    let entries = world.store.of_account(PLATFORM, 0, 10).await.unwrap();
    entries.iter().filter(|entry| entry.action.starts_with("signing_key.")).count()
}

#[rstest]
#[tokio::test]
async fn keys_are_kept_in_their_order_and_one_of_two_that_come_at_once_is_added(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    assert_eq!(world.store.all().await.unwrap(), []);
    let first = add(&world, None, Duration::ZERO).await.unwrap();
    assert_eq!(add(&world, None, Duration::ZERO).await, None, "there is a first one already");
    let (one, other) = tokio::join!(add(&world, Some(first), HOUR), add(&world, Some(first), HOUR));
    let second = one.xor(other).expect("one of them");
    let keys = world.store.all().await.unwrap();
    assert_eq!(keys.iter().map(|key| (key.number, key.id)).collect::<Vec<_>>(), [(1, first), (2, second)]);
    assert_eq!((keys[0].signs_from, keys[1].signs_from), (keys[0].created_at, keys[1].created_at + HOUR));
    assert_eq!((keys[1].public_key.len(), keys[1].sealed_key.len(), keys[1].revoked_at), (32, 99, None));
    assert_eq!(entries(&world).await, 2, "what was not done is not in the audit log");
}

#[rstest]
#[tokio::test]
async fn the_last_key_that_signs_is_not_revoked(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let revoke = async |id| world.store.revoke(id, audit("signing_key.revoke")).await.unwrap();
    let first = add(&world, None, Duration::ZERO).await.unwrap();
    assert_eq!(revoke(first).await, RevokeKeyAnswer::Needed);
    let second = add(&world, Some(first), HOUR).await.unwrap();
    assert_eq!(revoke(first).await, RevokeKeyAnswer::Needed, "the other one does not sign yet");
    world.test.db.advance(HOUR);
    assert_eq!(revoke(first).await, RevokeKeyAnswer::Revoked);
    assert_eq!(revoke(first).await, RevokeKeyAnswer::Already);
    assert_eq!(revoke(second).await, RevokeKeyAnswer::Needed, "those that are revoked do not count");
    assert_eq!(revoke(Uuid::now_v7()).await, RevokeKeyAnswer::Unknown);
    let revoked: Vec<bool> = world.store.all().await.unwrap().iter().map(|key| key.revoked_at.is_some()).collect();
    assert_eq!(revoked, [true, false]);
    assert_eq!(entries(&world).await, 3);
}
