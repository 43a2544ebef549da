//! Deleting, restoring and purging a workspace.

use std::time::Duration;

use domain::housekeeping::start_purges;
use domain::model::{Role, Scope};
use domain::permissions::Object;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Answer, Call, User, Wish, World};

fn path(workspace: Uuid) -> String {
    format!("/v1/workspaces/{workspace}")
}

async fn delete(world: &World, user: &User, workspace: Uuid, if_match: Option<&str>) -> Answer {
    let mut call = Call::new("DELETE", &path(workspace)).user(user);
    if let Some(tag) = if_match {
        call = call.header("if-match", tag);
    }
    world.send(call).await
}

async fn restore(world: &World, user: &User, workspace: Uuid, body: Value) -> Answer {
    world.post(&format!("{}/restore", path(workspace)), user, body).await
}

/// The run that an answer names, once it has ended.
async fn carried(world: &World, user: &User, answer: &Answer) -> Answer {
    let run = answer.json["apply"]["provisioning_run_id"].as_str().unwrap();
    world.ended(user, &format!("/v1/provisioning-runs/{run}")).await
}

async fn ids(world: &World, user: &User, list: &str) -> Vec<Value> {
    world.get(list, user).await.json.as_array().unwrap().iter().map(|w| w["id"].clone()).collect()
}

#[tokio::test]
async fn a_deleted_workspace_is_its_administrators_only_and_comes_back_as_it_was() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let account = world.account(&ada).await;
    let workspace = world.workspace(&ada, account, "Sales").await;
    world.grant(Scope::Workspace, workspace, bob.principal, Role::Viewer).await;
    let before = world.get(&path(workspace), &ada).await;
    assert!(before.json["allowed_actions"].as_array().unwrap().contains(&json!("delete")));
    let answer = delete(&world, &ada, workspace, Some(before.header("etag"))).await;
    assert_eq!((answer.status.as_u16(), &answer.json["status"]), (200, &json!("deleted")), "{}", answer.text());
    assert_eq!((&answer.json["freezes"][0]["source"], &answer.json["freezes"][0]["mode"]), (&json!("deletion"), &json!("blocked")));
    assert!(answer.json["purge_at"].as_str().unwrap() > answer.json["deleted_at"].as_str().unwrap());
    assert_eq!(carried(&world, &ada, &answer).await.json["outcome"], "succeeded");

    let shown = world.get(&path(workspace), &ada).await;
    assert_eq!((&shown.json["status"], &shown.json["purge_at"]), (&json!("deleted"), &answer.json["purge_at"]));
    assert_eq!(shown.json["allowed_actions"], json!(["read", "audit", "restore"]));
    let by_account = format!("/v1/workspaces/by-account/{account}");
    for list in ["/v1/workspaces", by_account.as_str()] {
        assert!(ids(&world, &ada, list).await.is_empty(), "{list}");
    }
    assert_eq!(ids(&world, &ada, &format!("{by_account}?status=deleted")).await, [json!(workspace)]);
    assert_eq!(world.get("/v1/workspaces?status=deleted", &ada).await.pointers(), ["?status"]);
    world.grant(Scope::Account, account, bob.principal, Role::Member).await;
    assert!(ids(&world, &bob, &format!("{by_account}?status=deleted")).await.is_empty(), "a viewer administers nothing");
    let named = world.get(&format!("/v1/accounts/{account}/workspaces/by-name/sales"), &ada).await;
    assert_eq!((named.code(), &named.json["workspace_ids"]), ((409, "name_retired"), &json!([workspace])));
    let hidden = world.get(&format!("/v1/accounts/{account}/workspaces/by-name/sales"), &bob).await;
    assert_eq!(hidden.code(), (404, "not_found"));

    // Sent again, it changes nothing.
    let again = delete(&world, &ada, workspace, Some(before.header("etag"))).await;
    assert_eq!((again.status.as_u16(), &again.json["purge_at"]), (200, &answer.json["purge_at"]));

    let restored = restore(&world, &ada, workspace, json!({})).await;
    assert_eq!((restored.status.as_u16(), &restored.json["status"]), (200, &json!("active")), "{}", restored.text());
    assert_eq!(carried(&world, &ada, &restored).await.json["outcome"], "succeeded");
    let after = world.get(&path(workspace), &bob).await;
    assert_eq!((&after.json["status"], &after.json["slug"], &after.json["freezes"]), (&json!("active"), &json!("sales"), &json!([])));
    assert!(after.json.get("purge_at").is_none());
    assert_eq!(restore(&world, &ada, workspace, json!({})).await.code(), (409, "invalid_transition"));
    let audit = world.get(&format!("{}/audit", path(workspace)), &ada).await;
    let actions: Vec<_> = audit.json.as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!(actions.iter().filter(|a| **a == "workspace.delete").count(), 1);
    assert_eq!(actions.iter().filter(|a| **a == "workspace.restore").count(), 1);
}

#[tokio::test]
async fn a_deletion_says_what_it_is_about_and_why_it_cannot_be() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    world.platform.hold().await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    let workspace = created.id("workspace_id");
    let busy = delete(&world, &ada, workspace, Some("*")).await;
    assert_eq!((busy.code(), &busy.json["run_url"]), ((409, "run_in_progress"), &json!(created.location())));
    assert_eq!(busy.json["cancel_url"], json!(format!("{}/cancel", created.location())));
    world.platform.release();
    world.ended(&ada, &created.location()).await;

    assert_eq!(delete(&world, &ada, workspace, None).await.code(), (428, "precondition_required"));
    for stale in ["\"0\"", "W/\"1\"", "\"x\""] {
        assert_eq!(delete(&world, &ada, workspace, Some(stale)).await.code(), (412, "precondition_failed"));
    }
    assert_eq!(delete(&world, &ada, workspace, Some("1")).await.pointers(), ["If-Match"]);
    let protect = |on: bool| {
        let body = json!({"termination_protection": on}).to_string();
        Call::new("PATCH", &path(workspace)).user(&ada).header("content-type", "application/json").body(body)
    };
    assert_eq!(world.send(protect(true)).await.status, 200);
    assert_eq!(delete(&world, &ada, workspace, Some("*")).await.code(), (409, "termination_protected"));
    assert!(!world.get(&path(workspace), &ada).await.json["allowed_actions"].as_array().unwrap().contains(&json!("delete")));
    assert_eq!(world.send(protect(false)).await.status, 200);
    assert_eq!(delete(&world, &ada, workspace, Some("*")).await.status, 200);
    let shut = world.send(protect(true)).await;
    assert_eq!((shut.code(), &shut.json["freezes"][0]["source"]), ((423, "workspace_frozen"), &json!("deletion")));
}

#[tokio::test]
async fn a_slug_that_was_given_away_is_named_and_another_can_be_chosen() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let first = world.workspace(&ada, account, "Sales").await;
    delete(&world, &ada, first, Some("*")).await;
    let second = world.workspace(&ada, account, "Sales").await;
    assert_eq!(world.get(&path(second), &ada).await.json["slug"], "sales", "it was free at once");
    let taken = restore(&world, &ada, first, json!({})).await;
    assert_eq!((taken.code(), &taken.json["slug"]), ((409, "slug_taken"), &json!("sales")));
    assert_eq!(restore(&world, &ada, first, json!({"slug": "-x"})).await.pointers(), ["/slug"]);
    assert_eq!(restore(&world, &ada, first, json!({"name": "x"})).await.pointers(), ["/name"]);
    let call = || Call::post(&format!("{}/restore", path(first)), &json!({"slug": "old-sales"})).user(&ada).header("idempotency-key", "k");
    let restored = world.send(call()).await;
    assert_eq!((restored.status.as_u16(), &restored.json["slug"]), (200, &json!("old-sales")));
    let replayed = world.send(call()).await;
    assert_eq!((replayed.header("idempotency-replayed"), &replayed.json), ("true", &restored.json));
}

#[tokio::test]
async fn a_failed_workspace_is_deleted_and_restored_on_its_account() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let account = world.account(&ada).await;
    world.grant(Scope::Account, account, bob.principal, Role::Member).await;
    world.platform.hold().await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    world.held(&ada, &created.location()).await;
    world.post(&format!("{}/cancel", created.location()), &ada, json!({})).await;
    world.ended(&ada, &created.location()).await;
    world.platform.release();
    let workspace = created.id("workspace_id");
    assert_eq!(delete(&world, &bob, workspace, Some("*")).await.code(), (404, "not_found"));
    assert_eq!(delete(&world, &ada, workspace, Some("*")).await.json["status"], "deleted");
    assert_eq!(world.get(&path(workspace), &ada).await.json["status"], "deleted");
    let retry = world.post(&format!("{}/retry", created.location()), &ada, json!({})).await;
    assert_eq!(retry.code(), (423, "workspace_frozen"));
    assert_eq!(restore(&world, &ada, workspace, json!({})).await.json["status"], "failed");
}

#[tokio::test]
async fn what_is_purged_is_gone_but_for_its_runs_and_its_audit_log() {
    let world = World::with(Wish { purge_after: Duration::ZERO, workspaces_max: 1, ..Wish::default() }).await;
    let (ada, bob, olga) = (world.user("ada").await, world.user("bob").await, world.user("olga").await);
    world.relate(Object::platform(), "operator", olga.principal).await;
    let account = world.account(&ada).await;
    let workspace = world.workspace(&ada, account, "Sales").await;
    world.grant(Scope::Workspace, workspace, bob.principal, Role::Owner).await;
    let answer = delete(&world, &ada, workspace, Some("*")).await;
    carried(&world, &ada, &answer).await;
    let body = json!({"account_id": account, "name": "Next", "region": "local"});
    assert_eq!(world.post("/v1/workspaces", &ada, body.clone()).await.code(), (409, "quota_exceeded"), "the quota is held");
    let done = start_purges(&world.berth).await.unwrap();
    assert!(done.trouble.is_empty(), "{done:?}");
    let purging = world.get(&path(workspace), &ada).await;
    let run = format!("/v1/provisioning-runs/{}", purging.json["run"]["id"].as_str().unwrap());
    let audit = format!("{}/audit", path(workspace));
    let ended = world.ended(&olga, &run).await;
    assert_eq!((&ended.json["saga"], &ended.json["outcome"]), (&json!("purge-workspace"), &json!("succeeded")));

    for user in [&ada, &bob, &olga] {
        assert_eq!(world.get(&path(workspace), user).await.code(), (404, "not_found"));
        assert_eq!(restore(&world, user, workspace, json!({})).await.code(), (404, "not_found"));
        assert_eq!(delete(&world, user, workspace, Some("*")).await.code(), (404, "not_found"));
    }
    assert!(ids(&world, &ada, &format!("/v1/workspaces/by-account/{account}?status=deleted")).await.is_empty());
    assert_eq!(world.get(&format!("/v1/accounts/{account}/workspaces/by-name/sales"), &ada).await.code(), (404, "not_found"));
    for kept in [run.as_str(), audit.as_str(), &format!("/v1/provisioning-runs?workspace_id={workspace}")] {
        assert_eq!(world.get(kept, &ada).await.status, 200, "{kept}");
        assert_eq!(world.get(kept, &bob).await.code(), (404, "not_found"), "{kept}: it was his, and is the account's now");
    }
    let entries = world.get(&audit, &ada).await;
    let purge = entries.json.as_array().unwrap().iter().find(|e| e["action"] == "workspace.purge").unwrap();
    assert_eq!((&purge["actor"], &purge["run_id"]), (&Value::Null, &ended.json["id"]));
    assert_eq!(world.post("/v1/workspaces", &ada, body).await.status, 202, "and the quota is free");
}
