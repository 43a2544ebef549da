//! When a part is away or breaks: 503 or 500 with a code, never a refusal, never the cause.

use std::sync::Arc;

use api::State;
use async_trait::async_trait;
use domain::audit::{Draft, Entry};
use domain::model::{ProvisioningRun, RunDetail};
use domain::permissions::{Cause, Check, Consistency, Filter, Object, Permissions, PermissionsError, Precondition, Relationship, Update};
use domain::ports::{
    AuditFilter, AuditLog, AuditOf, AuditPage, Health, IdempotencyKey, NewRequest, Page, ProvisioningRuns, RequestAnswer, RetryAnswer,
    RetryRun, RunCounts, RunFilter, Written,
};
use saga::{RunId, StoreError, Time};
use serde_json::json;
use uuid::Uuid;

use crate::world::{CONTRACT, Call, World};

const CAUSE: &str = "the cause, which is nobody's business";

/// A permission system that is away.
struct Away;

#[async_trait]
impl Permissions for Away {
    async fn check(&self, _: &[Check], _: &Consistency) -> Result<Vec<bool>, PermissionsError> {
        Err(PermissionsError::Unavailable(CAUSE.to_owned()))
    }
    async fn write(&self, _: &[Update], _: &[Precondition], _: &Cause) -> Result<String, PermissionsError> {
        Err(PermissionsError::Unavailable(CAUSE.to_owned()))
    }
    async fn read(&self, _: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        Err(PermissionsError::Unavailable(CAUSE.to_owned()))
    }
    async fn lookup(&self, _: &str, _: &str, _: &Object, _: &Consistency) -> Result<Vec<String>, PermissionsError> {
        Err(PermissionsError::Unavailable(CAUSE.to_owned()))
    }
    async fn ready(&self) -> Result<(), PermissionsError> {
        Err(PermissionsError::Unavailable(CAUSE.to_owned()))
    }
}

/// A database whose clock does not stand up to being asked.
struct Bomb;

#[async_trait]
impl Health for Bomb {
    async fn now(&self) -> Result<Time, StoreError> {
        panic!("{CAUSE}")
    }
}

/// Runs in a database that fails as it is told.
struct Failing(StoreError);

#[async_trait]
impl ProvisioningRuns for Failing {
    async fn get(&self, _: RunId) -> Result<Option<RunDetail>, StoreError> {
        Err(self.0.clone())
    }
    async fn list(&self, _: Option<&[Uuid]>, _: &RunFilter, _: Page) -> Result<Vec<ProvisioningRun>, StoreError> {
        Err(self.0.clone())
    }
    async fn versions(&self, _: &[RunId]) -> Result<Vec<(RunId, i64)>, StoreError> {
        Err(self.0.clone())
    }
    async fn request(&self, _: NewRequest) -> Result<Written<RequestAnswer>, StoreError> {
        Err(self.0.clone())
    }
    async fn retry(&self, _: RetryRun) -> Result<Written<RetryAnswer>, StoreError> {
        Err(self.0.clone())
    }
    async fn recall(&self, _: &IdempotencyKey) -> Result<Written<()>, StoreError> {
        Err(self.0.clone())
    }
    async fn counts(&self) -> Result<RunCounts, StoreError> {
        Err(self.0.clone())
    }
}

/// The API over what the world has now.
pub fn rebuilt(world: &mut World) {
    world.router = api::router(State::new(world.berth.clone(), world.issuer.clone(), world.clock.clone()));
}

#[tokio::test]
async fn an_outage_of_the_permission_system_is_503_wherever_a_right_is_needed() {
    let mut world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    world.ended(&ada, &created.location()).await;
    let exported = world.get(&format!("/v1/workspaces/{}/export", created.id("workspace_id")), &ada).await;
    let export: Uuid = exported.header("export-id").parse().unwrap();
    world.berth.permissions = Arc::new(Away);
    rebuilt(&mut world);
    // These need no right.
    let free = [
        "getIndex",
        "getLiveness",
        "getOpenApi",
        "listSigningKeys",
        "getProblemPage",
        "listRegions",
        "createAccount",
        "listWorkspaces",
        "issueToken",
        "getOwnToken",
        "createApiToken",
        "listApiTokens",
        "revokeApiToken",
    ];
    let mut asked = 0;
    for operation in CONTRACT.operations() {
        if free.contains(&operation.id.as_str()) {
            continue;
        }
        let id = match operation.path.as_str() {
            path if path.contains("provisioning-runs") => created.id("provisioning_run_id"),
            path if path.contains("accounts") || path.contains("pauses") => account,
            path if path.contains("exports") => export,
            _ => created.id("workspace_id"),
        };
        let path = operation.path.replace("{id}", &id.to_string()).replace("{account_id}", &account.to_string());
        let path = path.replace("{principal_id}", &ada.principal.id.to_string());
        let path = path.replace("{service_account_id}", &ada.principal.id.to_string()).replace("{secret_id}", &account.to_string());
        let path = path.replace("{kind}", "account").replace("{name}", "sales");
        let mut call = Call::new(&operation.method, &path).user(&ada);
        if ["POST", "PUT", "PATCH"].contains(&operation.method.as_str()) {
            let body = match operation.id.as_str() {
                "createWorkspace" => json!({"account_id": account, "name": "n", "region": "local"}),
                "updateWorkspace" => json!({"termination_protection": true}),
                "changeWorkspaceStatus" => json!({"status": "active"}),
                "restoreWorkspace" | "addClientSecret" | "issueWorkspaceToken" => json!({}),
                "registerUser" => json!({"name": "ada", "issuer": "https://id.example.com", "subject": "1"}),
                "issueWorkspaceTokenByName" => json!({"name": "Sales"}),
                "changeAccountSettings" => json!({"default_region": null}),
                "addAccountMember" | "addWorkspaceMember" => json!({"type": "user", "name": "ada", "role": "member"}),
                "changeAccountMember" | "changeWorkspaceMember" => json!({"role": "member"}),
                "createServiceAccount" => json!({"name": "n"}),
                _ => json!({"comment": "c"}),
            };
            call = call.header("content-type", "application/json").body(body.to_string());
        }
        let answer = world.send(call).await;
        assert_eq!(answer.code(), (503, "unavailable"), "{}: {}", operation.id, answer.text());
        assert!(!answer.text().contains(CAUSE));
        asked += 1;
    }
    assert_eq!(asked, CONTRACT.operations().len() - free.len());
}

#[tokio::test]
async fn a_panic_is_one_500_without_its_cause_and_the_process_goes_on() {
    let mut world = World::new().await;
    world.berth.health = Arc::new(Bomb);
    rebuilt(&mut world);
    let answer = world.send(Call::get("/readyz").header("x-request-id", "r-1")).await;
    assert_eq!((answer.code(), &answer.json["request_id"]), ((500, "internal_error"), &json!("r-1")));
    assert!(!answer.text().contains(CAUSE));
    assert_eq!(world.send(Call::get("/livez")).await.status, 200);
}

#[tokio::test]
async fn a_database_that_is_away_is_503_and_one_that_refuses_is_500() {
    let mut world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let path = format!("/v1/provisioning-runs/{}", Uuid::now_v7());
    let list = format!("/v1/provisioning-runs?account_id={account}");
    for (error, code) in [
        (StoreError::Unavailable(CAUSE.to_owned()), (503, "unavailable")),
        (StoreError::Unknown(CAUSE.to_owned()), (503, "unavailable")),
        (StoreError::Broken(CAUSE.to_owned()), (500, "internal_error")),
    ] {
        world.berth.runs = Arc::new(Failing(error));
        rebuilt(&mut world);
        for path in [&path, &list] {
            let answer = world.get(path, &ada).await;
            assert_eq!(answer.code(), code, "{path}");
            assert!(!answer.text().contains(CAUSE));
        }
    }
}

/// An audit log that takes nothing.
struct Mute;

#[async_trait]
impl AuditLog for Mute {
    async fn append(&self, _: Draft) -> Result<Entry, StoreError> {
        Err(StoreError::Unavailable(CAUSE.to_owned()))
    }
    async fn list(&self, _: AuditOf, _: &AuditFilter, _: AuditPage) -> Result<Vec<Entry>, StoreError> {
        Err(StoreError::Unavailable(CAUSE.to_owned()))
    }
}

#[tokio::test]
async fn a_denial_that_cannot_be_recorded_is_answered_all_the_same() {
    let mut world = World::new().await;
    let (ada, eve) = (world.user("ada").await, world.user("eve").await);
    let account = world.account(&ada).await;
    world.berth.audit = Arc::new(Mute);
    rebuilt(&mut world);
    let answer = world.get(&format!("/v1/accounts/{account}"), &eve).await;
    assert_eq!(answer.code(), (404, "not_found"));
}
