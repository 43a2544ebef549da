//! `Idempotency-Key` through the whole house.

use serde_json::{Value, json};

use crate::world::{Answer, Call, User, World};

async fn create(world: &World, user: &User, key: &str, path: &str, body: &Value) -> Answer {
    world.send(Call::post(path, body).user(user).header("idempotency-key", key)).await
}

#[tokio::test]
async fn a_repeated_request_is_answered_like_the_first() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let body = json!({"account_id": account, "name": "Sales", "region": "local"});
    let first = create(&world, &ada, "\"key-1\"", "/v1/workspaces", &body).await;
    let second = create(&world, &ada, "key-1", "/v1/workspaces", &body).await;
    assert_eq!((second.status, &second.json, second.location()), (first.status, &first.json, first.location()));
    assert_eq!((first.header("idempotency-replayed"), second.header("idempotency-replayed")), ("", "true"));
    assert_eq!(world.get("/v1/workspaces", &ada).await.json.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_is_good_for_one_request_of_one_caller() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let body = json!({"name": "Acme"});
    let first = create(&world, &ada, "k", "/v1/accounts", &body).await;
    let other_body = create(&world, &ada, "k", "/v1/accounts", &json!({"name": "Other"})).await;
    assert_eq!(other_body.code(), (422, "idempotency_key_reused"));
    let other_caller = create(&world, &bob, "k", "/v1/accounts", &body).await;
    assert_ne!(other_caller.json["account_id"], first.json["account_id"]);
}

#[tokio::test]
async fn a_refusal_is_not_remembered() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let refused = create(&world, &ada, "k", "/v1/workspaces", &json!({"account_id": account, "name": "Sales", "region": "moon"})).await;
    assert_eq!(refused.status, 422);
    let right = create(&world, &ada, "k", "/v1/workspaces", &json!({"account_id": account, "name": "Sales", "region": "local"})).await;
    assert_eq!(right.status, 202);
}

#[tokio::test]
async fn equal_requests_at_once_make_one_workspace() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let body = json!({"account_id": account, "name": "Sales", "region": "local"});
    let answers = futures::future::join_all((0..100).map(|_| create(&world, &ada, "k", "/v1/workspaces", &body))).await;
    assert!(answers.iter().all(|a| a.status == 202 && a.json == answers[0].json));
    assert_eq!(answers.iter().filter(|a| a.header("idempotency-replayed").is_empty()).count(), 1);
    assert_eq!(world.get("/v1/workspaces", &ada).await.json.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_malformed_key_is_refused_before_anything_is_done() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    for key in ["", "\"", "a b", "\"a", &"x".repeat(256)] {
        let answer = create(&world, &ada, key, "/v1/accounts", &json!({"name": "Acme"})).await;
        assert_eq!((answer.code(), answer.pointers()), ((400, "invalid_idempotency_key"), vec!["Idempotency-Key"]), "{key:?}");
    }
    assert_eq!(world.get("/v1/accounts", &ada).await.json, json!([]));
}
