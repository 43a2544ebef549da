//! Service accounts, their secrets, and the tokens that they get.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::audit::Target;
use domain::model::{Role, Scope};
use domain::permissions::{Filter, Object};
use domain::{Principal, PrincipalKind};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Answer, Call, User, World};

struct Stage {
    world: World,
    ada: User,
    account: Uuid,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let ada = world.user("ada").await;
        let account = world.account(&ada).await;
        Self { world, ada, account }
    }

    async fn program(&self, name: &str) -> Uuid {
        let made = self.world.post(&format!("/v1/accounts/{}/service-accounts", self.account), &self.ada, json!({"name": name})).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.id("id")
    }

    fn secrets(&self, program: Uuid) -> String {
        format!("/v1/accounts/{}/service-accounts/{program}/secrets", self.account)
    }

    async fn secret(&self, program: Uuid, body: Value) -> Answer {
        let made = self.world.post(&self.secrets(program), &self.ada, body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made
    }

    async fn delete(&self, path: &str) -> Answer {
        self.world.send(Call::new("DELETE", path).user(&self.ada)).await
    }

    async fn exchange(&self, client: Uuid, secret: &str) -> Answer {
        let body = json!({"grant_type": "client_credentials", "client_id": client, "client_secret": secret});
        self.world.send(Call::post("/v1/tokens", &body)).await
    }

    /// The service account with a token that it got with this secret.
    async fn signed_in(&self, program: Uuid, secret: &str) -> User {
        let answer = self.exchange(program, secret).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let principal = Principal { kind: PrincipalKind::ServiceAccount, id: program };
        User { principal, token: answer.json["access_token"].as_str().unwrap().to_owned() }
    }
}

fn text(made: &Answer) -> String {
    made.json["client_secret"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_service_account_gets_tokens_with_its_secret_and_does_what_its_roles_allow() {
    let stage = Stage::new().await;
    let program = stage.program("deploy").await;
    let made = stage.secret(program, json!({})).await;
    assert_eq!((made.json["secret_status"].as_str(), text(&made).len()), (Some("shown"), "berth_secret_".len() + 104));
    let robot = stage.signed_in(program, &text(&made)).await;
    let own = stage.world.get("/v1/tokens/self", &robot).await;
    assert_eq!(own.json["kind"], "application");
    assert_eq!(own.json["principal"], json!({"type": "service_account", "id": program}));
    assert_eq!(own.json["expires_at"], "2027-01-15T08:15:00Z", "a quarter of an hour from the clock of these tests");
    assert_eq!(stage.world.get(&format!("/v1/accounts/{}", stage.account), &robot).await.status, 404, "it may do nothing yet");
    stage.world.grant(Scope::Account, stage.account, robot.principal, Role::Admin).await;
    assert_eq!(stage.world.get(&format!("/v1/accounts/{}", stage.account), &robot).await.status, 200);
    let me = stage.world.get("/v1/me", &robot).await;
    assert_eq!((&me.json["name"], &me.json["account_id"]), (&json!(format!("deploy@{}", stage.account)), &json!(stage.account)));
    // The same as HTTP Basic.
    let basic = STANDARD.encode(format!("{program}:{}", text(&made)));
    let call = Call::post("/v1/tokens", &json!({"grant_type": "client_credentials"})).header("authorization", format!("Basic {basic}"));
    assert_eq!(stage.world.send(call).await.status, 200);
    let known = Filter {
        resource_kind: "service_account".to_owned(),
        resource_id: Some(program.to_string()),
        relation: Some("account".to_owned()),
        subject: Some(Object::account(stage.account)),
    };
    assert_eq!(stage.world.berth.permissions.read(&known).await.unwrap().len(), 1, "the permission system knows whose it is");
    assert!(stage.world.berth.service_accounts.unrelated(10).await.unwrap().is_empty());
    let minutes = i64::try_from(Duration::from_mins(16).as_micros()).unwrap();
    stage.world.now.fetch_add(minutes, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(stage.world.get("/v1/me", &robot).await.status, 401, "the token is over");
}

#[tokio::test]
async fn two_secrets_overlap_and_one_that_is_deleted_or_over_gets_no_token() {
    let stage = Stage::new().await;
    let program = stage.program("deploy").await;
    let first = stage.secret(program, json!({})).await;
    let ends = Duration::from_hours(1);
    let now = stage.world.berth.health.now().await.unwrap();
    let second = stage.secret(program, json!({"expires_at": (now + ends).to_string()})).await;
    let third = stage.world.post(&stage.secrets(program), &stage.ada, json!({})).await;
    assert_eq!(third.code(), (409, "secrets_exhausted"));
    let robot = stage.signed_in(program, &text(&first)).await;
    assert_eq!(stage.delete(&format!("{}/{}", stage.secrets(program), first.id("id"))).await.status, 204);
    assert_eq!(stage.delete(&format!("{}/{}", stage.secrets(program), first.id("id"))).await.code(), (404, "not_found"));
    assert_eq!(stage.exchange(program, &text(&first)).await.code(), (401, "invalid_client"));
    assert_eq!(stage.world.get("/v1/me", &robot).await.status, 200, "a token lives on when the secret is gone that it was got with");
    assert_eq!(stage.exchange(program, &text(&second)).await.status, 200);
    let listed = stage.world.get(&stage.secrets(program), &stage.ada).await;
    assert_eq!(listed.json.as_array().unwrap().len(), 1);
    assert!(listed.json[0]["last_used_at"].is_string() && !listed.text().contains("berth_secret_"));
    stage.world.advance(ends + Duration::from_secs(1));
    assert_eq!(stage.exchange(program, &text(&second)).await.code(), (401, "invalid_client"));
    stage.secret(program, json!({})).await;
    let past = stage.world.post(&stage.secrets(program), &stage.ada, json!({"expires_at": "2020-01-01T00:00:00Z"})).await;
    assert_eq!((past.code(), past.pointers()), ((422, "invalid_values"), vec!["/expires_at"]));
}

#[tokio::test]
async fn one_that_is_disabled_gets_no_token_and_those_that_it_has_are_refused_at_once() {
    let stage = Stage::new().await;
    let program = stage.program("deploy").await;
    let secret = text(&stage.secret(program, json!({})).await);
    let robot = stage.signed_in(program, &secret).await;
    let by_hand = User { principal: robot.principal, token: stage.world.token(robot.principal) };
    assert_eq!(stage.world.get("/v1/me", &robot).await.status, 200);
    let path = format!("/v1/accounts/{}/service-accounts/{program}", stage.account);
    assert_eq!(stage.delete(&path).await.status, 204);
    assert_eq!(stage.delete(&path).await.status, 204, "twice is once");
    assert_eq!(stage.world.get("/v1/me", &robot).await.code(), (401, "invalid_token"));
    assert_eq!(stage.world.get("/v1/me", &by_hand).await.code(), (401, "invalid_token"));
    assert_eq!(stage.exchange(program, &secret).await.code(), (401, "invalid_client"));
    assert_eq!(stage.world.post(&stage.secrets(program), &stage.ada, json!({})).await.code(), (409, "service_account_disabled"));
    let listed = stage.world.get(&format!("/v1/accounts/{}/service-accounts", stage.account), &stage.ada).await;
    assert_eq!((&listed.json[0]["status"], listed.json[0]["disabled_at"].is_string()), (&json!("disabled"), true));
    let again = stage.world.post(&format!("/v1/accounts/{}/service-accounts", stage.account), &stage.ada, json!({"name": "deploy"})).await;
    assert_eq!(again.code(), (409, "service_account_exists"));
    let told: Vec<_> = stage.world.chain(stage.account).await.into_iter().filter(|e| e.outcome == "denied").collect();
    let actions: Vec<&str> = told.iter().map(|e| e.action.as_str()).collect();
    assert_eq!(actions, ["token.use", "token.issue"], "its account hears of it; equal ones of a minute are counted");
    assert_eq!(told[1].targets, [Target { kind: "service_account".to_owned(), id: program }]);
}

#[tokio::test]
async fn what_is_nobodys_credential_is_refused_without_a_word_in_anybodys_log() {
    let stage = Stage::new().await;
    let (program, other) = (stage.program("deploy").await, stage.program("other").await);
    let secret = text(&stage.secret(program, json!({})).await);
    let mistyped = format!("{}{}", &secret[..secret.len() - 1], if secret.ends_with('0') { "1" } else { "0" });
    let (forged, _) = domain::secrets::make(domain::secrets::Kind::Client, Uuid::now_v7(), [7; 32]);
    let row = stage.world.get(&stage.secrets(program), &stage.ada).await.json[0]["id"].as_str().unwrap().parse().unwrap();
    let (guessed, _) = domain::secrets::make(domain::secrets::Kind::Client, row, [7; 32]);
    let before = stage.world.chain(stage.account).await.len();
    for (client, secret) in
        [(other, secret.as_str()), (program, &mistyped), (program, forged.expose()), (program, guessed.expose()), (program, "")]
    {
        let refused = stage.exchange(client, secret).await;
        assert_eq!(refused.code(), (401, "invalid_client"), "{secret}");
        assert_eq!(refused.header("www-authenticate"), "Basic realm=\"berth\"");
        assert!(secret.is_empty() || !refused.text().contains(secret), "a secret never comes back");
    }
    assert_eq!(stage.world.chain(stage.account).await.len(), before);
    for body in [json!({"grant_type": "client_credentials", "client_id": program}), json!({"grant_type": "client_credentials"})] {
        let refused = stage.world.send(Call::post("/v1/tokens", &body).user(&stage.ada)).await;
        assert_eq!(refused.code(), (401, "invalid_client"), "no credentials are wrong ones, and those for other requests are none: {body}");
        assert!(refused.text().contains("HTTP Basic"), "{}", refused.text());
    }
    for body in [
        json!({"client_id": program, "client_secret": secret}),
        json!({"grant_type": "password", "client_id": program, "client_secret": secret}),
        json!({"grant_type": "client_credentials", "client_id": "deploy", "client_secret": secret}),
        json!({"grant_type": "client_credentials", "client_id": program, "client_secret": secret, "scope": "all"}),
    ] {
        assert_eq!(stage.world.send(Call::post("/v1/tokens", &body)).await.code(), (400, "invalid_request"), "{body}");
    }
}

#[tokio::test]
async fn a_repeated_request_makes_one_and_never_shows_its_secret_again() {
    let stage = Stage::new().await;
    let program = stage.program("deploy").await;
    let call = || Call::post(&stage.secrets(program), &json!({})).user(&stage.ada).header("idempotency-key", "k");
    let first = stage.world.send(call()).await;
    let again = stage.world.send(call()).await;
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (201, "true"));
    assert_eq!((&again.json["client_secret"], &again.json["secret_status"]), (&Value::Null, &json!("already_shown")));
    assert_eq!((&again.json["id"], &again.json["created_at"]), (&first.json["id"], &first.json["created_at"]));
    assert_eq!(stage.world.get(&stage.secrets(program), &stage.ada).await.json.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn anothers_account_does_not_reach_it() {
    let stage = Stage::new().await;
    let program = stage.program("deploy").await;
    let elsewhere = stage.world.account(&stage.ada).await;
    let path = format!("/v1/accounts/{elsewhere}/service-accounts/{program}");
    assert_eq!(stage.delete(&path).await.code(), (404, "not_found"));
    assert_eq!(stage.world.post(&format!("{path}/secrets"), &stage.ada, json!({})).await.code(), (404, "not_found"));
}
