//! Whose a service account is: one more thing that can drift.

use domain::Principal;
use domain::housekeeping::relate_service_accounts;

use super::*;

static UNTOLD: Statement = Statement::shared("untold", "update service_accounts set related_at = null where id = $1");

impl Cast {
    /// A service account as the API makes it, and one as `berth token` does, whose principal is all that there is of it.
    async fn programs(&self) -> [Uuid; 2] {
        let path = format!("/v1/accounts/{}/service-accounts", self.account);
        let made = self.world.post(&path, &self.ada, json!({"name": "deploy"})).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
        let ensured = self.world.berth.principals.ensure(PrincipalKind::ServiceAccount, "robot", Some(self.account), Uuid::new_v4());
        let Principal { id: robot, .. } = ensured.await.unwrap().principal;
        self.write(Update::Touch(home(robot, self.account))).await;
        [made.id("id"), robot]
    }

    async fn untell(&self, deploy: Uuid) {
        let mut tx = self.world.test.db.write().await.unwrap();
        assert_eq!(tx.query(&UNTOLD).bind(deploy).execute().await.unwrap(), 1);
        tx.commit().await.unwrap();
    }
}

fn home(service_account: Uuid, account: Uuid) -> Relationship {
    Relationship::new(Object::new("service_account", service_account), "account", Object::account(account))
}

#[rstest]
#[tokio::test]
async fn whose_a_service_account_is_is_compared_and_repaired(#[values(System::Embedded, System::SpiceDb)] system: System) {
    let cast = Cast::new(system).await;
    let programs = cast.programs().await;
    assert_eq!(cast.classes().await, []);
    for program in programs {
        let (own, anothers) = (home(program, cast.account), home(program, Uuid::new_v4()));
        for (class, update) in [(Class::Missing, Update::Delete(own.clone())), (Class::Surplus, Update::Touch(anothers.clone()))] {
            cast.write(update).await;
            assert_eq!(cast.classes().await, [class]);
            let repaired = cast.compared(REPAIR).await;
            assert!(matches!(repaired.as_slice(), [(_, Fate::Repaired)]), "{repaired:?}");
            assert_eq!(cast.classes().await, []);
            assert!(cast.holds(&own).await && !cast.holds(&anothers).await);
        }
    }
    let repairs = cast.world.chain(cast.account).await.into_iter().filter(|entry| entry.action == "permissions.repair");
    assert_eq!(repairs.count(), 4);

    let unknown = home(Uuid::new_v4(), cast.account);
    cast.write(Update::Touch(unknown.clone())).await;
    assert!(matches!(cast.compared(REPAIR).await.as_slice(), [(Drift { class: Class::Orphaned, .. }, Fate::Found)]));
    assert!(cast.holds(&unknown).await);
    cast.compared(Mode { repair: true, remove_unknown: true }).await;
    assert!(!cast.holds(&unknown).await);
}

#[tokio::test]
async fn what_the_permission_system_is_still_to_be_told_of_a_service_account_is_left_alone() {
    let cast = Cast::new(System::Embedded).await;
    let [deploy, robot] = cast.programs().await;
    for program in [deploy, robot] {
        cast.write(Update::Delete(home(program, cast.account))).await;
    }
    cast.untell(deploy).await;
    let (found, left_alone) = cast.compared_with(&cast.store(), REPAIR).await;
    assert!(matches!(found.as_slice(), [(drift, Fate::Repaired)] if drift.missing == [home(robot, cast.account)]), "{found:?}");
    assert_eq!(left_alone, 1);
    assert!(!cast.holds(&home(deploy, cast.account)).await, "housekeeping tells it");
    relate_service_accounts(&cast.world.berth).await.unwrap();
    assert!(cast.holds(&home(deploy, cast.account)).await);
    assert_eq!(cast.compared_with(&cast.store(), Mode::default()).await, (Vec::new(), 0));
}

/// Between the first look at the rows and the last, the database takes back that the permission system was told of `deploy`.
struct Untelling {
    cast: &'static Cast,
    deploy: Uuid,
}

#[async_trait]
impl Intents for Untelling {
    async fn after(&self, scope: Scope, after: Option<Uuid>, limit: u32) -> Result<Vec<Intent>, StoreError> {
        self.cast.store().after(scope, after, limit).await
    }

    async fn of(&self, scope: Scope, ids: &[Uuid]) -> Result<Vec<Intent>, StoreError> {
        self.cast.store().of(scope, ids).await
    }

    async fn homes_after(&self, after: Option<&str>, limit: u32) -> Result<Vec<Home>, StoreError> {
        self.cast.store().homes_after(after, limit).await
    }

    async fn homes_of(&self, ids: &[Uuid]) -> Result<Vec<Home>, StoreError> {
        self.cast.untell(self.deploy).await;
        self.cast.store().homes_of(ids).await
    }
}

#[tokio::test]
async fn a_row_that_says_something_else_by_now_is_left_alone() {
    let cast: &'static Cast = Box::leak(Box::new(Cast::new(System::Embedded).await));
    let [deploy, _] = cast.programs().await;
    cast.write(Update::Delete(home(deploy, cast.account))).await;
    let (found, left_alone) = cast.compared_with(&Untelling { cast, deploy }, REPAIR).await;
    assert_eq!((found, left_alone), (Vec::new(), 1));
    assert!(!cast.holds(&home(deploy, cast.account)).await);
}
