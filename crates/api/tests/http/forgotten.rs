//! Runs that have been kept long enough: gone for who asks, also for who was just about to change one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::model::{ProvisioningRun, RunDetail};
use domain::ports::{
    IdempotencyKey, NewRequest, Page, ProvisioningRuns, RequestAnswer, RetryAnswer, RetryRun, RunCounts, RunFilter, Written,
};
use saga::{RunId, StoreError};
use serde_json::json;
use store::Db;
use store::db::Statement;
use uuid::Uuid;

use crate::answer::Answer;
use crate::outages::rebuilt;
use crate::world::{Call, User, World};

const KEPT: Duration = Duration::from_hours(24);

static FORGET_JOURNAL: Statement = Statement::shared("forget journal", "delete from run_journal where run_id = $1");
static FORGET_REQUESTS: Statement = Statement::shared("forget requests", "delete from run_requests where run_id = $1");
static FORGET_RUN: Statement = Statement::shared("forget run", "delete from provisioning_runs where id = $1");

/// Retention comes between the look at a run and the change of it.
struct Overtaken {
    runs: Arc<dyn ProvisioningRuns>,
    db: Db,
}

impl Overtaken {
    /// What retention does once nothing needs the run any more.
    async fn forget(&self, run: RunId) {
        let mut tx = self.db.write().await.unwrap();
        for statement in [&FORGET_JOURNAL, &FORGET_REQUESTS, &FORGET_RUN] {
            tx.query(statement).bind(run.0).execute().await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

#[async_trait]
impl ProvisioningRuns for Overtaken {
    async fn get(&self, id: RunId) -> Result<Option<RunDetail>, StoreError> {
        self.runs.get(id).await
    }
    async fn list(&self, accounts: Option<&[Uuid]>, filter: &RunFilter, page: Page) -> Result<Vec<ProvisioningRun>, StoreError> {
        self.runs.list(accounts, filter, page).await
    }
    async fn versions(&self, ids: &[RunId]) -> Result<Vec<(RunId, i64)>, StoreError> {
        self.runs.versions(ids).await
    }
    async fn request(&self, new: NewRequest) -> Result<Written<RequestAnswer>, StoreError> {
        self.forget(new.run).await;
        self.runs.request(new).await
    }
    async fn retry(&self, new: RetryRun) -> Result<Written<RetryAnswer>, StoreError> {
        self.forget(new.run.retry_of.unwrap()).await;
        self.runs.retry(new).await
    }
    async fn recall(&self, key: &IdempotencyKey) -> Result<Written<()>, StoreError> {
        self.runs.recall(key).await
    }
    async fn counts(&self) -> Result<RunCounts, StoreError> {
        self.runs.counts().await
    }
}

/// A world whose runs are forgotten, once its router is built anew, when somebody is about to change one; with a user, an account, and
/// a workspace whose run stands at the held platform.
async fn overtaken() -> (World, User, Uuid, Answer) {
    let mut world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    world.platform.hold().await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    world.held(&ada, &created.location()).await;
    world.berth.runs = Arc::new(Overtaken { runs: world.berth.runs.clone(), db: world.test.db.clone() });
    (world, ada, account, created)
}

async fn is_not_found(world: &World, ada: &User, call: Call) {
    let path = call.path.clone();
    let answer = world.send(call.user(ada)).await;
    assert_eq!(answer.code(), (404, "not_found"), "{path}: {}", answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
}

fn runs(list: &Answer) -> Vec<String> {
    list.json.as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_run_that_retention_has_forgotten_is_not_found_by_whoever_asks_and_whatever_for() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let workspace = world.workspace(&ada, account, "Sales").await;
    let (status, list) = (format!("/v1/workspaces/{workspace}/status"), format!("/v1/provisioning-runs?workspace_id={workspace}"));
    let mut all = Vec::new();
    for body in [json!({"status": "frozen", "reason": {"code": "test"}}), json!({"status": "active"})] {
        let changed = Call::new("PATCH", &status).header("content-type", "application/json").body(body.to_string());
        assert_eq!(world.send(changed.user(&ada)).await.status, 200);
        all = runs(&world.get(&list, &ada).await);
        for run in &all {
            world.ended(&ada, &format!("/v1/provisioning-runs/{run}")).await;
        }
    }
    world.advance(KEPT * 2);
    assert_eq!(
        world.berth.retention.forget_runs(None, 100, KEPT).await.unwrap().forgotten,
        1,
        "the freeze's; the last of its kind is kept"
    );

    let left = runs(&world.get(&list, &ada).await);
    let gone: Vec<&String> = all.iter().filter(|run| !left.contains(run)).collect();
    assert_eq!((all.len(), gone.len()), (3, 1));
    let run = format!("/v1/provisioning-runs/{}", gone[0]);
    for path in [run.clone(), format!("{run}?wait=1s"), format!("{run}/events")] {
        is_not_found(&world, &ada, Call::get(&path)).await;
    }
    for verb in ["retry", "cancel", "skip", "abandon"] {
        is_not_found(&world, &ada, Call::post(&format!("{run}/{verb}"), &json!({"comment": "again"}))).await;
    }
}

#[tokio::test]
async fn a_retry_that_retention_overtakes_is_not_found_and_changes_nothing() {
    let (mut world, ada, account, created) = overtaken().await;
    world.post(&format!("{}/cancel", created.location()), &ada, json!({})).await;
    world.platform.release();
    world.ended(&ada, &created.location()).await;
    let workspace = format!("/v1/workspaces/{}", created.id("workspace_id"));
    // The run that it shows goes with the run; all else is to stay as it is.
    let standing = async |world: &World| {
        let shown = world.get(&workspace, &ada).await.json;
        (shown["status"].clone(), shown["updated_at"].clone(), world.chain(account).await.len())
    };
    let before = standing(&world).await;
    assert_eq!(before.0, "failed");

    rebuilt(&mut world);
    is_not_found(&world, &ada, Call::post(&format!("{}/retry", created.location()), &json!({"comment": "again"}))).await;
    assert_eq!(standing(&world).await, before);
}

#[tokio::test]
async fn a_verb_that_retention_overtakes_is_not_found() {
    let (mut world, ada, _, created) = overtaken().await;
    rebuilt(&mut world);
    is_not_found(&world, &ada, Call::post(&format!("{}/cancel", created.location()), &json!({}))).await;
}
