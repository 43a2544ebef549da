//! How often a request asks the permission system: once, about all that it needs to know.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::permissions::{Cause, Check, Consistency, Filter, Object, Permissions, PermissionsError, Precondition, Relationship, Update};
use serde_json::json;

use crate::outages::rebuilt;
use crate::world::{Call, World};

/// How many checks each call carried, and how many lookups and reads there were.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    checks: Vec<usize>,
    others: usize,
}

struct Counting {
    inner: Arc<dyn Permissions>,
    asked: Mutex<Asked>,
}

#[async_trait]
impl Permissions for Counting {
    async fn check(&self, checks: &[Check], consistency: &Consistency) -> Result<Vec<bool>, PermissionsError> {
        self.asked.lock().unwrap().checks.push(checks.len());
        self.inner.check(checks, consistency).await
    }

    async fn write(&self, updates: &[Update], preconditions: &[Precondition], cause: &Cause) -> Result<String, PermissionsError> {
        self.inner.write(updates, preconditions, cause).await
    }

    async fn read(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        self.asked.lock().unwrap().others += 1;
        self.inner.read(filter).await
    }

    async fn lookup(&self, kind: &str, permission: &str, subject: &Object, at: &Consistency) -> Result<Vec<String>, PermissionsError> {
        self.asked.lock().unwrap().others += 1;
        self.inner.lookup(kind, permission, subject, at).await
    }

    async fn ready(&self) -> Result<(), PermissionsError> {
        self.inner.ready().await
    }
}

#[tokio::test]
async fn a_request_about_one_thing_asks_the_permission_system_once() {
    let mut world = World::new().await;
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let account = world.account(&ada).await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    world.ended(&ada, &created.location()).await;
    let counting = Arc::new(Counting { inner: world.berth.permissions.clone(), asked: Mutex::default() });
    world.berth.permissions = counting.clone();
    rebuilt(&mut world);
    let workspace = format!("/v1/workspaces/{}", created.id("workspace_id"));
    let create = json!({"account_id": account, "name": "Later", "region": "local"});
    let change = |path: &str, body| Call { method: "PATCH".to_owned(), ..Call::post(path, body) };
    let requests = [
        Call::get(&workspace).user(&ada),
        Call::get(&workspace).user(&bob),
        Call::get(&format!("/v1/accounts/{account}")).user(&ada),
        Call::get(&created.location()).user(&ada),
        Call::get(&format!("{workspace}/members")).user(&ada),
        Call::get(&format!("{workspace}/audit")).user(&ada),
        Call::post("/v1/workspaces", &create).user(&ada),
        Call::post("/v1/workspaces", &create).user(&bob),
        change(&workspace, &json!({"labels": {"team": "a"}})).user(&ada),
        change(&format!("{workspace}/status"), &json!({"status": "frozen", "reason": {"code": "x"}})).user(&ada),
        change(&format!("{workspace}/status"), &json!({"status": "active"})).user(&ada),
        Call::post(&format!("{workspace}/members"), &json!({"type": "user", "id": bob.principal.id, "role": "viewer"})).user(&ada),
        Call::post(&format!("{workspace}/tokens"), &json!({})).user(&ada),
        Call::post(&format!("/v1/accounts/{account}/workspace-tokens"), &json!({"name": "Sales"})).user(&ada),
        Call::post(&format!("/v1/accounts/{account}/service-accounts"), &json!({"name": "deploy"})).user(&ada),
        Call::post(&format!("{}/cancel", created.location()), &json!({})).user(&ada),
        Call::get(&format!("{workspace}/export")).user(&ada),
    ];
    let mut wrong = Vec::new();
    for call in requests {
        let what = format!("{} {}", call.method, call.path);
        let status = world.send(call).await.status;
        let asked = std::mem::take(&mut *counting.asked.lock().unwrap());
        if asked.checks.len() != 1 || asked.checks.iter().any(|n| *n > 3) || asked.others > 0 {
            wrong.push(format!("{what}: {status}: {asked:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
