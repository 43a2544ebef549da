//! The steps that grant and take away, on both permission systems: late copies of their calls change nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::model::{EnvironmentName, TenancyModel};
use domain::permissions::{Cause, Filter, Object, Permissions, Relationship, Update};
use domain::ports::{CallError, FreezeSet, FreezeSets, Tokens};
use domain::steps::input::{CreateAccountInput, CreateWorkspaceInput, EnvironmentInput, PurgeWorkspaceInput};
use domain::steps::{Outside, all};
use domain::{Change, Principal, PrincipalKind};
use rstest::rstest;
use saga::{Attempt, CancellationToken, Outcome, RunId, Step, StoreError, UndoOutcome};
use serde_json::Value;
use testkit::world::FakeBackends;
use uuid::Uuid;

use super::System::{self, Embedded, SpiceDb};

struct NoTokens;

#[async_trait]
impl Tokens for NoTokens {
    async fn set_frozen(&self, _: Uuid, _: bool, _: i64) -> Result<(), CallError> {
        Ok(())
    }
}

struct NoFreezes;

#[async_trait]
impl FreezeSets for NoFreezes {
    async fn current(&self, _: Uuid) -> Result<Option<FreezeSet>, StoreError> {
        Ok(None)
    }
}

struct World {
    permissions: Arc<dyn Permissions>,
    steps: Vec<Arc<dyn Step<Change>>>,
}

const ACCOUNT: Uuid = Uuid::from_u128(0xaa);
const WORKSPACE: Uuid = Uuid::from_u128(0x11);

fn creator() -> Principal {
    Principal { kind: PrincipalKind::User, id: Uuid::from_u128(0x55) }
}

fn workspace_input() -> CreateWorkspaceInput {
    let environment = |n: u128, name| EnvironmentInput {
        id: Uuid::from_u128(0xe0 + n),
        name,
        is_default: n == 2,
        backend_workspace_id: Uuid::from_u128(0xb0 + n),
    };
    CreateWorkspaceInput {
        workspace_id: WORKSPACE,
        account_id: ACCOUNT,
        name: "Sales".to_owned(),
        region: "eu".to_owned(),
        tenancy_model: TenancyModel::Shared,
        creator: creator(),
        environments: vec![
            environment(0, EnvironmentName::Dev),
            environment(1, EnvironmentName::Staging),
            environment(2, EnvironmentName::Prod),
        ],
    }
}

fn attempt(run: u128, step: &str, input: &impl serde::Serialize) -> Attempt {
    Attempt {
        run: RunId(Uuid::from_u128(run)),
        step: step.to_owned(),
        number: 3,
        input: Arc::new(serde_json::to_value(input).unwrap()),
        with: Value::Null,
        outputs: Arc::new(BTreeMap::new()),
        cancelled: CancellationToken::new(),
    }
}

impl World {
    /// The account is granted, as its run does it.
    async fn new(system: System) -> Self {
        let permissions = system.open().await;
        let steps = all(&Outside {
            permissions: permissions.clone(),
            backends: Arc::new(FakeBackends::default()),
            freezes: Arc::new(NoFreezes),
            tokens: Arc::new(NoTokens),
        });
        let world = Self { permissions, steps };
        let account = attempt(0xac, "write-account-relationships", &World::account());
        assert!(matches!(world.step(&account).run(&account).await, Outcome::Succeeded { .. }));
        world
    }

    fn account() -> CreateAccountInput {
        CreateAccountInput { account_id: ACCOUNT, name: "Acme".to_owned(), creator: creator(), default_workspace: None }
    }

    fn step(&self, attempt: &Attempt) -> &dyn Step<Change> {
        &**self.steps.iter().find(|s| s.action() == attempt.step).unwrap()
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        self.step(attempt).run(attempt).await
    }

    async fn undo(&self, attempt: &Attempt) -> UndoOutcome<Change> {
        self.step(attempt).undo(attempt).await
    }

    /// All that is said of the workspace and its environments; seals apart.
    async fn granted(&self) -> Vec<Relationship> {
        let input = workspace_input();
        let objects = input.environments.iter().map(|e| Object::environment(e.id)).chain([Object::workspace(WORKSPACE)]);
        let mut found = Vec::new();
        for Object { kind, id } in objects {
            let filter = Filter { resource_kind: kind, resource_id: Some(id), relation: None, subject: None };
            found.extend(self.permissions.read(&filter).await.unwrap());
        }
        found.retain(|r| r.relation != "sealed");
        found.sort();
        found
    }
}

fn refused(outcome: Outcome<Change>) -> String {
    match outcome {
        Outcome::Failed(fault) if !fault.retryable => fault.r#type,
        other => panic!("not refused: {other:?}"),
    }
}

const STEP: &str = "write-relationships";

#[rstest]
#[tokio::test]
async fn a_grant_may_come_twice_and_leaves_the_journaled_list_and_a_token(#[values(Embedded, SpiceDb)] system: System) {
    let world = World::new(system).await;
    let grant = attempt(1, STEP, &workspace_input());
    for _ in 0..2 {
        let Outcome::Succeeded { change: Some(Change::KeepPermissionsToken { token, .. }), .. } = world.run(&grant).await else {
            panic!("not granted")
        };
        assert!(!token.is_empty());
    }
    let mut wanted = workspace_input().relationships();
    wanted.sort();
    assert_eq!(world.granted().await, wanted);
}

#[rstest]
#[tokio::test]
async fn a_grant_that_arrives_after_its_compensation_is_refused_for_good(#[values(Embedded, SpiceDb)] system: System) {
    let world = World::new(system).await;
    let grant = attempt(1, STEP, &workspace_input());
    world.run(&grant).await;
    assert!(matches!(world.undo(&grant).await, UndoOutcome::Undone { change: Some(_) }));
    for _ in 0..2 {
        assert_eq!(refused(world.run(&grant).await), "sealed");
    }
    assert_eq!(world.granted().await, []);
}

#[rstest]
#[tokio::test]
async fn a_revoke_that_arrives_after_a_retried_run_has_granted_anew_takes_nothing(#[values(Embedded, SpiceDb)] system: System) {
    let world = World::new(system).await;
    let (first, retried) = (attempt(1, STEP, &workspace_input()), attempt(2, STEP, &workspace_input()));
    world.run(&first).await;
    world.undo(&first).await;
    assert!(matches!(world.run(&retried).await, Outcome::Succeeded { .. }), "the seal is the first run's only");
    let granted = world.granted().await;
    assert!(!granted.is_empty());
    assert!(matches!(world.undo(&first).await, UndoOutcome::Undone { change: None }), "refused, and so done");
    assert_eq!(world.granted().await, granted);
}

#[rstest]
#[tokio::test]
async fn a_workspace_of_an_account_that_is_not_there_is_not_granted(#[values(Embedded, SpiceDb)] system: System) {
    let world = World::new(system).await;
    let elsewhere = CreateWorkspaceInput { account_id: Uuid::from_u128(0xbb), ..workspace_input() };
    assert_eq!(refused(world.run(&attempt(1, STEP, &elsewhere)).await), "account_not_ready");
}

#[rstest]
#[tokio::test]
async fn an_account_that_is_compensated_takes_no_late_grant(#[values(Embedded, SpiceDb)] system: System) {
    let world = World::new(system).await;
    let account = attempt(0xac, "write-account-relationships", &World::account());
    assert!(matches!(world.undo(&account).await, UndoOutcome::Undone { change: Some(_) }));
    assert_eq!(refused(world.run(&account).await), "sealed");
    assert_eq!(refused(world.run(&attempt(1, STEP, &workspace_input())).await), "account_not_ready");
}

#[rstest]
#[tokio::test]
async fn a_purge_takes_everything_however_much_and_seals_the_grant(#[values(Embedded, SpiceDb)] system: System) {
    let world = World::new(system).await;
    let grant = attempt(1, STEP, &workspace_input());
    world.run(&grant).await;
    let viewers: Vec<_> = (0..1_700)
        .map(|n| Update::Touch(Relationship::new(Object::workspace(WORKSPACE), "viewer", Object::new("user", Uuid::from_u128(0x1000 + n)))))
        .collect();
    for some in viewers.chunks(900) {
        world.permissions.write(some, &[], &Cause::Hand("test")).await.unwrap();
    }
    let purge = attempt(9, "purge-relationships", &PurgeWorkspaceInput::of(grant.run, workspace_input()));
    for _ in 0..2 {
        assert!(matches!(world.run(&purge).await, Outcome::Succeeded { change: Some(_), .. }));
    }
    assert_eq!(world.granted().await, []);
    assert_eq!(refused(world.run(&grant).await), "sealed");
    assert_eq!(world.granted().await, []);
}
