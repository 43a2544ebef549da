//! The workspace that a new account comes with.

use domain::berth::DefaultWorkspace;
use domain::names::Name;
use serde_json::json;

use crate::world::{Call, Wish, World};

async fn with_default(name: &str, workspaces_max: i64) -> World {
    let name = Name::parse("", name).unwrap();
    World::with(Wish { default_workspace: Some(DefaultWorkspace { name, region: "local".to_owned() }), workspaces_max, ..Wish::default() })
        .await
}

#[tokio::test]
async fn it_is_there_with_the_account_under_its_name_whatever_the_case_and_is_the_creators() {
    let world = with_default("Default", 1000).await;
    let (ada, eve) = (world.user("ada").await, world.user("eve").await);
    let accepted = world.post("/v1/accounts", &ada, json!({"name": "Acme"})).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let account = accepted.id("account_id");
    assert_eq!(world.ended(&ada, &accepted.location()).await.json["outcome"], "succeeded");
    let named = |name: &str| format!("/v1/accounts/{account}/workspaces/by-name/{name}");
    let found = world.get(&named("default"), &ada).await;
    assert_eq!((found.status.as_u16(), &found.json["name"]), (200, &json!("Default")), "{}", found.text());
    let log = world.chain(account).await;
    let entry = log.iter().find(|entry| entry.action == "workspace.create").unwrap();
    assert_eq!(entry.workspace_id, Some(found.id("id")));
    let run = format!("/v1/provisioning-runs/{}", entry.run_id.unwrap());
    assert_eq!(world.ended(&ada, &run).await.json["outcome"], "succeeded");
    for name in ["DEFAULT", "default", "%20DeFault"] {
        let again = world.get(&named(name), &ada).await;
        assert_eq!((again.status.as_u16(), &again.json["id"], &again.json["status"]), (200, &found.json["id"], &json!("active")), "{name}");
    }
    assert_eq!(world.get(&named("default"), &eve).await.code(), (404, "not_found"));

    // Its name stays its own when it gets another one: nobody is given a new, empty workspace for it.
    let patch = Call::new("PATCH", &format!("/v1/workspaces/{}", found.id("id"))).user(&ada).header("content-type", "application/json");
    let renamed = world.send(patch.body(json!({"name": "Main"}).to_string())).await;
    assert_eq!(renamed.status, 200, "{}", renamed.text());
    assert_eq!(world.get(&named("default"), &ada).await.code(), (409, "name_retired"));
    let minted = world.post(&format!("/v1/accounts/{account}/workspace-tokens"), &ada, json!({"name": "default"})).await;
    assert_eq!((minted.code(), &minted.json["workspace_ids"]), ((409, "name_retired"), &json!([found.id("id")])));
    assert_eq!(world.get(&named("main"), &ada).await.json["id"], found.json["id"]);
}

#[tokio::test]
async fn an_account_that_may_hold_none_comes_without() {
    let world = with_default("default", 0).await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    assert_eq!(world.get(&format!("/v1/accounts/{account}"), &ada).await.json["status"], "active");
    assert_eq!(world.get(&format!("/v1/accounts/{account}/workspaces/by-name/default"), &ada).await.code(), (404, "not_found"));
}

#[tokio::test]
async fn without_the_setting_there_is_none() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    assert_eq!(world.get(&format!("/v1/accounts/{account}/workspaces/by-name/default"), &ada).await.code(), (404, "not_found"));
}
