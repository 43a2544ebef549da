//! The outbox of memberships: lines, what is due when, and what reads must know of it.

use std::time::Duration;

use domain::model::{Role, ScopeRef};
use domain::ports::{Accounts, Members, RoleChange, Standing, Workspaces};
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::members::account_ref;
use crate::world::{World, user};

const LEASE: Duration = Duration::from_secs(30);
/// After this nobody waits for whoever made the change.
const INLINE: Duration = Duration::from_secs(3);

async fn taken(world: &World) -> Vec<Uuid> {
    world.store.take_due(10, LEASE).await.unwrap().changes.iter().map(|change| change.id).collect()
}

#[rstest]
#[tokio::test]
async fn only_the_first_of_a_line_is_ever_due(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let on = account_ref(world.account(3).await);
    let (ada, bob) = (user(), user());
    world.role_changed(on, ada, RoleChange::Add(Role::Member)).await;
    let line = world.role_changed(on, ada, RoleChange::Remove).await;
    assert_eq!(taken(&world).await, [] as [Uuid; 0], "whoever made it is about to deliver it");
    assert!(world.store.take_due(10, LEASE).await.unwrap().next.is_some_and(|next| next <= INLINE));
    world.test.db.advance(INLINE);
    let other = world.role_changed(on, bob, RoleChange::Add(Role::Admin)).await;
    assert_eq!(taken(&world).await, [line[0].id]);
    world.test.db.advance(INLINE);
    assert_eq!(taken(&world).await, [other[0].id], "a line holds nobody else up");

    world.store.delivered(&line[0], Some("1".to_owned()), None).await.unwrap();
    assert_eq!(taken(&world).await, [line[1].id]);
    assert_eq!(world.store.undelivered(on, ada).await.unwrap()[0].attempts, 1);
    world.store.delivered(&line[1], None, None).await.unwrap();
    assert_eq!(world.store.undelivered(on, ada).await.unwrap(), []);
}

#[rstest]
#[tokio::test]
async fn what_is_taken_rests_until_its_lease_is_over_and_what_is_postponed_until_its_time(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let on = account_ref(world.account(3).await);
    let line = world.role_changed(on, user(), RoleChange::Add(Role::Member)).await;
    world.test.db.advance(INLINE);
    assert_eq!(taken(&world).await, [line[0].id]);
    let due = world.store.take_due(10, LEASE).await.unwrap();
    assert!(due.changes.is_empty() && due.next.is_some_and(|next| next > INLINE && next <= LEASE), "{due:?}");
    world.store.postpone(&line[0], "away", Duration::from_secs(1)).await.unwrap();
    assert!(world.store.take_due(10, LEASE).await.unwrap().next.is_some_and(|next| next <= Duration::from_secs(1)));
    world.test.db.advance(Duration::from_secs(1));
    assert_eq!(taken(&world).await, [line[0].id]);
    // A process that died with it in its hands.
    world.test.db.advance(LEASE);
    let due = world.store.take_due(10, LEASE).await.unwrap();
    assert_eq!((due.changes[0].id, due.changes[0].attempts), (line[0].id, 3));
    let backlog = world.store.backlog().await.unwrap();
    assert_eq!(backlog.undelivered, 1);
    assert!(backlog.now.since(backlog.oldest_at.unwrap()) >= LEASE);
}

/// Two processes that deliver the same change: the second finds nothing to do, and takes nothing back.
#[rstest]
#[tokio::test]
async fn a_change_is_delivered_once_whoever_says_so(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let on = world.active_workspace(account, "data").await;
    let before = Workspaces::get(&world.store, on.id).await.unwrap().unwrap();
    let line = world.role_changed(on, user(), RoleChange::Add(Role::Member)).await;
    world.store.delivered(&line[0], Some("7".to_owned()), None).await.unwrap();
    world.store.delivered(&line[0], None, None).await.unwrap();
    world.store.postpone(&line[0], "late", Duration::ZERO).await.unwrap();
    world.test.db.advance(INLINE);
    assert_eq!(taken(&world).await, [] as [Uuid; 0]);
    let after = Workspaces::get(&world.store, on.id).await.unwrap().unwrap();
    assert_eq!((after.permissions_token.as_deref(), after.revision), (Some("7"), before.revision), "no reader's If-Match is stale");
    let line = world.role_changed(account_ref(account), user(), RoleChange::Add(Role::Member)).await;
    world.store.delivered(&line[0], Some("8".to_owned()), None).await.unwrap();
    assert_eq!(Accounts::get(&world.store, account).await.unwrap().unwrap().permissions_token.as_deref(), Some("8"));
}

#[rstest]
#[tokio::test]
async fn a_reduced_role_is_pending_there_and_below_until_it_is_delivered(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (on, other) = (world.active_workspace(account, "data").await, world.active_workspace(account, "other").await);
    let (ada, bob, robot) = (user(), user(), user());
    let standing = |who: Vec<domain::Principal>, scopes: Vec<Uuid>| {
        let store = world.store.clone();
        async move { store.standing(&who, &scopes).await.unwrap() }
    };
    let deliver = |line: Vec<domain::model::MembershipChange>| {
        let store = world.store.clone();
        async move { store.delivered(line.last().unwrap(), None, None).await.unwrap() }
    };
    let unsettled = |on: ScopeRef| {
        let store = world.store.clone();
        async move { Workspaces::get(&store, on.id).await.unwrap().unwrap().roles_unsettled }
    };
    assert!(!unsettled(on).await);
    deliver(world.role_changed(on, ada, RoleChange::Add(Role::Admin)).await).await;
    assert_eq!(standing(vec![ada], vec![on.id]).await, Standing::Changed);
    let demotion = world.role_changed(on, ada, RoleChange::Change(Role::Viewer)).await;
    assert_eq!(standing(vec![ada], vec![on.id]).await, Standing::RemovalPending);
    assert_eq!(standing(vec![robot, ada], vec![other.id, on.id]).await, Standing::RemovalPending, "for whom it acts, and in a list");
    assert_eq!(standing(vec![ada], vec![other.id, account]).await, Standing::Settled, "neither beside it nor above");
    assert_eq!(standing(vec![bob], vec![on.id]).await, Standing::Settled);
    assert!(unsettled(on).await && !unsettled(other).await);
    deliver(demotion).await;
    assert_eq!(standing(vec![ada], vec![on.id]).await, Standing::Changed);

    deliver(world.role_changed(account_ref(account), bob, RoleChange::Add(Role::Admin)).await).await;
    let removal = world.role_changed(account_ref(account), bob, RoleChange::Remove).await;
    for scope in [account, on.id, other.id] {
        assert_eq!(standing(vec![bob], vec![scope]).await, Standing::RemovalPending);
    }
    assert!(unsettled(other).await && Accounts::get(&world.store, account).await.unwrap().unwrap().roles_unsettled);
    deliver(removal).await;
    world.test.db.advance(Duration::from_mins(1));
    assert_eq!(taken(&world).await, [] as [Uuid; 0], "there is nothing to deliver, but what is delivered settles");
    for who in [ada, bob] {
        assert_eq!(standing(vec![who], vec![account, on.id, other.id]).await, Standing::Settled);
    }
    assert!(!unsettled(on).await && !Accounts::get(&world.store, account).await.unwrap().unwrap().roles_unsettled);
    assert_eq!(world.store.take_due(10, LEASE).await.unwrap().next, None, "nobody has to look again");
}

#[rstest]
#[tokio::test]
async fn what_another_took_the_place_of_is_forgotten_once_it_has_settled_and_the_last_of_a_line_stays(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let (minute, kept) = (Duration::from_mins(1), Duration::from_hours(1));
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let on = account_ref(account);
    let (ada, bob) = (user(), user());
    let forget = async || world.store.forget(10, kept).await.unwrap();
    for change in [RoleChange::Add(Role::Member), RoleChange::Change(Role::Admin), RoleChange::Remove] {
        for change in world.role_changed(on, ada, change).await {
            world.store.delivered(&change, None, None).await.unwrap();
        }
    }
    let held = world.role_changed(on, bob, RoleChange::Add(Role::Member)).await.remove(0);
    let last = world.role_changed(on, bob, RoleChange::Remove).await.pop().unwrap();
    world.test.db.advance(kept);
    assert_eq!(forget().await, 0, "nothing has been seen to settle");
    taken(&world).await;
    assert_eq!(world.store.forget(1, kept).await.unwrap(), 1, "no more than was asked for");
    assert_eq!((forget().await, forget().await), (1, 0), "of two lines: one has its end left, one is not delivered");

    // The next of a line still names the one before it, whenever that was.
    let ends = world.role_changed(on, ada, RoleChange::Add(Role::Viewer)).await;
    assert_eq!(ends.len(), 1);
    for change in [&held, &last] {
        assert_ne!(ends[0].predecessor, change.id);
        world.store.delivered(change, None, None).await.unwrap();
    }
    assert_eq!(last.predecessor, held.id);
    assert_ne!(ends[0].predecessor, first_run(&world, account).await, "it is not the first of its line");
    world.test.db.advance(minute);
    taken(&world).await;
    assert_eq!(forget().await, 1, "bob's first; ada's removal has been followed for a minute only");
    assert_eq!(world.store.standing(&[ada, bob], &[account]).await.unwrap(), Standing::Changed, "what is not delivered is not forgotten");
}

/// The run that made the account: what the first of a line follows.
async fn first_run(world: &World, account: Uuid) -> Uuid {
    let line = world.role_changed(account_ref(account), user(), RoleChange::Add(Role::Viewer)).await;
    line[0].predecessor
}
