//! The first operator is written once.

use domain::audit::Draft;
use domain::ids::PLATFORM;
use domain::ports::{AuditLog, FirstOperator, Platform};
use domain::{Principal, PrincipalKind};
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::World;

fn begun() -> Draft {
    Draft::with_id(Uuid::nil(), PLATFORM, None, "platform.bootstrap")
}

#[rstest]
#[tokio::test]
async fn the_first_operator_is_recorded_once_with_its_entry(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let [ann, bob] = [1, 2].map(|n| Principal { kind: PrincipalKind::User, id: Uuid::from_u128(n) });
    assert_eq!(world.store.begin(ann, begun()).await.unwrap(), None);
    for who in [ann, bob] {
        let before = world.store.begin(who, begun()).await.unwrap();
        assert!(matches!(before, Some(FirstOperator { principal, .. }) if principal == ann), "{before:?}");
    }
    let entries = world.store.of_account(PLATFORM, 0, 10).await.unwrap();
    assert_eq!(entries.iter().map(|e| e.action.as_str()).collect::<Vec<_>>(), ["platform.bootstrap"]);
}
