//! The public keys of the built-in issuer.

use api::{Clock, Issuer, PrivateKey};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use crate::world::{Call, World};

/// As somebody would who trusts this installation: with what is published and a library for tokens, nothing else.
#[tokio::test]
async fn a_token_can_be_checked_with_what_is_published() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let answer = world.send(Call::get("/.well-known/jwks.json")).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200.try_into().unwrap(), "public, max-age=240"));
    let keys = answer.json["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    let kid = decode_header(&ada.token).unwrap().kid;
    assert_eq!(json!(kid), keys[0]["kid"]);
    let x = keys[0]["x"].as_str().unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&["berth"]);
    validation.validate_exp = false;
    let claims = decode::<Value>(&ada.token, &DecodingKey::from_ed_components(x).unwrap(), &validation).unwrap().claims;
    assert_eq!(claims["sub"], format!("user:{}", ada.principal.id));
    let clock: Clock = world.clock.clone();
    let stranger = Issuer::new(PrivateKey::generate().unwrap(), "https://berth.test", clock).unwrap();
    let forged = stranger.sign(ada.principal, uuid::Uuid::nil(), std::time::Duration::from_hours(1)).unwrap();
    assert!(decode::<Value>(&forged, &DecodingKey::from_ed_components(x).unwrap(), &validation).is_err());
}
