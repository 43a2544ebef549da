//! Freezing and unfreezing over HTTP: what is shut, for whom, how it is told, and what it does to runs.

use std::time::Duration;

use domain::model::{Role, Scope};
use domain::permissions::Object;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::authorization::{CALLERS, Cast};
use crate::world::{Answer, Call, User, World};

const SOURCES: [&str; 4] = ["billing", "platform", "security", "legal"];

fn patch(workspace: Uuid, user: &User, body: &Value) -> Call {
    let path = format!("/v1/workspaces/{workspace}/status");
    Call::new("PATCH", &path).header("content-type", "application/json").body(body.to_string()).user(user)
}

impl World {
    async fn status(&self, workspace: Uuid, user: &User, body: Value) -> Answer {
        self.send(patch(workspace, user, &body)).await
    }

    async fn operator(&self) -> User {
        let operator = self.user("operator").await;
        self.relate(Object::platform(), "operator", operator.principal).await;
        operator
    }
}

fn freeze() -> Value {
    json!({"status": "frozen", "reason": {"code": "incident_7", "note": "Being looked into"}})
}

fn freeze_of(source: &str, mode: &str) -> Value {
    json!({"status": "frozen", "source": source, "mode": mode, "reason": {"code": "why"}})
}

#[tokio::test]
async fn a_freeze_is_shown_carried_on_and_lifted() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let workspace = world.workspace(&ada, account, "Sales").await;
    let path = format!("/v1/workspaces/{workspace}");
    let before = world.get(&path, &ada).await;
    let offered = |answer: &Answer| {
        let actions = answer.json["allowed_actions"].as_array().unwrap();
        actions.iter().filter_map(Value::as_str).filter(|a| a.ends_with("freeze")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(offered(&before), "freeze");
    let answer = world.status(workspace, &ada, freeze()).await;
    assert_eq!((answer.status.as_u16(), &answer.json["status"]), (200, &json!("frozen")), "{}", answer.text());
    assert_eq!((&answer.json["revision"], &answer.json["workspace_id"]), (&json!(1), &json!(workspace)));
    let frozen = &answer.json["freezes"][0];
    assert_eq!((&frozen["source"], &frozen["mode"]), (&json!("account_admin"), &json!("read_only")));
    assert_eq!(frozen["reason"], json!({"code": "incident_7", "note": "Being looked into"}));
    assert_eq!(frozen["created_by"], json!({"type": "user", "id": ada.principal.id}));
    let children = answer.json["apply"]["children"].as_array().unwrap();
    let kinds: Vec<_> = children.iter().map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["backend_workspace", "backend_workspace", "backend_workspace", "tokens"]);

    let run = format!("/v1/provisioning-runs/{}", answer.json["apply"]["provisioning_run_id"].as_str().unwrap());
    let applied = world.ended(&ada, &run).await;
    assert_eq!((&applied.json["outcome"], &applied.json["saga"]), (&json!("succeeded"), &json!("apply-freezes")));
    let again = world.status(workspace, &ada, freeze()).await;
    assert_eq!((&again.json["revision"], &again.json["applied_revision"]), (&json!(1), &json!(1)), "identical: nothing changes");
    assert!(again.json["apply"]["children"].as_array().unwrap().iter().all(|c| c["state"] == "applied"), "{}", again.text());

    let shown = world.get(&path, &ada).await;
    assert_eq!((&shown.json["status"], &shown.json["freezes"]), (&json!("frozen"), &json!([frozen])));
    assert_eq!(offered(&shown), "freeze unfreeze");
    assert_eq!(shown.header("etag"), answer.header("etag"));
    assert_ne!(shown.header("etag"), before.header("etag"));
    assert_eq!(world.get("/v1/workspaces?status=frozen", &ada).await.json[0]["status"], "frozen");
    assert_eq!(world.get("/v1/workspaces?status=active", &ada).await.json, json!([]));

    let lifted = world.status(workspace, &ada, json!({"status": "active"})).await;
    assert_eq!((&lifted.json["status"], &lifted.json["freezes"], &lifted.json["revision"]), (&json!("active"), &json!([]), &json!(2)));
    assert_eq!(world.get(&path, &ada).await.json["status"], "active");
    let actions: Vec<_> = world.chain(account).await.into_iter().map(|e| e.action).filter(|a| a.starts_with("workspace.")).collect();
    assert_eq!(actions, ["workspace.create", "workspace.freeze", "workspace.unfreeze"]);
}

#[tokio::test]
async fn each_source_takes_its_right() {
    let cast = Cast::new().await;
    let (rows, all): (Vec<&str>, _) = (["account_admin"].into_iter().chain(SOURCES).collect(), CALLERS.iter().enumerate());
    for (column, caller) in all {
        // As the table says of the account admin's own freeze.
        let own = cast.world.send(cast.call(column, "PATCH", "/v1/workspaces/{workspace}/status")).await.status.as_u16();
        for source in &rows {
            for body in [json!({"status": "active", "sources": [source]}), freeze_of(source, "read_only")] {
                let mut call = cast.call(column, "PATCH", "/v1/workspaces/{workspace}/status");
                call.body = body.to_string().into();
                let found = cast.world.send(call).await.status.as_u16();
                let expected = if own == 200 && *source != "account_admin" && *caller != "operator" { 403 } else { own };
                assert_eq!(found, expected, "{body} as {caller}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_blocked_answers_to_its_administrators_only() {
    let world = World::new().await;
    let (ada, bob, operator) = (world.user("ada").await, world.user("bob").await, world.operator().await);
    let account = world.account(&ada).await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    world.ended(&ada, &created.location()).await;
    let workspace = created.id("workspace_id");
    world.grant(Scope::Workspace, workspace, bob.principal, Role::Member).await;
    assert_eq!(world.status(workspace, &operator, freeze_of("security", "blocked")).await.status, 200);
    let base = format!("/v1/workspaces/{workspace}");
    let runs = format!("/v1/provisioning-runs?workspace_id={workspace}");
    for path in [base.clone(), created.location(), runs, format!("{base}/audit")] {
        assert_eq!(world.get(&path, &ada).await.status, 200, "{path}");
        let refused = world.get(&path, &bob).await;
        assert_eq!(refused.code(), (423, "workspace_frozen"), "{path}");
        assert_eq!(refused.json["freezes"][0]["source"], "security");
    }
    for path in [format!("{base}/environments"), format!("{base}/vault")] {
        for user in [&ada, &bob, &operator] {
            assert_eq!(world.get(&path, user).await.code(), (423, "workspace_frozen"), "{path}");
        }
    }
    assert_eq!(world.get("/v1/workspaces", &bob).await.json[0]["status"], "frozen", "lists show it");
    assert_eq!(world.status(workspace, &ada, json!({"status": "active"})).await.json["status"], "frozen", "not hers to lift");
    let lifted = world.status(workspace, &operator, json!({"status": "active", "sources": ["security"]})).await;
    assert_eq!(lifted.json["status"], "active");
    assert_eq!(world.get(&base, &bob).await.status, 200);
}

#[tokio::test]
async fn a_condition_is_held() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let workspace = world.workspace(&ada, account, "Sales").await;
    let tag = world.get(&format!("/v1/workspaces/{workspace}"), &ada).await.header("etag").to_owned();
    for stale in ["\"999\"", "W/\"1\"", "\"x\""] {
        let refused = world.send(patch(workspace, &ada, &freeze()).header("if-match", stale)).await;
        assert_eq!((refused.code(), refused.header("etag")), ((412, "precondition_failed"), tag.as_str()), "{stale}");
    }
    assert_eq!(world.send(patch(workspace, &ada, &freeze()).header("if-match", &tag)).await.status, 200);
    assert_eq!(world.send(patch(workspace, &ada, &json!({"status": "active"})).header("if-match", &tag)).await.status, 412);
    assert_eq!(world.send(patch(workspace, &ada, &json!({"status": "active"})).header("if-match", "*")).await.status, 200);
}

#[tokio::test]
async fn what_is_wrong_is_told_where_it_stands() {
    let world = World::new().await;
    let (ada, operator) = (world.user("ada").await, world.operator().await);
    let account = world.account(&ada).await;
    let workspace = world.workspace(&ada, account, "Sales").await;
    for (body, status, pointers) in [
        (json!({}), 400, vec!["/status"]),
        (json!({"status": "deleted"}), 400, vec!["/status"]),
        (json!({"status": "frozen", "source": "deletion", "reason": {"code": "x"}}), 400, vec!["/source"]),
        (json!({"status": "frozen", "reason": {"note": 1, "more": 2}}), 400, vec!["/reason/code", "/reason/note", "/reason/more"]),
        (json!({"status": "active", "sources": ["legal", "deletion"]}), 400, vec!["/sources/1"]),
        (json!({"status": "frozen", "expires_at": "tomorrow", "mode": "shut"}), 400, vec!["/mode", "/expires_at"]),
        (json!({"status": "frozen"}), 422, vec!["/reason"]),
        (json!({"status": "frozen", "reason": {"code": "Not this"}, "sources": ["legal"]}), 422, vec!["/sources", "/reason/code"]),
        (json!({"status": "active", "mode": "blocked", "reason": {"code": "x"}}), 422, vec!["/mode", "/reason"]),
        (json!({"status": "active", "sources": []}), 422, vec!["/sources"]),
        (json!({"status": "frozen", "reason": {"code": "x"}, "expires_at": "2020-01-01T00:00:00Z"}), 422, vec!["/expires_at"]),
        (json!({"status": "frozen", "reason": {"code": "x"}, "expires_at": "2999-01-01T00:00:00Z"}), 422, vec!["/expires_at"]),
    ] {
        let answer = world.status(workspace, &operator, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.pointers()), (status, pointers), "{body}");
    }
}

#[tokio::test]
async fn a_run_parks_while_its_workspace_is_frozen_and_goes_on_afterwards() {
    let world = World::new().await;
    let (ada, operator) = (world.user("ada").await, world.operator().await);
    let account = world.account(&ada).await;
    world.platform.hold().await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    let (workspace, run) = (created.id("workspace_id"), created.location());
    world.held(&ada, &run).await;
    let frozen = world.status(workspace, &ada, freeze()).await;
    assert_eq!((&frozen.json["status"], frozen.json["freezes"].as_array().unwrap().len()), (&json!("provisioning"), 1));
    world.platform.release();
    let parked = world.until(&ada, &run, |run| run["state"] == "waiting").await;
    assert_eq!(parked.json["waiting_for"], "unfreeze", "{}", parked.text());
    for (user, body) in [
        (&operator, freeze_of("legal", "blocked")),
        (&ada, json!({"status": "active"})),
        (&ada, freeze()),
        (&operator, json!({"status": "active", "sources": ["legal", "account_admin"]})),
    ] {
        assert_eq!(world.status(workspace, user, body).await.status, 200);
    }
    assert_eq!(world.ended(&ada, &run).await.json["outcome"], "succeeded", "as the last one says");
    assert_eq!(world.get(&format!("/v1/workspaces/{workspace}"), &ada).await.json["status"], "active");
}

#[tokio::test]
async fn compensation_goes_on_under_a_freeze_and_what_failed_under_it_is_not_retried() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    world.platform.hold().await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    let (workspace, run) = (created.id("workspace_id"), created.location());
    world.held(&ada, &run).await;
    assert_eq!(world.status(workspace, &ada, freeze()).await.status, 200);
    assert_eq!(world.post(&format!("{run}/cancel"), &ada, json!({})).await.status, 202, "leaving is allowed");
    assert_eq!(world.ended(&ada, &run).await.json["outcome"], "cancelled");
    world.platform.release();
    let refused = world.post(&format!("{run}/retry"), &ada, json!({})).await;
    assert_eq!(refused.code(), (423, "workspace_frozen"));
    assert_eq!(refused.json["freezes"][0]["reason"]["code"], "incident_7");
    let again = world.status(workspace, &ada, freeze_of("account_admin", "blocked")).await;
    assert_eq!(again.code(), (409, "invalid_transition"));
    assert_eq!(again.json["allowed"][0], "unfreeze (account_admin, billing, platform, security, legal)");
    assert_eq!(world.status(workspace, &ada, json!({"status": "active"})).await.json["status"], "failed");
    let retried = world.post(&format!("{run}/retry"), &ada, json!({})).await;
    assert_eq!(retried.status, 202, "{}", retried.text());
    assert_eq!(world.ended(&ada, &retried.location()).await.json["outcome"], "succeeded");
}

#[tokio::test]
async fn what_expires_is_over_at_once_and_is_cleared_away() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let workspace = world.workspace(&ada, account, "Sales").await;
    let path = format!("/v1/workspaces/{workspace}");
    let expires_at = world.berth.health.now().await.unwrap() + Duration::from_hours(1);
    let body = json!({"status": "frozen", "mode": "blocked", "reason": {"code": "x"}, "expires_at": expires_at});
    let answer = world.status(workspace, &ada, body).await;
    assert_eq!(answer.json["freezes"][0]["expires_at"], json!(expires_at), "{}", answer.text());
    assert_eq!(world.get(&format!("{path}/environments"), &ada).await.status, 423);
    world.test.db.advance(Duration::from_hours(1));
    assert_eq!(world.get(&format!("{path}/environments"), &ada).await.status, 200);
    let over = world.get(&path, &ada).await;
    assert_eq!((&over.json["status"], &over.json["freezes"]), (&json!("active"), &json!([])));
    let done = domain::housekeeping::expire_freezes(&world.berth).await.unwrap();
    assert!(done.trouble.is_empty() && done.next.is_none());
    let entry = world.chain(account).await.into_iter().rfind(|e| e.action == "workspace.freeze_expired").unwrap();
    assert_eq!((entry.actor, entry.workspace_id), (None, Some(workspace)));
    let run = format!("/v1/provisioning-runs/{}", entry.run_id.unwrap());
    assert_eq!(world.ended(&ada, &run).await.json["outcome"], "succeeded");
    assert_eq!(domain::housekeeping::expire_freezes(&world.berth).await.unwrap().next, None);
}
