//! Drift made by hand in either side is found, told apart and repaired, and what is on its way is left alone: over the embedded
//! permission system and over a real SpiceDB.

mod pages;
mod platform;
mod service_accounts;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::PrincipalKind;
use domain::drift::{Class, Drift, Fate, Mode, Sides, Walk, step};
use domain::housekeeping::deliver_membership_changes;
use domain::model::{Role, Scope};
use domain::permissions::{Cause, Filter, Object, Relationship, Update};
use domain::ports::{Home, Intent, Intents};
use http::StatusCode;
use rstest::rstest;
use saga::StoreError;
use serde_json::json;
use store::Store;
use store::db::Statement;
use uuid::Uuid;

use crate::world::{Call, User, Wish, World};

#[derive(Debug, Clone, Copy)]
enum System {
    Embedded,
    SpiceDb,
}

static TAKE_ROLE: Statement = Statement::shared("take role", "delete from memberships where scope_id = $1 and principal_id = $2");
static SET_ROLE: Statement =
    Statement::shared("set role", "update memberships set role = 'viewer' where scope_id = $1 and principal_id = $2");

const REPAIR: Mode = Mode { repair: true, remove_unknown: false };

/// An account with a workspace, their owner ada, and bob, an admin of the workspace since long.
struct Cast {
    world: World,
    ada: User,
    bob: User,
    account: Uuid,
    workspace: Uuid,
}

impl Cast {
    async fn new(system: System) -> Self {
        let spicedb = match system {
            System::Embedded => None,
            System::SpiceDb => Some((testkit::spicedb::shared().to_owned(), Uuid::new_v4().to_string())),
        };
        let world = World::with(Wish { spicedb, ..Wish::default() }).await;
        let (ada, bob) = (world.user("ada").await, world.user("bob").await);
        let account = world.account(&ada).await;
        let workspace = world.workspace(&ada, account, "Sales").await;
        let cast = Self { world, ada, bob, account, workspace };
        cast.world.grant(Scope::Workspace, workspace, cast.bob.principal, Role::Admin).await;
        cast.settle().await;
        cast
    }

    /// Changes of roles are told, and long ago.
    async fn settle(&self) {
        self.world.advance(Duration::from_mins(2));
        while deliver_membership_changes(&self.world.berth).await.unwrap().next == Some(Duration::ZERO) {}
    }

    fn store(&self) -> Store {
        self.world.test.store()
    }

    async fn compared_with(&self, intents: &dyn Intents, mode: Mode) -> (Vec<(Drift, Fate)>, u64) {
        let sides = Sides { berth: &self.world.berth, intents, held: &*self.world.held };
        let (mut walk, mut found, mut left_alone) = (Walk::default(), Vec::new(), 0);
        loop {
            let stretch = step(&sides, &mut walk, mode).await.unwrap();
            found.extend(stretch.found);
            left_alone += stretch.left_alone;
            if stretch.is_last {
                return (found, left_alone);
            }
        }
    }

    async fn compared(&self, mode: Mode) -> Vec<(Drift, Fate)> {
        self.compared_with(&self.store(), mode).await.0
    }

    /// The classes of what is found, sorted.
    async fn classes(&self) -> Vec<Class> {
        let mut classes: Vec<Class> = self.compared(Mode::default()).await.into_iter().map(|(drift, _)| drift.class).collect();
        classes.sort_unstable();
        classes
    }

    /// By hand in the permission system.
    async fn write(&self, update: Update) {
        self.world.berth.permissions.write(&[update], &[], &Cause::Hand("test")).await.unwrap();
    }

    async fn held(&self, of: Object) -> Vec<Relationship> {
        let filter = Filter { resource_kind: of.kind, resource_id: Some(of.id), relation: None, subject: None };
        self.world.berth.permissions.read(&filter).await.unwrap()
    }

    async fn holds(&self, relationship: &Relationship) -> bool {
        self.held(relationship.resource.clone()).await.contains(relationship)
    }

    /// By hand in the database.
    async fn execute(&self, statement: &'static Statement, member: &User) {
        let mut tx = self.world.test.db.write().await.unwrap();
        assert_eq!(tx.query(statement).bind(self.workspace).bind(member.principal.id).execute().await.unwrap(), 1);
        tx.commit().await.unwrap();
    }

    fn on_workspace(&self, relation: &str, subject: impl Into<Object>) -> Relationship {
        Relationship::new(Object::workspace(self.workspace), relation, subject.into())
    }

    async fn environment(&self) -> Uuid {
        self.world.berth.workspaces.environments(self.workspace).await.unwrap()[0].id
    }

    async fn remove_bob(&self) {
        let path = format!("/v1/workspaces/{}/members/{}", self.workspace, self.bob.principal.id);
        assert_eq!(self.world.send(Call::new("DELETE", &path).user(&self.ada)).await.status, StatusCode::OK);
    }
}

#[rstest]
#[tokio::test]
async fn drift_in_the_permission_system_is_found_told_apart_and_repaired(#[values(System::Embedded, System::SpiceDb)] system: System) {
    let cast = Cast::new(system).await;
    assert_eq!(cast.classes().await, []);
    let (stranger, elsewhere) = (cast.world.user("eve").await, Object::account(Uuid::new_v4()));
    let seal = cast.held(Object::workspace(cast.workspace)).await.into_iter().find(|r| r.relation == "sealed").expect("bob's line sealed");
    let environment = Relationship::new(Object::environment(cast.environment().await), "workspace", Object::workspace(cast.workspace));
    let misplaced = Relationship::new(Object::environment(Uuid::new_v4()), "workspace", Object::workspace(cast.workspace));
    let hand_made = [
        (Class::Missing, Update::Delete(cast.on_workspace("owner", cast.ada.principal))),
        (Class::Missing, Update::Delete(environment)),
        (Class::Missing, Update::Delete(Relationship::new(Object::account(cast.account), "platform", Object::platform()))),
        (Class::WrongRole, Update::Touch(cast.on_workspace("owner", cast.bob.principal))),
        (Class::Surplus, Update::Touch(cast.on_workspace("viewer", stranger.principal))),
        (Class::Surplus, Update::Touch(cast.on_workspace("account", elsewhere))),
        (Class::Surplus, Update::Touch(misplaced)),
        (Class::SealMissing, Update::Delete(seal)),
    ];
    for (class, update) in &hand_made {
        cast.write(update.clone()).await;
        assert_eq!(cast.classes().await, [*class], "{update:?}");
        let repaired = cast.compared(REPAIR).await;
        assert!(matches!(repaired.as_slice(), [(_, Fate::Repaired)]), "{update:?}: {repaired:?}");
        // A role is told as a change, which is left alone until it has settled.
        cast.settle().await;
        assert_eq!(cast.classes().await, [], "{update:?}");
        match update {
            Update::Delete(r) => assert!(cast.holds(r).await, "{r:?}"),
            Update::Touch(r) | Update::Create(r) => assert!(!cast.holds(r).await, "{r:?}"),
        }
    }
    let repairs = cast.world.chain(cast.account).await.into_iter().filter(|entry| entry.action.starts_with("permissions.repair"));
    assert_eq!(repairs.count(), hand_made.len());
    // All at once.
    for (_, update) in &hand_made {
        cast.write(update.clone()).await;
    }
    let mut wanted: Vec<Class> = hand_made.iter().map(|(class, _)| *class).collect();
    wanted.sort_unstable();
    let mut found = cast.classes().await;
    // The repairs have made seals of their own lines: the one that was taken is still missing once.
    found.dedup();
    wanted.dedup();
    assert_eq!(found, wanted);
    cast.compared(REPAIR).await;
    cast.settle().await;
    assert_eq!(cast.classes().await, []);
}

#[rstest]
#[tokio::test]
async fn drift_in_the_database_is_brought_to_the_permission_system(#[values(System::Embedded, System::SpiceDb)] system: System) {
    let cast = Cast::new(system).await;
    cast.execute(&SET_ROLE, &cast.bob).await;
    assert_eq!(cast.classes().await, [Class::WrongRole]);
    cast.compared(REPAIR).await;
    assert!(cast.holds(&cast.on_workspace("viewer", cast.bob.principal)).await);
    assert!(!cast.holds(&cast.on_workspace("admin", cast.bob.principal)).await);
    cast.settle().await;
    cast.execute(&TAKE_ROLE, &cast.bob).await;
    assert_eq!(cast.classes().await, [Class::Surplus]);
    cast.compared(REPAIR).await;
    assert!(!cast.holds(&cast.on_workspace("viewer", cast.bob.principal)).await);
    cast.settle().await;
    assert_eq!(cast.classes().await, []);
}

#[rstest]
#[tokio::test]
async fn what_the_database_does_not_know_is_taken_away_only_if_that_is_wished(#[values(System::Embedded, System::SpiceDb)] system: System) {
    let cast = Cast::new(system).await;
    let (unknown, eve) = (Uuid::new_v4(), cast.world.user("eve").await);
    let orphans = [
        Relationship::new(Object::workspace(unknown), "owner", eve.principal.into()),
        Relationship::new(Object::new("workspace", "by-hand"), "viewer", eve.principal.into()),
        Relationship::new(Object::account(unknown), "member", eve.principal.into()),
        Relationship::new(Object::environment(unknown), "workspace", Object::workspace(unknown)),
    ];
    let operator = Relationship::new(Object::platform(), "operator", eve.principal.into());
    for tuple in orphans.iter().chain([&operator]) {
        cast.write(Update::Touch(tuple.clone())).await;
    }
    let wanted = [vec![Class::Surplus], vec![Class::Orphaned; 4]].concat();
    assert_eq!(cast.classes().await, wanted);
    assert!(cast.compared(REPAIR).await.iter().all(|(_, fate)| *fate == Fate::Found));
    assert_eq!(cast.classes().await, wanted, "nothing was taken away");
    let removed = cast.compared(Mode { repair: true, remove_unknown: true }).await;
    assert!(removed.len() == 5 && removed.iter().all(|(_, fate)| *fate == Fate::Repaired), "{removed:?}");
    assert_eq!(cast.classes().await, []);
}

#[rstest]
#[tokio::test]
async fn what_a_run_or_a_change_is_at_work_on_is_left_alone(#[values(System::Embedded, System::SpiceDb)] system: System) {
    let cast = Cast::new(system).await;
    cast.world.platform.hold().await;
    let created = cast.world.create_workspace(&cast.ada, cast.account, "Later").await;
    cast.world.held(&cast.ada, &created.location()).await;
    let later = created.id("workspace_id");
    let early = Relationship::new(Object::workspace(later), "viewer", cast.bob.principal.into());
    cast.write(Update::Touch(early.clone())).await;
    let (found, left_alone) = cast.compared_with(&cast.store(), REPAIR).await;
    assert_eq!((found, left_alone), (Vec::new(), 1));
    cast.world.platform.release();
    assert_eq!(cast.world.ended(&cast.ada, &created.location()).await.json["outcome"], "succeeded");
    assert_eq!(cast.classes().await, [Class::Surplus], "once it has ended it is looked at");
    cast.write(Update::Delete(early)).await;

    let path = format!("/v1/workspaces/{}/members/{}", cast.workspace, cast.bob.principal.id);
    let call = Call { method: "PATCH".to_owned(), ..Call::post(&path, &json!({"role": "member"})) };
    assert_eq!(cast.world.send(call.user(&cast.ada)).await.status, StatusCode::OK);
    cast.write(Update::Delete(cast.on_workspace("member", cast.bob.principal))).await;
    assert_eq!(cast.classes().await, [], "his role changed within a minute");
    cast.settle().await;
    assert_eq!(cast.classes().await, [Class::Missing]);
}

/// The rows as they were before bob was removed, whose removal comes in between the last look at them and the repair.
struct Overtaken<'a> {
    cast: &'a Cast,
    is_removed: AtomicBool,
}

#[async_trait]
impl Intents for Overtaken<'static> {
    async fn after(&self, scope: Scope, after: Option<Uuid>, limit: u32) -> Result<Vec<Intent>, StoreError> {
        self.cast.store().after(scope, after, limit).await
    }

    async fn of(&self, scope: Scope, ids: &[Uuid]) -> Result<Vec<Intent>, StoreError> {
        let seen = self.cast.store().of(scope, ids).await?;
        if scope == Scope::Workspace && !self.is_removed.swap(true, Ordering::SeqCst) {
            self.cast.remove_bob().await;
        }
        Ok(seen)
    }

    async fn homes_after(&self, after: Option<&str>, limit: u32) -> Result<Vec<Home>, StoreError> {
        self.cast.store().homes_after(after, limit).await
    }

    async fn homes_of(&self, ids: &[Uuid]) -> Result<Vec<Home>, StoreError> {
        self.cast.store().homes_of(ids).await
    }
}

#[rstest]
#[tokio::test]
async fn a_repair_that_a_removal_overtakes_brings_nothing_back(#[values(System::Embedded, System::SpiceDb)] system: System) {
    let cast: &'static Cast = Box::leak(Box::new(Cast::new(system).await));
    let role = cast.on_workspace("admin", cast.bob.principal);
    cast.write(Update::Delete(role.clone())).await;
    let overtaken = Overtaken { cast, is_removed: AtomicBool::new(false) };
    let (found, _) = cast.compared_with(&overtaken, REPAIR).await;
    assert!(matches!(found.as_slice(), [(Drift { class: Class::Missing, .. }, _)]), "{found:?}");
    assert!(overtaken.is_removed.load(Ordering::SeqCst));
    assert!(!cast.holds(&role).await, "he was removed");
    cast.settle().await;
    assert_eq!(cast.classes().await, []);
    assert_eq!(cast.world.get(&format!("/v1/workspaces/{}", cast.workspace), &cast.bob).await.status, StatusCode::NOT_FOUND);
}
