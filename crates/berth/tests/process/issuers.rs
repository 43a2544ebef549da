//! A whole Berth that trusts an `OpenID` Connect provider, a real one: its tokens over HTTP, its keys as they change, and its absence.

use std::path::Path;

use reqwest::header::RETRY_AFTER;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::oidc::{Asked, OidcProvider};

use crate::server::{PATIENCE, Server, answer};

/// A Berth that makes users when their first token comes; `more` is said of the issuer besides.
async fn trusting(provider: &OidcProvider, dir: &Path, more: &str) -> Server {
    let issuers = format!(r#"[{{issuer="{}", audiences=["berth"], just_in_time=true{more}}}]"#, provider.issuer);
    Server::start(dir, &[("BERTH_IDENTITY__ISSUERS", &issuers)]).await
}

/// A token that the provider gives to its client by the client credentials grant.
async fn token(server: &Server, provider: &OidcProvider, client: &str, resource: &str) -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("client_secret", &format!("{client}-secret")),
        ("resource", resource),
    ]
    .map(|(name, value)| format!("{name}={value}"))
    .join("&");
    let asked =
        server.client.post(format!("{}/token", provider.issuer)).header("content-type", "application/x-www-form-urlencoded").body(form);
    let (status, given) = answer(asked.send().await.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{given}");
    given["access_token"].as_str().unwrap().to_owned()
}

/// What is answered to the token's holder who asks who that is; whether they are told when to come again.
async fn me(server: &Server, token: &str) -> (StatusCode, Value, bool) {
    let response = server.client.get(format!("{}/v1/me", server.url)).bearer_auth(token).send().await.unwrap();
    let again = response.headers().contains_key(RETRY_AFTER);
    let (status, body) = answer(response).await;
    (status, body, again)
}

/// Asks until it is answered so.
async fn until(server: &Server, token: &str, wanted: StatusCode) {
    let answered = async { while me(server, token).await.0 != wanted {} };
    assert!(tokio::time::timeout(PATIENCE, answered).await.is_ok(), "it is not answered {wanted}, but {:?}", me(server, token).await);
}

async fn order(server: &Server, user: &str, verb: &str) -> (StatusCode, Value) {
    answer(server.request(Method::POST, &format!("/v1/users/{user}/{verb}")).json(&json!({})).send().await.unwrap()).await
}

#[tokio::test]
async fn a_providers_token_lets_its_user_in_until_they_are_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let provider = OidcProvider::start();
    let server = trusting(&provider, &dir, "").await;
    let mut users = Vec::new();
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let ada = token(&server, &provider, "ada", &format!("urn:berth:{algorithm}")).await;
        let (status, body, _) = me(&server, &ada).await;
        assert_eq!((status, &body["type"], &body["name"]), (StatusCode::OK, &json!("user"), &json!(format!("{}#ada", provider.issuer))));
        users.push(body["id"].as_str().unwrap().to_owned());
        // The last character of a signature may have bits that mean nothing.
        let (signed, signature) = ada.rsplit_once('.').unwrap();
        let first = if signature.starts_with('A') { "B" } else { "A" };
        assert_eq!(me(&server, &format!("{signed}.{first}{}", &signature[1..])).await.0, StatusCode::UNAUTHORIZED, "{algorithm}");
    }
    assert_eq!((&users[0], &users[1]), (&users[1], &users[2]), "one subject is one user");
    let bob = token(&server, &provider, "bob", "urn:berth:EdDSA").await;
    assert_ne!(me(&server, &bob).await.1["id"], json!(users[0]));
    let elsewhere = token(&server, &provider, "ada", "urn:elsewhere:EdDSA").await;
    assert_eq!(me(&server, &elsewhere).await.0, StatusCode::UNAUTHORIZED, "it is meant for another audience");

    assert!(server.stop().await.success());
    let server = trusting(&provider, &dir, "").await;
    let ada = token(&server, &provider, "ada", "urn:berth:EdDSA").await;
    assert_eq!(me(&server, &ada).await.1["id"], json!(users[0]), "whose an identity is outlasts the process");

    assert_eq!(order(&server, &users[0], "revoke").await.0, StatusCode::OK);
    assert_eq!(me(&server, &ada).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&server, &token(&server, &provider, "ada", "urn:berth:EdDSA").await).await.0, StatusCode::UNAUTHORIZED, "nor a new one");
    assert_eq!(me(&server, &bob).await.0, StatusCode::OK, "others are let in");
    assert_eq!(order(&server, &users[0], "restore").await.0, StatusCode::OK);
    assert_eq!(me(&server, &ada).await.0, StatusCode::UNAUTHORIZED, "what was issued before stays refused");
    let let_in = async { while me(&server, &token(&server, &provider, "ada", "urn:berth:EdDSA").await).await.0 != StatusCode::OK {} };
    assert!(tokio::time::timeout(PATIENCE, let_in).await.is_ok(), "what is issued from the next second on lets them in");
    let log = server.log();
    assert!([&ada, &bob, &elsewhere].iter().all(|token| !log.contains(token.rsplit_once('.').unwrap().1)), "no token is logged");
}

#[tokio::test]
async fn keys_are_learnt_as_they_change_and_an_absence_holds_up_only_whom_nobody_knows() {
    let folder = tempfile::tempdir().unwrap();
    let mut provider = OidcProvider::start();
    let more = r#", keys_ask_every="1ms", keys_fresh_for="1s""#;
    let server = trusting(&provider, &folder.path().join("data"), more).await;
    provider.be_away(true);
    let (status, _, again) = me(&server, &forged(&provider.issuer)).await;
    assert_eq!((status, again), (StatusCode::SERVICE_UNAVAILABLE, true), "nothing is known yet: nobody can tell");
    assert_eq!(server.get("/v1/me").await.0, StatusCode::OK, "whoever comes with another issuer's token is not held up");
    provider.be_away(false);
    let first = token(&server, &provider, "ada", "urn:berth:ES256").await;
    until(&server, &first, StatusCode::OK).await;

    provider.rotate();
    let second = token(&server, &provider, "ada", "urn:berth:ES256").await;
    until(&server, &second, StatusCode::OK).await;
    assert_eq!(me(&server, &first).await.0, StatusCode::OK, "the old key is still published");

    provider.rotate();
    let third = token(&server, &provider, "ada", "urn:berth:ES256").await;
    provider.be_away(true);
    let (status, _, again) = me(&server, &third).await;
    assert_eq!((status, again), (StatusCode::SERVICE_UNAVAILABLE, true), "its key may have been published");
    assert_eq!(me(&server, &second).await.0, StatusCode::OK, "a known key goes on");
    provider.be_away(false);
    until(&server, &third, StatusCode::OK).await;

    provider.withdraw();
    until(&server, &first, StatusCode::UNAUTHORIZED).await;
    assert_eq!(me(&server, &third).await.0, StatusCode::OK);
}

#[tokio::test]
async fn keys_at_a_fixed_place_need_no_configuration_and_strangers_do_not_make_it_ask() {
    let folder = tempfile::tempdir().unwrap();
    let mut provider = OidcProvider::start();
    let more = format!(r#", keys_url="{}/jwks", keys_ask_every="10m""#, provider.issuer);
    let server = trusting(&provider, &folder.path().join("data"), &more).await;
    let ada = token(&server, &provider, "ada", "urn:berth:RS256").await;
    for _ in 0..10 {
        assert_eq!(me(&server, &ada).await.0, StatusCode::OK);
        // Asked for a moment ago, which is too short a while to ask again: whether it is published nobody knows.
        assert_eq!(me(&server, &forged(&provider.issuer)).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(provider.asked(), Asked { configuration: 0, keys: 1 });
}

/// Somebody's who says to come from the issuer, with a key that nobody has published.
fn forged(issuer: &str) -> String {
    use base64::Engine as _;
    let part = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"iss": issuer, "aud": "berth", "sub": "ada", "exp": 4_000_000_000_u64});
    format!("{}.{}.{}", part(json!({"alg": "EdDSA", "kid": "nobody's"})), part(claims), part(json!("x")))
}
