use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::PrincipalKind;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;

const HOUR: Duration = Duration::from_hours(1);

struct Fixture {
    issuer: Issuer,
    key: Vec<u8>,
    now: Arc<AtomicI64>,
    user: Principal,
}

fn clock(now: &Arc<AtomicI64>) -> Clock {
    let now = now.clone();
    Arc::new(move || Time::from_micros(now.load(Ordering::SeqCst)))
}

fn fixture() -> Fixture {
    let now = Arc::new(AtomicI64::new(1_800_000_000_000_000));
    let key = PrivateKey::generate().unwrap();
    let issuer = Issuer::new(key.clone(), "https://berth.test", clock(&now)).unwrap();
    Fixture { issuer, key: key.pkcs8().to_vec(), now, user: Principal { kind: PrincipalKind::User, id: Uuid::from_u128(7) } }
}

impl Fixture {
    fn claims(&self) -> Value {
        json!({"iss": "https://berth.test", "aud": "berth", "sub": format!("user:{}", self.user.id), "exp": 1_800_003_600})
    }

    fn signed(&self, claims: &Value) -> String {
        encode(&Header::new(Algorithm::EdDSA), claims, &EncodingKey::from_ed_der(&self.key)).unwrap()
    }

    fn without(&self, claim: &str) -> String {
        let mut claims = self.claims();
        claims.as_object_mut().unwrap().remove(claim);
        self.signed(&claims)
    }

    fn with(&self, claim: &str, value: impl Into<Value>) -> String {
        let mut claims = self.claims();
        claims[claim] = value.into();
        self.signed(&claims)
    }
}

#[test]
fn a_signed_token_names_its_principal_until_it_expires() {
    let f = fixture();
    for kind in [PrincipalKind::User, PrincipalKind::ServiceAccount] {
        let principal = Principal { kind, id: Uuid::from_u128(9) };
        let claims = f.issuer.verify(&f.issuer.sign(principal, Uuid::from_u128(5), HOUR).unwrap()).unwrap();
        assert_eq!((claims.principal, claims.token_id), (principal, Some(Uuid::from_u128(5).to_string())));
        assert_eq!(claims.expires_at, Time::from_micros(1_800_003_600_000_000));
    }
    let token = f.issuer.sign(f.user, Uuid::nil(), HOUR).unwrap();
    f.now.fetch_add(3_604_000_000, Ordering::SeqCst);
    assert!(f.issuer.verify(&token).is_ok(), "within the leeway");
    f.now.fetch_add(2_000_000, Ordering::SeqCst);
    assert_eq!(f.issuer.verify(&token), Err(TokenError::Expired));
}

#[test]
fn a_token_of_another_key_issuer_or_audience_is_refused() {
    let f = fixture();
    let stranger = Issuer::new(PrivateKey::generate().unwrap(), "https://berth.test", clock(&f.now)).unwrap();
    assert_eq!(f.issuer.verify(&stranger.sign(f.user, Uuid::nil(), HOUR).unwrap()), Err(TokenError::Signature));
    assert_eq!(f.issuer.verify(&f.with("aud", "other")), Err(TokenError::Audience));
    assert_eq!(f.issuer.verify(&f.with("aud", json!(["other"]))), Err(TokenError::Audience));
    assert!(f.issuer.verify(&f.with("aud", json!(["other", "berth"]))).is_ok());
    assert_eq!(f.issuer.verify(&f.with("iss", "https://evil.test")), Err(TokenError::Issuer));
    assert_eq!(f.issuer.verify(&f.with("nbf", 1_800_000_060)), Err(TokenError::NotYet));
}

/// What is remembered of a token lets no other one in that says the same.
#[test]
fn a_remembered_token_vouches_for_no_other() {
    let f = fixture();
    let token = f.signed(&f.claims());
    assert_eq!(f.issuer.verify(&token).unwrap(), f.issuer.verify(&token).unwrap());
    let (says, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{says}.{other}{}", &signature[1..]);
    assert_eq!(f.issuer.verify(&forged), Err(TokenError::Signature));
}

#[test]
fn a_token_that_lacks_a_claim_is_refused() {
    let f = fixture();
    for claim in ["exp", "iss", "aud", "sub"] {
        assert!(f.issuer.verify(&f.without(claim)).is_err(), "{claim} may not be missing");
    }
    for subject in ["", "user", "user:", "user:7", "robot:00000000-0000-0000-0000-000000000007"] {
        assert_eq!(f.issuer.verify(&f.with("sub", subject)), Err(TokenError::Subject), "{subject:?}");
    }
    assert_eq!(f.issuer.verify(&f.with("exp", "tomorrow")), Err(TokenError::Malformed));
}

/// The classic forgeries: no signature at all, and an HMAC keyed with the public key.
#[test]
fn alg_none_and_hs256_are_refused() {
    let f = fixture();
    let part = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
    let none = format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(&f.claims()));
    assert!(f.issuer.verify(&none).is_err());
    let public = Ed25519KeyPair::from_pkcs8(&f.key).unwrap().public_key().as_ref().to_vec();
    let hs256 = encode(&Header::new(Algorithm::HS256), &f.claims(), &EncodingKey::from_secret(&public)).unwrap();
    assert_eq!(f.issuer.verify(&hs256), Err(TokenError::Algorithm));
}

#[test]
fn nonsense_is_refused_without_a_panic() {
    let f = fixture();
    for token in ["", ".", "..", "a.b.c", "é.é.é", "eyJhbGciOiJFZERTQSJ9.e30."] {
        assert!(f.issuer.verify(token).is_err(), "{token:?}");
    }
    assert_eq!(f.issuer.verify(&"x".repeat(1_000_000)), Err(TokenError::TooLong));
}

#[test]
fn debug_shows_no_key() {
    let f = fixture();
    assert_eq!(format!("{:?}", f.issuer), "Issuer { name: \"https://berth.test\", .. }");
}
