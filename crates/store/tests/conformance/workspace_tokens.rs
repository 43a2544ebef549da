//! Tokens of workspaces: the gate that they are issued through, and what shuts those that are there.

use domain::audit::Draft;
use domain::ids::within;
use domain::ports::{AccountSettings as _, AuditLog as _, MintAnswer, TokenStanding, Tokens as _, WorkspaceTokens as _};
use rstest::rstest;
use saga::journal::Ending;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::World;

fn draft(account: Uuid) -> Draft {
    Draft::with_id(within(account, Uuid::now_v7()), account, None, "token.issue")
}

#[rstest]
#[tokio::test]
async fn one_is_issued_while_the_workspace_is_made_and_none_for_one_that_failed(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (workspace, _) = world.workspace(account, "data").await;
    assert_eq!(world.store.standing(workspace).await.unwrap(), TokenStanding::Good);
    assert_eq!(world.store.minted(workspace, draft(account)).await.unwrap(), MintAnswer::Minted);
    world.end(workspace, Ending::Cancelled).await;
    assert!(matches!(world.store.minted(workspace, draft(account)).await.unwrap(), MintAnswer::NotAllowed { .. }));
    assert_eq!(world.store.standing(workspace).await.unwrap(), TokenStanding::Gone);
    assert_eq!(world.store.standing(within(account, Uuid::now_v7())).await.unwrap(), TokenStanding::Gone);
    let entries = world.store.of_account(account, 0, 100).await.unwrap();
    assert_eq!(entries.iter().filter(|entry| entry.action == "token.issue").count(), 1, "a refusal writes nothing");
}

/// Orders arrive in any order; the newest stands, and within a revision one that opens.
#[rstest]
#[tokio::test]
async fn an_order_that_is_older_than_the_one_that_stands_changes_nothing(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let workspace = world.active_workspace(account, "data").await.id;
    for (frozen, revision, standing) in [
        (true, 1, TokenStanding::Frozen),
        (true, 1, TokenStanding::Frozen),
        (false, 3, TokenStanding::Good),
        (true, 2, TokenStanding::Good),
        (true, 3, TokenStanding::Good),
        (true, 4, TokenStanding::Frozen),
        (false, 3, TokenStanding::Frozen),
        (false, 4, TokenStanding::Good),
        (false, 4, TokenStanding::Good),
    ] {
        world.store.set_frozen(workspace, frozen, revision).await.unwrap();
        assert_eq!(world.store.standing(workspace).await.unwrap(), standing, "{frozen} {revision}");
    }
    world.store.set_frozen(within(account, Uuid::now_v7()), true, 1).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_default_region_is_kept_until_another_takes_its_place(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    assert_eq!(world.store.default_region(account).await.unwrap(), None);
    for region in [Some("local".to_owned()), Some("eu".to_owned()), None] {
        world.store.set_default_region(account, region.clone(), draft(account)).await.unwrap();
        assert_eq!(world.store.default_region(account).await.unwrap(), region);
    }
}
