//! Tokens of one workspace: by id and by name, where they are good, and when they end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::scope::{ALLOWED, Named};
use domain::model::{Role, Scope};
use domain::permissions::Object;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Answer, CONTRACT, Call, User, Wish, World};

fn holder(of: &User, answer: &Answer) -> User {
    assert_eq!(answer.status, 201, "{}", answer.text());
    User { principal: of.principal, token: answer.json["access_token"].as_str().unwrap().to_owned() }
}

/// `of` with a token for this workspace only.
async fn bound(world: &World, of: &User, workspace: Uuid) -> User {
    holder(of, &world.post(&format!("/v1/workspaces/{workspace}/tokens"), of, json!({})).await)
}

async fn by_name(world: &World, user: &User, account: Uuid, name: &str) -> Answer {
    world.post(&format!("/v1/accounts/{account}/workspace-tokens"), user, json!({"name": name})).await
}

/// What paths name: of one workspace.
struct Things {
    account: Uuid,
    workspace: Uuid,
    run: String,
    export: String,
}

async fn things(world: &World, owner: &User, account: Uuid, name: &str) -> Things {
    let created = world.create_workspace(owner, account, name).await;
    world.ended(owner, &created.location()).await;
    let workspace = created.id("workspace_id");
    let exported = world.get(&format!("/v1/workspaces/{workspace}/export"), owner).await;
    Things { account, workspace, run: created.id("provisioning_run_id").to_string(), export: exported.header("export-id").to_owned() }
}

/// The request of every operation, about these things.
fn calls(things: &Things) -> Vec<(String, Call)> {
    let of = |path: &str| {
        let id = match path {
            path if path.contains("provisioning-runs") => things.run.clone(),
            path if path.contains("accounts") || path.contains("pauses") => things.account.to_string(),
            path if path.contains("exports") => things.export.clone(),
            _ => things.workspace.to_string(),
        };
        let path = path.replace("{id}", &id).replace("{account_id}", &things.account.to_string()).replace("{kind}", "account");
        ["{principal_id}", "{service_account_id}", "{secret_id}", "{token_id}"]
            .iter()
            .fold(path, |path, name| path.replace(name, &things.account.to_string()))
            .replace("{name}", "Sales")
            .replace("{code}", "not_found")
    };
    let mut calls = Vec::new();
    for operation in CONTRACT.operations() {
        let mut path = of(&operation.path);
        if operation.id == "listProvisioningRuns" {
            path = format!("{path}?workspace_id={}", things.workspace);
        }
        let mut call = Call::new(&operation.method, &path);
        if ["POST", "PUT", "PATCH"].contains(&operation.method.as_str()) {
            let body = match operation.id.as_str() {
                "updateWorkspace" => json!({"labels": {"a": "1"}}),
                "changeWorkspaceStatus" => json!({"status": "active"}),
                _ => json!({}),
            };
            call = call.header("content-type", "application/json").body(body.to_string());
        }
        calls.push((operation.id.clone(), call));
    }
    calls
}

/// The holder owns both workspaces and operates the platform: nothing but the token stands in the way.
#[tokio::test]
async fn every_route_is_closed_to_it_but_those_of_the_table_about_its_own_workspace() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    world.relate(Object::platform(), "operator", ada.principal).await;
    let account = world.account(&ada).await;
    let (own, other) = (things(&world, &ada, account, "Sales").await, things(&world, &ada, account, "Other").await);
    let token = bound(&world, &ada, own.workspace).await;
    let public = ["getIndex", "getLiveness", "getReadiness", "getOpenApi", "getProblemPage", "issueToken", "listSigningKeys"];
    let named = |id: &str| ALLOWED.iter().find(|(allowed, _)| *allowed == id).map(|(_, named)| *named);
    for (id, call) in calls(&own) {
        let answer = world.send(call.user(&token)).await;
        match named(&id) {
            _ if public.contains(&id.as_str()) => assert_ne!(answer.json["code"], "token_scope", "{id}"),
            Some(_) => {
                let is_served = answer.status.is_success() || ["pillar_not_configured", "verb_conflict"].contains(&answer.code().1);
                assert!(is_served, "{id}: {}", answer.text());
            }
            None => assert_eq!(answer.code(), (403, "token_scope"), "{id}"),
        }
    }
    for (id, call) in calls(&other) {
        let answer = world.send(call.user(&token)).await;
        match named(&id) {
            _ if public.contains(&id.as_str()) => {}
            Some(Named::Nowhere) => assert_eq!(answer.status, 200, "{id}"),
            Some(Named::ByItsThing) => assert_eq!(answer.code(), (404, "not_found"), "{id}"),
            _ => assert_eq!(answer.code(), (403, "token_scope"), "{id}"),
        }
    }
    let operations = CONTRACT.operations();
    let unknown: Vec<_> = ALLOWED.iter().filter(|(id, _)| operations.iter().all(|o| o.id != *id)).collect();
    assert!(unknown.is_empty(), "in the table, and no operation: {unknown:?}");
}

#[tokio::test]
async fn another_workspace_is_refused_in_query_body_and_header_too() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let (own, other) = (world.workspace(&ada, account, "Sales").await, world.workspace(&ada, account, "Other").await);
    let token = bound(&world, &ada, own).await;
    let scope = (403, "token_scope");
    for query in
        ["", &format!("?workspace_id={other}"), &format!("?account_id={account}"), &format!("?workspace_id={own}&workspace_id={other}")]
    {
        assert_eq!(world.get(&format!("/v1/provisioning-runs{query}"), &token).await.code(), scope, "{query}");
    }
    assert_eq!(world.get(&format!("/v1/workspaces/{own}?workspace_id={other}"), &token).await.code(), scope);
    let patch = Call::new("PATCH", &format!("/v1/workspaces/{own}")).user(&token).header("content-type", "application/json");
    let answer = world.send(patch.body(json!({"workspace_id": other, "labels": {}}).to_string())).await;
    assert_eq!(answer.status, 400, "no body names a workspace: what is not known is refused");
    let behalf = Call::get(&format!("/v1/workspaces/{own}")).user(&token).header("berth-on-behalf-of", "ada");
    assert_eq!(world.send(behalf).await.code(), scope);
    assert_eq!(world.get(&format!("/v1/workspaces/{}", own.to_string().to_uppercase()), &token).await.status, 200, "the same id");
    // The document does not tell of what is below a pillar's path.
    for (workspace, status) in [(own, 404), (other, 403)] {
        let answer = world.raw(Call::new("PUT", &format!("/v1/workspaces/{workspace}/vault/keys/one")).user(&token)).await;
        assert_eq!(answer.status(), status);
    }
    let denied = world.chain(domain::ids::PLATFORM).await;
    assert!(denied.iter().any(|e| e.problem_type.as_deref() == Some("/problems/token_scope")), "it is in the log");
}

#[tokio::test]
async fn it_does_what_its_holder_may_and_tells_what_it_is() {
    let world = World::new().await;
    let (ada, vera) = (world.user("ada").await, world.user("vera").await);
    let account = world.account(&ada).await;
    let workspace = world.workspace(&ada, account, "Sales").await;
    world.grant(Scope::Workspace, workspace, vera.principal, Role::Viewer).await;
    let token = bound(&world, &vera, workspace).await;
    let own = world.get("/v1/tokens/self", &token).await;
    assert_eq!((&own.json["kind"], &own.json["workspace_id"]), (&json!("workspace"), &json!(workspace)));
    assert_eq!(own.json["principal"]["id"], json!(vera.principal.id));
    assert_eq!(world.get(&format!("/v1/workspaces/{workspace}"), &token).await.status, 200);
    let patch = Call::new("PATCH", &format!("/v1/workspaces/{workspace}")).user(&token).header("content-type", "application/json");
    assert_eq!(world.send(patch.body(json!({"labels": {"a": "1"}}).to_string())).await.code(), (403, "permission_denied"));
    assert_eq!(world.get("/v1/me", &token).await.json["platform_permissions"], json!([]));
    let minutes = i64::try_from(Duration::from_mins(21).as_micros()).unwrap();
    world.now.fetch_add(minutes, Ordering::SeqCst);
    assert_eq!(world.get("/v1/me", &token).await.code(), (401, "invalid_token"));
}

#[tokio::test]
async fn a_name_that_is_nobodys_makes_a_workspace_which_its_token_sees_at_once() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    world.platform.hold().await;
    let first = by_name(&world, &ada, account, "Sales Europe").await;
    let run = first.id("provisioning_run_id");
    let token = holder(&ada, &first);
    let path = format!("/v1/workspaces/{}", first.id("workspace_id"));
    assert_eq!(world.get(&path, &token).await.json["status"], "provisioning");
    assert_eq!(world.get(&format!("/v1/provisioning-runs/{run}"), &token).await.status, 200);
    let again = by_name(&world, &ada, account, "  sales EUROPE ").await;
    assert_eq!((&again.json["workspace_id"], &again.json["provisioning_run_id"]), (&first.json["workspace_id"], &json!(run)));
    world.platform.release();
    world.ended(&ada, &format!("/v1/provisioning-runs/{run}")).await;
    assert_eq!(world.get(&path, &token).await.json["status"], "active");
    assert_eq!(by_name(&world, &ada, account, "Sales Europe").await.json["provisioning_run_id"], Value::Null);
}

#[tokio::test]
async fn concurrent_first_requests_for_a_name_are_led_to_one_workspace() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let account = world.account(&ada).await;
    world.grant(Scope::Account, account, bob.principal, Role::Admin).await;
    let all = (0..20).map(|n| by_name(&world, if n % 2 == 0 { &ada } else { &bob }, account, "Sales"));
    let answers = futures::future::join_all(all).await;
    let made = answers[0].id("workspace_id");
    for answer in &answers {
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.id("workspace_id"), made);
    }
    assert_eq!(world.get(&format!("/v1/workspaces/by-account/{account}"), &ada).await.json.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_name_whose_workspace_failed_makes_another_and_one_that_is_retired_or_ambiguous_none() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    world.platform.hold().await;
    let first = by_name(&world, &ada, account, "Sales").await;
    let run = format!("/v1/provisioning-runs/{}", first.id("provisioning_run_id"));
    world.held(&ada, &run).await;
    assert_eq!(world.post(&format!("{run}/cancel"), &ada, json!({})).await.status, 202);
    world.platform.release();
    world.ended(&ada, &run).await;
    assert_eq!(world.get("/v1/me", &holder(&ada, &first)).await.code(), (401, "invalid_token"), "its tokens are gone with it");
    let second = by_name(&world, &ada, account, "Sales").await;
    assert_eq!(second.status, 201, "{}", second.text());
    assert_ne!(second.json["workspace_id"], first.json["workspace_id"]);
    let run = format!("/v1/provisioning-runs/{}", second.id("provisioning_run_id"));
    world.ended(&ada, &run).await;
    let workspace = format!("/v1/workspaces/{}", second.id("workspace_id"));
    let patch = Call::new("PATCH", &workspace).user(&ada).header("content-type", "application/json");
    assert_eq!(world.send(patch.body(json!({"name": "Renamed"}).to_string())).await.status, 200);
    assert_eq!(by_name(&world, &ada, account, "Sales").await.code(), (409, "name_retired"));
    world.workspace(&ada, account, "Twin").await;
    world.workspace(&ada, account, "Twin").await;
    assert_eq!(by_name(&world, &ada, account, "twin").await.code(), (409, "name_ambiguous"));
}

#[tokio::test]
async fn who_may_not_make_a_workspace_makes_none_by_its_name() {
    let world = World::new().await;
    let (ada, eve, max) = (world.user("ada").await, world.user("eve").await, world.user("max").await);
    let account = world.account(&ada).await;
    world.grant(Scope::Account, account, max.principal, Role::Member).await;
    assert_eq!(by_name(&world, &eve, account, "Sales").await.code(), (404, "not_found"));
    assert_eq!(by_name(&world, &max, account, "Sales").await.code(), (403, "permission_denied"));
    assert_eq!(by_name(&world, &ada, account, " ").await.code(), (422, "invalid_values"));
    let off = World::with(Wish { mint_creates: false, ..Wish::default() }).await;
    let ada = off.user("ada").await;
    let account = off.account(&ada).await;
    assert_eq!(by_name(&off, &ada, account, "Sales").await.code(), (404, "not_found"));
    assert_eq!(off.get("/v1/workspaces", &ada).await.json, json!([]));
}

#[tokio::test]
async fn the_accounts_default_region_is_one_that_there_is() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let path = format!("/v1/accounts/{account}/settings");
    let set = async |region: Value| {
        let call = Call::new("PATCH", &path).user(&ada).header("content-type", "application/json");
        world.send(call.body(json!({"default_region": region}).to_string())).await
    };
    assert_eq!(world.get(&path, &ada).await.json, json!({"default_region": null}));
    let wrong = set(json!("atlantis")).await;
    assert_eq!((wrong.code(), wrong.pointers()), ((422, "invalid_values"), vec!["/default_region"]));
    assert_eq!(set(json!("local")).await.json, json!({"default_region": "local"}));
    assert_eq!(world.get(&path, &ada).await.json, json!({"default_region": "local"}));
    assert_eq!(set(Value::Null).await.json, json!({"default_region": null}));
}

#[tokio::test]
async fn a_freeze_refuses_new_ones_and_rests_those_that_there_are_until_it_is_lifted() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let workspace = world.workspace(&ada, account, "Sales").await;
    let token = bound(&world, &ada, workspace).await;
    let path = format!("/v1/workspaces/{workspace}");
    let status = async |body: Value| {
        let call = Call::new("PATCH", &format!("{path}/status")).user(&ada).header("content-type", "application/json");
        let answer = world.send(call.body(body.to_string())).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let run = answer.json["apply"]["provisioning_run_id"].as_str().unwrap();
        world.ended(&ada, &format!("/v1/provisioning-runs/{run}")).await;
    };
    status(json!({"status": "frozen", "reason": {"code": "why"}})).await;
    assert_eq!(world.post(&format!("{path}/tokens"), &ada, json!({})).await.code(), (423, "workspace_frozen"));
    assert_eq!(by_name(&world, &ada, account, "Sales").await.code(), (423, "workspace_frozen"));
    assert_eq!(world.get(&path, &token).await.code(), (401, "invalid_token"));
    status(json!({"status": "active"})).await;
    assert_eq!(world.get(&path, &token).await.status, 200);
}

#[tokio::test]
async fn the_tokens_of_a_deleted_workspace_are_dead_at_once() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let workspace = world.workspace(&ada, account, "Sales").await;
    let token = bound(&world, &ada, workspace).await;
    let path = format!("/v1/workspaces/{workspace}");
    assert_eq!(world.send(Call::new("DELETE", &path).user(&ada).header("if-match", "*")).await.status, 200);
    assert_eq!(world.get(&path, &token).await.code(), (401, "invalid_token"));
    assert_eq!(world.post(&format!("{path}/tokens"), &ada, json!({})).await.status, 423);
    let told = world.chain(domain::ids::PLATFORM).await;
    assert!(told.iter().any(|e| e.action == "token.use" && e.outcome == "denied"), "the use of a dead one is in the log");
}
