//! Provisioning runs: versions, long polls and verbs.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::world::{Call, World};

#[tokio::test]
async fn an_unchanged_run_is_304_and_a_changed_one_has_another_tag() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    let run = world.ended(&ada, &created.location()).await;
    assert!(run.header("etag").starts_with('"'), "a strong tag");
    assert_eq!((&run.json["saga"], &run.json["version"]), (&json!("create-workspace"), &json!(1)));
    let again = world.send(Call::get(&created.location()).user(&ada).header("if-none-match", run.header("etag"))).await;
    assert_eq!((again.status.as_u16(), again.header("etag"), again.body.len()), (304, run.header("etag"), 0));
    let older = world.send(Call::get(&created.location()).user(&ada).header("if-none-match", "\"1\"")).await;
    assert_eq!(older.status, 200);
}

#[tokio::test]
async fn a_long_poll_ends_with_the_next_version() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    world.platform.hold().await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    let held = world.held(&ada, &created.location()).await;
    let poll = Call::get(&format!("{}?wait=60s", created.location())).user(&ada).header("if-none-match", held.header("etag"));
    let (answer, ()) = tokio::join!(world.send(poll), async { world.platform.release() });
    assert_eq!(answer.status, 200);
    assert_ne!(answer.header("etag"), held.header("etag"));
}

#[tokio::test]
async fn a_long_poll_without_news_is_304_and_draining_ends_it_at_once() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    let run = world.ended(&ada, &created.location()).await;
    let poll =
        |wait: &str| Call::get(&format!("{}?wait={wait}", created.location())).user(&ada).header("if-none-match", run.header("etag"));
    assert_eq!(world.send(poll("1s")).await.status, 304);
    let drained = async {
        tokio::task::yield_now().await;
        world.draining.cancel();
    };
    let limit = Duration::from_secs(50);
    let (answer, ()) = tokio::join!(tokio::time::timeout(limit, world.send(poll("60s"))), drained);
    assert_eq!(answer.expect("the poll ends when the process drains").status, 304);
    assert_eq!(world.send(Call::get("/readyz")).await.code(), (503, "unavailable"));
    assert_eq!(world.send(Call::get("/livez")).await.status, 200);
    for wait in ["61s", "1", "s", "-1s"] {
        assert_eq!(world.send(poll(wait)).await.pointers(), ["?wait"]);
    }
}

#[tokio::test]
async fn a_cancelled_run_takes_everything_back_and_a_retry_is_a_new_run() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    world.platform.hold().await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    world.held(&ada, &created.location()).await;
    let cancel = format!("{}/cancel", created.location());
    let first = world.send(Call::new("POST", &cancel).user(&ada).header("idempotency-key", "k")).await;
    assert_eq!((first.status.as_u16(), &first.json["verb"], first.location()), (202, &json!("cancel"), created.location()));
    let run = world.ended(&ada, &created.location()).await;
    assert_eq!((&run.json["outcome"], &run.json["reason"]["type"]), (&json!("cancelled"), &json!("cancelled")));
    let undone = run.json["steps"].as_array().unwrap().iter().filter(|s| s["compensation"]["state"] == "undone").count();
    assert!(undone >= 1, "{}", run.text());

    let replayed = world.send(Call::new("POST", &cancel).user(&ada).header("idempotency-key", "k")).await;
    assert_eq!((replayed.status.as_u16(), replayed.header("idempotency-replayed")), (202, "true"));
    assert_eq!(world.send(Call::new("POST", &cancel).user(&ada)).await.code(), (409, "verb_conflict"));

    world.platform.release();
    let workspace = format!("/v1/workspaces/{}", created.id("workspace_id"));
    assert_eq!(world.get(&workspace, &ada).await.json["status"], "failed");
    let retried = world.post(&format!("{}/retry", created.location()), &ada, json!({"comment": "again"})).await;
    assert_eq!((retried.status.as_u16(), &retried.json["new_run"]), (202, &json!(true)), "{}", retried.text());
    assert_ne!(retried.location(), created.location());
    let second = world.ended(&ada, &retried.location()).await;
    assert_eq!((&second.json["outcome"], &second.json["retry_of"]), (&json!("succeeded"), &run.json["id"]));
    assert_eq!(world.get(&created.location(), &ada).await.json["retried_by"], second.json["id"]);
    assert_eq!(world.get(&workspace, &ada).await.json["status"], "active");
}

#[tokio::test]
async fn verbs_take_their_own_fields_and_no_others() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    world.ended(&ada, &created.location()).await;
    let verb = |verb: &str| format!("{}/{verb}", created.location());
    assert_eq!(world.post(&verb("cancel"), &ada, json!({"step": "backend-dev"})).await.pointers(), ["/step"]);
    assert_eq!(world.post(&verb("skip"), &ada, json!({})).await.pointers(), ["/comment"]);
    assert_eq!(world.post(&verb("abandon"), &ada, json!({"comment": 7, "force": true})).await.pointers(), ["/comment", "/force"]);
    assert_eq!(world.post(&verb("explode"), &ada, json!({})).await.code(), (404, "route_not_found"));
    let absent = format!("/v1/provisioning-runs/{}/cancel", Uuid::now_v7());
    assert_eq!(world.post(&absent, &ada, json!({})).await.code(), (404, "not_found"));
}
