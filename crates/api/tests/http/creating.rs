//! Creating accounts and workspaces, and reading what came of it.

use domain::model::{Role, Scope};
use serde_json::json;
use uuid::Uuid;

use crate::world::{Call, Wish, World};

#[tokio::test]
async fn a_workspace_is_accepted_readable_at_once_and_active_in_the_end() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    world.platform.hold().await;
    let created = world.create_workspace(&ada, account, "Sales Europe").await;
    assert_eq!(created.json["status"], "provisioning");
    assert_eq!(created.location(), format!("/v1/provisioning-runs/{}", created.id("provisioning_run_id")));
    assert_eq!(created.header("retry-after"), "1");

    let path = format!("/v1/workspaces/{}", created.id("workspace_id"));
    let early = world.get(&path, &ada).await;
    assert_eq!((&early.json["status"], &early.json["slug"]), (&json!("provisioning"), &json!("sales-europe")));
    assert_eq!(early.json["run"]["id"], created.json["provisioning_run_id"]);

    world.platform.release();
    let run = world.ended(&ada, &created.location()).await;
    assert_eq!((&run.json["state"], &run.json["progress"]), (&json!("succeeded"), &json!({"done": 7, "total": 7})));
    assert!(run.json["steps"].as_array().unwrap().iter().all(|s| s["state"] == "succeeded" && s["compensation"].is_null()));

    let active = world.get(&path, &ada).await;
    assert_eq!(active.json["status"], "active");
    assert_ne!(active.header("etag"), early.header("etag"));
    let environments = world.get(&format!("{path}/environments"), &ada).await;
    assert_eq!(environments.counted("name"), [("dev", 1), ("staging", 1), ("prod", 1)].map(|(n, c)| (n.to_owned(), c)).into());
}

#[tokio::test]
async fn a_dry_run_tells_the_plan_and_makes_nothing() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let body = json!({"account_id": account, "name": "Sales", "region": "local"});
    let plan = world.post("/v1/workspaces?dry_run=true", &ada, body.clone()).await;
    assert_eq!(plan.status, 200, "{}", plan.text());
    assert_eq!((&plan.json["saga"], &plan.json["slug"]), (&json!("create-workspace"), &json!("sales")));
    assert_eq!(plan.json["steps"].as_array().unwrap().len(), 7);
    assert_eq!(world.get("/v1/workspaces", &ada).await.json, json!([]));
    assert_eq!(world.post("/v1/workspaces?dry_run=false", &ada, body).await.status, 202);
}

#[tokio::test]
async fn conflicts_are_named() {
    let world = World::with(Wish { workspaces_max: 2, ..Wish::default() }).await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let with_slug = |slug: &str| json!({"account_id": account, "name": "Sales", "region": "local", "slug": slug});
    assert_eq!(world.post("/v1/workspaces", &ada, with_slug("sales")).await.status, 202);
    let taken = world.post("/v1/workspaces", &ada, with_slug("sales")).await;
    assert_eq!((taken.code(), &taken.json["slug"]), ((409, "slug_taken"), &json!("sales")));
    assert_eq!(world.post("/v1/workspaces?dry_run=true", &ada, with_slug("sales")).await.code(), (409, "slug_taken"));
    assert_eq!(world.post("/v1/workspaces", &ada, with_slug("other")).await.status, 202);
    let full = world.post("/v1/workspaces", &ada, with_slug("third")).await;
    assert_eq!((full.code(), &full.json["max"]), ((409, "quota_exceeded"), &json!(2)));
}

#[tokio::test]
async fn all_violations_of_a_body_are_listed_with_their_pointers() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let shape = world
        .post("/v1/workspaces", &ada, json!({"account_id": 7, "region": null, "slug": [], "color": "red", "on_failure": "pray"}))
        .await;
    assert_eq!(shape.code(), (400, "invalid_request"));
    assert_eq!(shape.pointers(), ["/account_id", "/name", "/region", "/slug", "/on_failure", "/color"]);
    let account = world.account(&ada).await;
    let values = json!({"account_id": account, "name": "  ", "region": "atlantis", "slug": "-No-"});
    let values = world.post("/v1/workspaces", &ada, values).await;
    assert_eq!(values.code(), (422, "invalid_values"));
    assert_eq!(values.pointers(), ["/name", "/slug", "/region"]);
}

#[tokio::test]
async fn an_account_has_an_owner_and_is_listed_for_its_members_only() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let account = world.account(&ada).await;
    let read = world.get(&format!("/v1/accounts/{account}"), &ada).await;
    assert_eq!((&read.json["status"], &read.json["slug"]), (&json!("active"), &json!("acme")));
    assert_eq!(read.json["created_by"], json!({"type": "user", "id": ada.principal.id}));
    assert_eq!(world.get("/v1/accounts", &bob).await.json, json!([]));
    world.grant(Scope::Account, account, bob.principal, Role::Member).await;
    assert_eq!(world.get("/v1/accounts", &bob).await.json[0]["id"], json!(account));
}

#[tokio::test]
async fn the_caller_the_regions_and_the_index_are_told() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let me = world.get("/v1/me", &ada).await;
    assert_eq!((&me.json["name"], &me.json["type"], &me.json["platform_permissions"]), (&json!("ada"), &json!("user"), &json!([])));
    assert_eq!(world.get("/v1/regions", &ada).await.json, json!([{"name": "local", "backend": "local"}]));
    let index = world.send(Call::get("/v1")).await;
    let services = index.json["services"].as_array().unwrap();
    assert!(services.iter().any(|s| s["name"] == "workspaces" && s["href"] == "/v1/workspaces" && s["status"] == "available"));
    assert!(services.iter().any(|s| s["name"] == "vault" && s["status"] == "not_configured"));
}

#[tokio::test]
async fn what_a_request_did_stands_in_the_audit_log_with_its_source() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let body = json!({"account_id": account, "name": "Sales", "region": "local"});
    let created =
        world.send(Call::post("/v1/workspaces", &body).user(&ada).header("x-request-id", "req-7").header("user-agent", "test/1")).await;
    world.ended(&ada, &created.location()).await;
    let workspace: Uuid = created.id("workspace_id");
    let audit = world.get(&format!("/v1/workspaces/{workspace}/audit"), &ada).await;
    let entries = audit.json.as_array().unwrap();
    let accepted = entries.last().unwrap();
    assert_eq!(
        (&accepted["action"], &accepted["outcome"], &accepted["request_id"]),
        (&json!("workspace.create"), &json!("accepted"), &json!("req-7"))
    );
    assert_eq!((&accepted["source_ip"]["value"], &accepted["user_agent"]["value"]), (&json!("192.0.2.7"), &json!("test/1")));
    assert_eq!(accepted["actor"]["id"], json!(ada.principal.id));
    assert_eq!(entries.len(), 2, "accepted and ended");
    assert!(entries[0]["journal_sha256"].is_string());
}
