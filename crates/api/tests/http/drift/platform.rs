//! Roles on the platform, of which the audit log is what is meant.

use std::sync::{Arc, Mutex};

use domain::Principal;
use domain::audit::Draft;
use domain::ids::PLATFORM;
use domain::permissions::{Check, Consistency, Permissions, PermissionsError, Precondition};
use domain::ports::AuditLog;

use super::*;

const ROLES: [&str; 2] = ["operator", "auditor"];

fn role_of(principal: Principal, role: &str) -> Relationship {
    Relationship::new(Object::platform(), role, principal.into())
}

async fn granted(cast: &Cast, audit: &dyn AuditLog, principal: Principal, role: &str) {
    let draft = Draft::by_berth(&*cast.world.berth.ids, PLATFORM, None, "platform.grant").target(principal.kind.as_str(), principal.id);
    audit.append(draft.after(json!({ "role": role }))).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn the_role_that_was_given_last_is_meant(#[values(System::Embedded, System::SpiceDb)] system: System) {
    let cast = Cast::new(system).await;
    let eve = cast.world.user("eve").await.principal;
    for role in ["auditor", "operator"] {
        granted(&cast, &*cast.world.berth.audit, eve, role).await;
    }
    for (class, update) in
        [(Class::Missing, Update::Delete(role_of(eve, "operator"))), (Class::WrongRole, Update::Touch(role_of(eve, "auditor")))]
    {
        cast.write(update).await;
        assert_eq!(cast.classes().await, [class]);
        assert!(matches!(cast.compared(REPAIR).await.as_slice(), [(_, Fate::Repaired)]));
        assert_eq!(cast.classes().await, []);
        assert!(cast.holds(&role_of(eve, "operator")).await && !cast.holds(&role_of(eve, "auditor")).await);
    }
}

/// Gives eve another role just before a repair is written.
struct Overtaking {
    inner: Arc<dyn Permissions>,
    audit: Arc<dyn AuditLog>,
    cast: &'static Cast,
    eve: Mutex<Option<Principal>>,
}

#[async_trait]
impl Permissions for Overtaking {
    async fn check(&self, checks: &[Check], consistency: &Consistency) -> Result<Vec<bool>, PermissionsError> {
        self.inner.check(checks, consistency).await
    }

    async fn write(&self, updates: &[Update], preconditions: &[Precondition], cause: &Cause) -> Result<String, PermissionsError> {
        let eve = self.eve.lock().unwrap().take_if(|_| matches!(cause, Cause::Repair(_)));
        if let Some(eve) = eve {
            granted(self.cast, &*self.audit, eve, "auditor").await;
            let [operator, auditor] = ROLES.map(|role| role_of(eve, role));
            self.inner.write(&[Update::Touch(auditor), Update::Delete(operator)], &[], &Cause::Hand("test")).await?;
        }
        self.inner.write(updates, preconditions, cause).await
    }

    async fn read(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        self.inner.read(filter).await
    }

    async fn lookup(&self, kind: &str, permission: &str, subject: &Object, at: &Consistency) -> Result<Vec<String>, PermissionsError> {
        self.inner.lookup(kind, permission, subject, at).await
    }

    async fn ready(&self) -> Result<(), PermissionsError> {
        self.inner.ready().await
    }
}

#[rstest]
#[tokio::test]
async fn a_repair_that_another_role_overtakes_leaves_it_alone(#[values(System::Embedded, System::SpiceDb)] system: System) {
    let cast: &'static Cast = Box::leak(Box::new(Cast::new(system).await));
    let eve = cast.world.user("eve").await.principal;
    granted(cast, &*cast.world.berth.audit, eve, "operator").await;
    let (inner, audit) = (cast.world.berth.permissions.clone(), cast.world.berth.audit.clone());
    let permissions = Arc::new(Overtaking { inner, audit, cast, eve: Mutex::new(Some(eve)) });
    let berth = domain::Berth { permissions, ..cast.world.berth.clone() };
    let sides = Sides { berth: &berth, intents: &cast.store(), held: &*cast.world.held };
    let first = step(&sides, &mut Walk::default(), REPAIR).await.unwrap();
    assert!(matches!(first.found.as_slice(), [(Drift { class: Class::Missing, .. }, Fate::LeftAlone)]), "{:?}", first.found);
    assert!(cast.holds(&role_of(eve, "auditor")).await && !cast.holds(&role_of(eve, "operator")).await);
    assert_eq!(cast.classes().await, []);
}
