//! Long-lived tokens.

use std::time::Duration;

use domain::ids::PLATFORM;
use domain::secrets::{Kind, make};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Answer, Call, User, World};

async fn made(world: &World, user: &User, body: Value) -> (Answer, User) {
    let answer = world.post("/v1/api-tokens", user, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let token = answer.json["token"].as_str().unwrap().to_owned();
    (answer, User { principal: user.principal, token })
}

#[tokio::test]
async fn one_does_what_its_holder_may_until_it_is_revoked() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let (answer, robot) = made(&world, &ada, json!({"name": "nightly export"})).await;
    assert!(robot.token.starts_with("berth_token_"));
    assert_eq!(world.get(&format!("/v1/accounts/{account}"), &robot).await.status, 200);
    let own = world.get("/v1/tokens/self", &robot).await;
    assert_eq!((&own.json["kind"], &own.json["id"]), (&json!("api"), &answer.json["id"]));
    let listed = world.get("/v1/api-tokens", &ada).await;
    assert_eq!((&listed.json[0]["name"], listed.json[0]["last_used_at"].is_string()), (&json!("nightly export"), true));
    assert!(!listed.text().contains(&robot.token));
    assert_eq!(world.post("/v1/api-tokens", &robot, json!({"name": "more"})).await.code(), (403, "token_scope"), "it makes no others");
    let path = format!("/v1/api-tokens/{}", answer.id("id"));
    let eve = world.user("eve").await;
    assert_eq!(world.send(Call::new("DELETE", &path).user(&eve)).await.code(), (404, "not_found"), "it is another's");
    assert_eq!(world.send(Call::new("DELETE", &path).user(&robot)).await.status, 204, "it may end itself");
    assert_eq!(world.get("/v1/me", &robot).await.code(), (401, "invalid_token"));
    assert_eq!(world.get("/v1/api-tokens", &ada).await.json, json!([]));
    let told = world.chain(PLATFORM).await;
    let used = told.iter().find(|e| e.action == "token.use").unwrap();
    assert_eq!((used.outcome.as_str(), used.credential_id.as_deref()), ("denied", answer.json["id"].as_str()));
}

#[tokio::test]
async fn it_expires_when_it_says() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let now = world.berth.health.now().await.unwrap();
    let (_, robot) = made(&world, &ada, json!({"name": "a", "expires_at": (now + Duration::from_hours(2)).to_string()})).await;
    assert_eq!(world.get("/v1/me", &robot).await.status, 200);
    world.advance(Duration::from_hours(2));
    assert_eq!(world.get("/v1/me", &robot).await.code(), (401, "invalid_token"));
    for days in [0, 400] {
        let at = (now + Duration::from_hours(24 * days)).to_string();
        let refused = world.post("/v1/api-tokens", &ada, json!({"name": "a", "expires_at": at})).await;
        assert_eq!((refused.code(), refused.pointers()), ((422, "invalid_values"), vec!["/expires_at"]), "{days}");
    }
}

#[tokio::test]
async fn what_only_looks_like_one_is_refused() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let (answer, robot) = made(&world, &ada, json!({"name": "a"})).await;
    let guessed = make(Kind::ApiToken, answer.id("id"), [7; 32]).0;
    let unknown = make(Kind::ApiToken, Uuid::now_v7(), [7; 32]).0;
    let secret = make(Kind::Client, answer.id("id"), [7; 32]).0;
    let cut = robot.token[..robot.token.len() - 1].to_owned();
    for token in [guessed.expose(), unknown.expose(), secret.expose(), &cut, "berth_", "berth_token_"] {
        let refused = world.send(Call::get("/v1/me").bearer(token)).await;
        assert_eq!(refused.code(), (401, "invalid_token"), "{token}");
        assert!(token.len() < 20 || !refused.text().contains(token), "a token never comes back");
    }
    assert!(world.chain(PLATFORM).await.iter().all(|e| e.action != "token.use"), "whoever guesses fills no log");
}

#[tokio::test]
async fn a_repeated_request_makes_one_and_never_shows_it_again() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let call = || Call::post("/v1/api-tokens", &json!({"name": "a"})).user(&ada).header("idempotency-key", "k");
    let first = world.send(call()).await;
    let again = world.send(call()).await;
    assert_eq!((&again.json["id"], &again.json["token"]), (&first.json["id"], &Value::Null));
    assert_eq!(world.get("/v1/api-tokens", &ada).await.json.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_has_more_than_fifty() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    for _ in 0..50 {
        made(&world, &ada, json!({"name": "a"})).await;
    }
    assert_eq!(world.post("/v1/api-tokens", &ada, json!({"name": "a"})).await.code(), (409, "tokens_exhausted"));
}
