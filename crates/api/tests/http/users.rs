//! Users who are shut out, and let in again: with every kind of token, in every process, from the next request on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::State;
use axum::body::Body;
use domain::PrincipalKind;
use domain::ids::PLATFORM;
use domain::model::{Role, Scope};
use domain::permissions::Object;
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::world::{Answer, Call, User, World};

/// Ada with an account and a workspace, a service account that may act for her, and an operator.
struct Cast {
    world: World,
    operator: User,
    ada: User,
    robot: User,
    workspace: Uuid,
}

impl Cast {
    async fn new() -> Self {
        let world = World::new().await;
        put_together(&world).await;
        let operator = world.user("operator").await;
        world.relate(Object::platform(), "operator", operator.principal).await;
        let ada = world.user("ada").await;
        let account = world.account(&ada).await;
        let workspace = world.workspace(&ada, account, "Sales").await;
        let robot = world.principal(PrincipalKind::ServiceAccount, "robot", Some(account)).await;
        world.grant(Scope::Account, account, robot, Role::Admin).await;
        let robot = User { principal: robot, token: world.token(robot) };
        Self { world, operator, ada, robot, workspace }
    }

    async fn order(&self, verb: &str) -> Answer {
        let path = format!("/v1/users/{}/{verb}", self.ada.principal.id);
        let answer = self.world.post(&path, &self.operator, json!({"comment": "why"})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer
    }

    /// Ada's tokens of every kind.
    async fn tokens(&self) -> Vec<(&'static str, String)> {
        let text = |answer: Answer, field: &str| answer.json[field].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned();
        let bound = format!("/v1/workspaces/{}/tokens", self.workspace);
        let for_ada = Call::post(&bound, &json!({})).user(&self.robot).header("berth-on-behalf-of", "ada");
        vec![
            ("login", self.ada.token.clone()),
            ("api", text(self.world.post("/v1/api-tokens", &self.ada, json!({"name": "a"})).await, "token")),
            ("workspace", text(self.world.post(&bound, &self.ada, json!({})).await, "access_token")),
            ("a service account's for her", text(self.world.send(for_ada).await, "access_token")),
        ]
    }

    async fn me(&self, token: &str) -> Answer {
        self.world.send(Call::get("/v1/me").bearer(token)).await
    }

    /// Of another process on the same database.
    async fn elsewhere(&self, token: &str) -> u16 {
        let world = &self.world;
        let other = api::router(State::new(world.berth.clone(), world.issuer.clone(), world.clock.clone()));
        let request = Request::get("/v1/me").header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
        other.oneshot(request).await.unwrap().status().as_u16()
    }

    async fn pass(&self, seconds: u64) {
        self.world.advance(Duration::from_secs(seconds));
        put_together(&self.world).await;
    }
}

/// The database's time and the tokens' are told by two clocks here.
async fn put_together(world: &World) {
    world.now.store(world.berth.health.now().await.unwrap().micros(), Ordering::SeqCst);
}

#[tokio::test]
async fn a_revoked_user_is_refused_with_every_kind_of_token_everywhere_and_at_once() {
    let cast = Cast::new().await;
    let tokens = cast.tokens().await;
    for (kind, token) in &tokens {
        assert_eq!((cast.me(token).await.status.as_u16(), cast.elsewhere(token).await), (200, 200), "{kind}");
    }
    let answer = cast.order("revoke").await;
    assert!(answer.json["revoked_at"].is_string() && answer.json["id"] == json!(cast.ada.principal.id));
    for (kind, token) in &tokens {
        let refused = cast.me(token).await;
        assert_eq!((refused.code(), cast.elsewhere(token).await), ((401, "invalid_token"), 401), "{kind}");
        assert!(refused.header("www-authenticate").contains("invalid_token") && !refused.text().contains(token), "{kind}");
    }
    let for_ada = || Call::get("/v1/me").user(&cast.robot).header("berth-on-behalf-of", "ada");
    assert_eq!(cast.world.send(for_ada()).await.code(), (403, "on_behalf_of_refused"));
    assert_eq!(cast.me(&cast.robot.token).await.status, 200, "who acted for her comes in under its own name");
    assert_eq!(cast.me(&cast.world.token(cast.ada.principal)).await.status, 401, "nor does a new token let her in");

    // What she made and who may act there is as it was.
    let workspace = cast.world.get(&format!("/v1/workspaces/{}", cast.workspace), &cast.operator).await;
    assert_eq!(workspace.json["status"], "active");
    let used: Vec<_> = cast.world.chain(PLATFORM).await.into_iter().filter(|e| e.action == "token.use").collect();
    assert!(!used.is_empty() && used.iter().all(|e| e.outcome == "denied" && e.actor.as_ref().unwrap().principal == cast.ada.principal));
}

#[tokio::test]
async fn who_is_restored_comes_in_with_what_was_issued_since() {
    let cast = Cast::new().await;
    let before = cast.tokens().await;
    cast.order("revoke").await;
    cast.pass(60).await;
    let meanwhile = cast.world.token(cast.ada.principal);
    cast.pass(60).await;
    let answer = cast.order("restore").await;
    assert!(answer.json["revoked_at"].is_null() && answer.json["tokens_not_before"].is_string());
    for (kind, token) in before.iter().map(|(kind, token)| (*kind, token)).chain([("issued meanwhile", &meanwhile)]) {
        assert_eq!(cast.me(token).await.code(), (401, "invalid_token"), "{kind}");
    }
    cast.pass(2).await;
    let ada = User { principal: cast.ada.principal, token: cast.world.token(cast.ada.principal) };
    assert_eq!(cast.me(&ada.token).await.status, 200);
    let again = Cast { ada, ..cast };
    assert_eq!(again.world.get("/v1/api-tokens", &again.ada).await.json, json!([]), "the long-lived ones from before have ended");
    for (kind, token) in again.tokens().await {
        assert_eq!(again.me(&token).await.status, 200, "{kind}");
    }
    let for_ada = Call::get("/v1/me").user(&again.robot).header("berth-on-behalf-of", "ada");
    assert_eq!(again.world.send(for_ada).await.status, 200);
}

#[tokio::test]
async fn an_order_is_an_operators_about_a_user_and_is_recorded_with_its_reason() {
    let cast = Cast::new().await;
    let post = async |by: &User, id: Uuid, verb: &str, body: Value| cast.world.post(&format!("/v1/users/{id}/{verb}"), by, body).await;
    let ada = cast.ada.principal.id;
    for verb in ["revoke", "restore"] {
        assert_eq!(post(&cast.ada, ada, verb, json!({})).await.code(), (403, "permission_denied"));
        assert_eq!(post(&cast.operator, Uuid::now_v7(), verb, json!({})).await.code(), (404, "not_found"));
        assert_eq!(post(&cast.operator, cast.robot.principal.id, verb, json!({})).await.code(), (404, "not_found"), "it is no user");
        let empty = post(&cast.operator, ada, verb, json!({"comment": " "})).await;
        assert_eq!((empty.code(), empty.pointers()), ((422, "invalid_values"), vec!["/comment"]));
    }
    let first = cast.order("revoke").await;
    assert_eq!(cast.order("revoke").await.json, first.json, "again changes nothing");
    let told: Vec<_> = cast.world.chain(PLATFORM).await.into_iter().filter(|e| e.action == "user.revoke").collect();
    let [entry] = told.iter().filter(|e| e.outcome == "succeeded").collect::<Vec<_>>()[..] else { panic!("{told:?}") };
    assert_eq!((entry.targets[0].kind.as_str(), entry.targets[0].id), ("user", ada));
    assert_eq!(entry.actor.as_ref().unwrap().principal, cast.operator.principal);
    assert!(told.iter().any(|e| e.outcome == "denied" && e.actor.as_ref().unwrap().principal == cast.ada.principal), "and who may not");
}

#[tokio::test]
async fn an_operator_revokes_themselves_only_where_another_one_is_let_in() {
    let cast = Cast::new().await;
    let Cast { world, operator, ada, robot, .. } = &cast;
    let revoke = async |of: &User, by: &User| world.post(&format!("/v1/users/{}/revoke", of.principal.id), by, json!({})).await;
    let alone = revoke(operator, operator).await;
    assert_eq!(alone.code(), (409, "last_operator"), "{}", alone.text());
    assert!(alone.json["detail"].as_str().unwrap().contains("--role operator"), "it says what to do: {}", alone.text());
    assert_eq!(world.get("/v1/me", operator).await.status, 200);

    // One who is shut out could not let them in again, and neither could what is no operator.
    world.relate(Object::platform(), "operator", ada.principal).await;
    world.relate(Object::platform(), "auditor", robot.principal).await;
    assert_eq!(revoke(ada, operator).await.status, 200);
    assert_eq!(revoke(operator, operator).await.code(), (409, "last_operator"));

    world.relate(Object::platform(), "operator", robot.principal).await;
    assert_eq!(revoke(operator, operator).await.status, 200, "a service account can let them in again");
    assert_eq!(world.get("/v1/me", operator).await.status, 401);
    assert_eq!(world.post(&format!("/v1/users/{}/restore", operator.principal.id), robot, json!({})).await.status, 200);
}

#[tokio::test]
async fn a_repeated_order_is_answered_as_the_first_was_and_does_nothing() {
    let cast = Cast::new().await;
    let path = format!("/v1/users/{}/revoke", cast.ada.principal.id);
    let call = || Call::post(&path, &json!({})).user(&cast.operator).header("idempotency-key", "k");
    let first = cast.world.send(call()).await;
    cast.order("restore").await;
    let again = cast.world.send(call()).await;
    assert_eq!((again.header("idempotency-replayed"), &again.json), ("true", &first.json));
    cast.pass(2).await;
    assert_eq!(cast.me(&cast.world.token(cast.ada.principal)).await.status, 200, "she is not revoked anew");
}
