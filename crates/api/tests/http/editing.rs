//! Changing a workspace, and finding it by name.

use domain::model::{Role, Scope};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Answer, Call, User, World};

async fn patch(world: &World, user: &User, workspace: Uuid, body: &Value, if_match: Option<&str>) -> Answer {
    let mut call = Call::new("PATCH", &format!("/v1/workspaces/{workspace}")).user(user);
    call = call.header("content-type", "application/json").body(body.to_string());
    if let Some(tag) = if_match {
        call = call.header("if-match", tag);
    }
    world.send(call).await
}

async fn named(world: &World, user: &User, account: Uuid, name: &str) -> Answer {
    world.get(&format!("/v1/accounts/{account}/workspaces/by-name/{name}"), user).await
}

#[tokio::test]
async fn a_change_is_shown_tagged_and_audited() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let workspace = world.workspace(&ada, account, "Sales").await;
    let path = format!("/v1/workspaces/{workspace}");
    let before = world.get(&path, &ada).await;
    assert!(before.json["allowed_actions"].as_array().unwrap().contains(&json!("update")));
    let first = patch(&world, &ada, workspace, &json!({"labels": {"a": "1", "b": "2"}, "termination_protection": true}), None).await;
    assert_eq!((first.status.as_u16(), &first.json["labels"]), (200, &json!({"a": "1", "b": "2"})), "{}", first.text());
    let tag = first.header("etag").to_owned();
    assert_ne!(tag, before.header("etag"));

    let body = json!({"name": " Sales EMEA ", "labels": {"a": null, "c": "3"}});
    let second = patch(&world, &ada, workspace, &body, Some(&tag)).await;
    assert_eq!((&second.json["name"], &second.json["slug"]), (&json!("Sales EMEA"), &json!("sales")));
    assert_eq!((&second.json["labels"], &second.json["termination_protection"]), (&json!({"b": "2", "c": "3"}), &json!(true)));
    let read = world.get(&path, &ada).await;
    assert_eq!((&read.json, read.header("etag")), (&second.json, second.header("etag")));
    let same = patch(&world, &ada, workspace, &body, Some("*")).await;
    assert_eq!((same.status.as_u16(), same.header("etag")), (200, second.header("etag")), "nothing changed, nothing moves");

    let audit = world.get(&format!("{path}/audit"), &ada).await;
    let updates: Vec<_> = audit.json.as_array().unwrap().iter().filter(|e| e["action"] == "workspace.update").collect();
    assert_eq!(updates.len(), 2, "what changes nothing leaves no entry");
    assert_eq!(updates[0]["before"], json!({"name": "Sales", "labels": {"a": "1", "b": "2"}}));
    assert_eq!(updates[0]["after"], json!({"name": "Sales EMEA", "labels": {"b": "2", "c": "3"}}));
    assert_eq!(updates[0]["actor"]["id"], json!(ada.principal.id));
}

#[tokio::test]
async fn a_change_of_another_revision_is_refused() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let workspace = world.workspace(&ada, account, "Sales").await;
    let tag = world.get(&format!("/v1/workspaces/{workspace}"), &ada).await.header("etag").to_owned();
    let body = |n: u32| json!({"labels": {"n": n.to_string()}});
    assert_eq!(patch(&world, &ada, workspace, &body(1), Some(&format!("\"0\", {tag}"))).await.status, 200);
    for stale in [tag.as_str(), "W/\"3\"", "\"x\""] {
        let refused = patch(&world, &ada, workspace, &body(2), Some(stale)).await;
        assert_eq!(refused.code(), (412, "precondition_failed"), "{stale}");
        assert_eq!(patch(&world, &ada, workspace, &body(1), Some(refused.header("etag"))).await.status, 200, "the tag of now is told");
    }
    for malformed in ["7", "\"7", "*, \"7\""] {
        let refused = patch(&world, &ada, workspace, &body(2), Some(malformed)).await;
        assert_eq!((refused.code(), refused.pointers()), ((400, "invalid_request"), vec!["If-Match"]), "{malformed}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_change_is_told() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let workspace = world.workspace(&ada, account, "Sales").await;
    let many: Value = (0..65).map(|n| (format!("k{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
    for (body, code, pointers) in [
        (json!({}), (400, "invalid_request"), vec![""]),
        (
            json!({"name": null, "slug": "x", "labels": [], "termination_protection": 1}),
            (400, "invalid_request"),
            vec!["/name", "/labels", "/termination_protection", "/slug"],
        ),
        (json!({"labels": {"a": 1}}), (400, "invalid_request"), vec!["/labels/a"]),
        (json!({"name": " ", "labels": {"A": "x"}}), (422, "invalid_values"), vec!["/name", "/labels/A"]),
        (json!({"labels": many}), (422, "invalid_values"), vec!["/labels"]),
    ] {
        let refused = patch(&world, &ada, workspace, &body, None).await;
        assert_eq!((refused.code(), refused.pointers()), (code, pointers), "{body}");
    }
}

#[tokio::test]
async fn a_name_leads_to_its_workspace_and_never_to_another() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let sales = world.workspace(&ada, account, "Sales / Größe").await;
    let found = named(&world, &ada, account, "%20SALES%20%2F%20%20gr%C3%B6%C3%9Fe").await;
    assert_eq!((found.status.as_u16(), &found.json["id"]), (200, &json!(sales)), "{}", found.text());
    assert_eq!(found.json, world.get(&format!("/v1/workspaces/{sales}"), &ada).await.json);
    assert_eq!(named(&world, &ada, account, "nothing").await.code(), (404, "not_found"));
    assert_eq!(named(&world, &ada, Uuid::new_v4(), "sales").await.code(), (404, "not_found"));
    assert_eq!(named(&world, &ada, account, "%00").await.pointers(), ["{name}"]);
    assert_eq!(named(&world, &ada, account, "%ff").await.code(), (400, "invalid_request"));

    // Renamed: the old name is retired, even if another takes it.
    patch(&world, &ada, sales, &json!({"name": "Ops"}), None).await;
    assert_eq!(named(&world, &ada, account, "ops").await.json["id"], json!(sales));
    let old = "Sales%20%2F%20Gr%C3%B6%C3%9Fe";
    let retired = named(&world, &ada, account, old).await;
    assert_eq!((retired.code(), &retired.json["workspace_ids"]), ((409, "name_retired"), &json!([sales])));
    let second = world.workspace(&ada, account, "Sales / Größe").await;
    let retired = named(&world, &ada, account, old).await;
    assert_eq!((retired.code(), &retired.json["workspace_ids"]), ((409, "name_retired"), &json!([sales, second])));
    // And back again.
    patch(&world, &ada, sales, &json!({"name": "Sales / Größe"}), None).await;
    let both = named(&world, &ada, account, old).await;
    assert_eq!((both.code(), &both.json["workspace_ids"]), ((409, "name_ambiguous"), &json!([sales, second])));
    patch(&world, &ada, second, &json!({"name": "Else"}), None).await;
    assert_eq!(named(&world, &ada, account, old).await.json["id"], json!(sales));
}

#[tokio::test]
async fn a_name_tells_nobody_of_workspaces_that_he_may_not_read() {
    let world = World::new().await;
    let (ada, bob, eve) = (world.user("ada").await, world.user("bob").await, world.user("eve").await);
    let account = world.account(&ada).await;
    let first = world.workspace(&ada, account, "Sales").await;
    world.grant(Scope::Workspace, first, bob.principal, Role::Viewer).await;
    assert_eq!(named(&world, &bob, account, "sales").await.json["id"], json!(first), "no right on the account is needed");
    assert_eq!(named(&world, &eve, account, "sales").await.code(), (404, "not_found"));
    let second = world.workspace(&ada, account, "Sales").await;
    assert_eq!(named(&world, &ada, account, "sales").await.json["workspace_ids"], json!([first, second]));
    assert_eq!(named(&world, &bob, account, "sales").await.json["workspace_ids"], json!([first]));
    let hidden = named(&world, &eve, account, "sales").await;
    let absent = named(&world, &eve, account, "nothing").await;
    assert_eq!((hidden.code(), &hidden.json["detail"]), (absent.code(), &absent.json["detail"]));
}
