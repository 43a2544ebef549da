//! Users of outside issuers: who they are here, whether they were registered or are made. The provider itself is played; a real one is
//! beside the processes' tests.

use std::sync::Arc;
use std::time::Duration;

use api::{OutsideAlgorithm, OutsideIssuer, Trust};
use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::PLATFORM;
use domain::permissions::Object;
use domain::ports::{IssuerKeys, KeysAway};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::world::{Answer, Call, User, Wish, World};

const NOW: i64 = 1_800_000_000;

struct Keys(Arc<Value>);

#[async_trait]
impl IssuerKeys for Keys {
    async fn keys(&self, _: Option<&str>) -> Result<Vec<Arc<Value>>, KeysAway> {
        Ok(vec![self.0.clone()])
    }
}

/// An issuer of this name, trusted, and the key that it signs with.
fn issuer(name: &str, just_in_time: bool) -> (OutsideIssuer, Vec<u8>) {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec();
    let public = URL_SAFE_NO_PAD.encode(Ed25519KeyPair::from_pkcs8(&key).unwrap().public_key().as_ref());
    let trust = Trust {
        issuer: name.to_owned(),
        audiences: vec!["berth".to_owned()],
        algorithms: vec![OutsideAlgorithm::EdDsa],
        subject_claim: "sub".to_owned(),
        name_claim: Some("email".to_owned()),
        required_claims: Vec::new(),
        leeway: Duration::from_secs(30),
        just_in_time,
    };
    let keys = Arc::new(Keys(Arc::new(json!({"kty": "OKP", "crv": "Ed25519", "x": public}))));
    (OutsideIssuer { trust, keys }, key)
}

/// Two issuers, of which the second one's users are made just in time.
struct Cast {
    world: World,
    operator: User,
    keys: [Vec<u8>; 2],
}

const ISSUERS: [&str; 2] = ["https://known.test", "https://any.test"];

impl Cast {
    async fn new() -> Self {
        let ((known, first), (any, second)) = (issuer(ISSUERS[0], false), issuer(ISSUERS[1], true));
        let world = World::with(Wish { issuers: vec![known, any], ..Wish::default() }).await;
        let operator = world.user("operator").await;
        world.relate(Object::platform(), "operator", operator.principal).await;
        Self { world, operator, keys: [first, second] }
    }

    fn token(&self, signer: usize, issuer: &str, subject: &str, name: &str) -> String {
        let claims = json!({"iss": issuer, "aud": "berth", "sub": subject, "exp": NOW + 600, "iat": NOW, "email": name});
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &EncodingKey::from_ed_der(&self.keys[signer])).unwrap()
    }

    /// Who that is here, as the issuer's subject of this name.
    async fn me(&self, signer: usize, subject: &str, name: &str) -> Answer {
        self.world.send(Call::get("/v1/me").bearer(&self.token(signer, ISSUERS[signer], subject, name))).await
    }

    async fn register(&self, name: &str, subject: &str) -> Answer {
        self.world.post("/v1/users", &self.operator, json!({"name": name, "issuer": ISSUERS[0], "subject": subject})).await
    }
}

#[tokio::test]
async fn a_subject_that_nobody_registered_is_nobody_unless_users_are_made() {
    let cast = Cast::new().await;
    assert_eq!(cast.me(0, "1", "ada").await.code(), (401, "invalid_token"));
    let registered = cast.register("ada", "1").await;
    assert_eq!(registered.status, 200, "{}", registered.text());
    assert_eq!(cast.me(0, "1", "somebody else").await.json["id"], registered.json["id"]);
    assert_eq!(cast.me(0, "1", "ada").await.json["name"], "ada", "the operator's word counts, not the issuer's");
    let made = cast.me(1, "1", "bob").await;
    assert_eq!((made.status.as_u16(), &made.json["name"]), (200, &json!("bob")));
    assert_eq!(cast.me(1, "1", "bob").await.json["id"], made.json["id"], "made once");
    let told: Vec<_> = cast.world.chain(PLATFORM).await.into_iter().map(|e| e.action).filter(|a| a.starts_with("user.")).collect();
    assert_eq!(told, ["user.register", "user.admit"]);
}

#[tokio::test]
async fn an_issuer_vouches_for_its_own_subjects_only() {
    let cast = Cast::new().await;
    let ada = cast.register("ada", "1").await;
    assert_ne!(cast.me(1, "1", "other").await.json["id"], ada.json["id"], "the same subject of another issuer");
    let forged = cast.token(1, ISSUERS[0], "1", "ada");
    assert_eq!(cast.world.send(Call::get("/v1/me").bearer(&forged)).await.code(), (401, "invalid_token"), "signed by another issuer");
    let ours = cast.token(1, "https://berth.test", &format!("user:{}", ada.json["id"].as_str().unwrap()), "ada");
    assert_eq!(cast.world.send(Call::get("/v1/me").bearer(&ours)).await.code(), (401, "invalid_token"), "in our own name");
    let foreign = cast.token(1, "https://evil.test", "1", "ada");
    assert_eq!(cast.world.send(Call::get("/v1/me").bearer(&foreign)).await.code(), (401, "invalid_token"));
}

#[tokio::test]
async fn a_name_that_an_issuer_chooses_takes_over_nobody() {
    let cast = Cast::new().await;
    let ada = cast.world.user("ada").await;
    let eve = cast.me(1, "eve", "ada").await;
    assert_ne!(eve.json["id"], json!(ada.principal.id));
    assert_eq!(eve.json["name"], "https://any.test#eve", "the name was taken");
    // Nor one that somebody is going to have.
    let mallory = cast.me(1, "mallory", "https://any.test#victim").await;
    let victim = cast.me(1, "victim", "").await;
    assert_eq!((&mallory.json["name"], &victim.json["name"]), (&json!("https://any.test#mallory"), &json!("https://any.test#victim")));
    assert_ne!(mallory.json["id"], victim.json["id"]);
}

#[tokio::test]
async fn many_first_requests_at_once_make_one_user() {
    let cast = Cast::new().await;
    let answers = futures::future::join_all((0..12).map(|_| cast.me(1, "1", "bob"))).await;
    assert!(answers.iter().all(|a| a.status == 200 && a.json["id"] == answers[0].json["id"]), "{answers:?}");
}

#[tokio::test]
async fn an_identity_is_one_users_for_good() {
    let cast = Cast::new().await;
    let ada = cast.register("ada", "1").await;
    assert_eq!(cast.register("ada", "1").await.json, ada.json, "again changes nothing");
    assert_eq!(cast.register("eve", "1").await.code(), (409, "identity_taken"));
    assert_eq!(cast.register("ada", "2").await.json["id"], ada.json["id"], "one user may have several");
    let long = "x".repeat(256);
    for (body, pointer) in [
        (json!({"name": " ", "issuer": "a", "subject": "1"}), "/name"),
        (json!({"name": "a", "issuer": "", "subject": "1"}), "/issuer"),
        (json!({"name": "a", "issuer": "a", "subject": long}), "/subject"),
        (json!({"name": "a", "issuer": "a", "subject": "a\nb"}), "/subject"),
    ] {
        let refused = cast.world.post("/v1/users", &cast.operator, body.clone()).await;
        assert_eq!((refused.code(), refused.pointers()), ((422, "invalid_values"), vec![pointer]), "{body}");
    }
    let call = || {
        let body = json!({"name": "bob", "issuer": ISSUERS[0], "subject": "3"});
        Call::post("/v1/users", &body).user(&cast.operator).header("idempotency-key", "k")
    };
    let first = cast.world.send(call()).await;
    let again = cast.world.send(call()).await;
    assert_eq!((again.header("idempotency-replayed"), &again.json), ("true", &first.json));
}

#[tokio::test]
async fn a_revoked_user_is_refused_whoever_vouches_for_them() {
    let cast = Cast::new().await;
    let bob = cast.me(1, "1", "bob").await;
    let revoked = cast.world.post(&format!("/v1/users/{}/revoke", bob.json["id"].as_str().unwrap()), &cast.operator, json!({})).await;
    assert_eq!(revoked.status, 200);
    assert_eq!(cast.me(1, "1", "bob").await.code(), (401, "invalid_token"));
    assert_eq!(cast.me(1, "1", "another name").await.code(), (401, "invalid_token"));
    assert_eq!(cast.me(1, "2", "carol").await.status, 200);
}
