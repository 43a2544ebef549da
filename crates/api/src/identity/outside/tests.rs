//! Known attacks on JWTs, each beside the token that is let through.

use std::sync::Mutex;

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use domain::ports::KeysAway;
use serde_json::json;

use super::*;

const ISSUER: &str = "https://id.test";
const NOW: i64 = 1_800_000_000;

enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    fn ec() -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap())
    }

    fn ed() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                // An RSAPublicKey of 2048 bits in DER: the lengths of its parts do not vary.
                let der = pair.public_key().as_ref();
                json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": b64(&der[9..265]), "e": b64(&der[267..])})
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": b64(&point[1..33]), "y": b64(&point[33..])})
            }
            Self::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(pair.public_key().as_ref())}),
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Ec(pair) => pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", b64(signature))
    }
}

/// What is published; `None`: nobody can tell.
struct Published(Mutex<Option<Vec<Value>>>);

#[async_trait]
impl IssuerKeys for Published {
    async fn keys(&self, id: Option<&str>) -> Result<Vec<Arc<Value>>, KeysAway> {
        let keys = self.0.lock().unwrap().clone().ok_or(KeysAway { issuer: ISSUER.to_owned(), cause: "away".to_owned() })?;
        Ok(keys.into_iter().filter(|key| id.is_none_or(|id| key["kid"] == id)).map(Arc::new).collect())
    }
}

struct Fixture {
    issuer: OutsideIssuer,
    published: Arc<Published>,
    signer: Signer,
}

impl Fixture {
    fn new(signer: Signer) -> Self {
        let published = Arc::new(Published(Mutex::new(Some(vec![signer.jwk("k1")]))));
        let trust = Trust {
            issuer: ISSUER.to_owned(),
            audiences: vec!["berth".to_owned(), "berth-eu".to_owned()],
            algorithms: vec![OutsideAlgorithm::Rs256, OutsideAlgorithm::Es256, OutsideAlgorithm::EdDsa],
            subject_claim: "sub".to_owned(),
            name_claim: Some("email".to_owned()),
            required_claims: Vec::new(),
            leeway: Duration::from_secs(30),
            just_in_time: false,
        };
        Self { issuer: OutsideIssuer { trust, keys: published.clone() }, published, signer }
    }

    fn header(&self) -> Value {
        json!({"alg": self.signer.algorithm(), "kid": "k1", "typ": "JWT"})
    }

    async fn verify(&self, token: &str) -> Result<Verified, Rejection> {
        self.issuer.verify(token, Time::from_micros(NOW * 1_000_000)).await
    }

    /// Why a token with this header and these claims, signed as it should be, is not accepted.
    async fn refusal(&self, header: &Value, claims: &Value) -> Rejection {
        self.verify(&self.signer.sign(header, claims)).await.err().unwrap_or_else(|| panic!("accepted: {header} {claims}"))
    }

    async fn refuses(&self, claims: &Value, why: TokenError) {
        assert_eq!(self.refusal(&self.header(), claims).await, Rejection::Refused(why), "{claims}");
    }
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "berth", "sub": "ada-1", "exp": NOW + 600, "iat": NOW, "jti": "t1", "email": "ada@example.com"})
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[tokio::test]
async fn each_algorithm_that_is_trusted_lets_its_tokens_through() {
    for signer in [Signer::rsa(), Signer::ec(), Signer::ed()] {
        let f = Fixture::new(signer);
        let verified = f.verify(&f.signer.sign(&f.header(), &claims())).await.ok().unwrap();
        assert_eq!(verified.identity, OutsideIdentity { issuer: ISSUER.to_owned(), subject: "ada-1".to_owned() });
        assert_eq!((verified.name.as_deref(), verified.token_id.as_deref()), (Some("ada@example.com"), Some("t1")));
        assert_eq!(verified.issued_at, Some(Time::from_micros(NOW * 1_000_000)));
        assert_eq!((verified.expires_at, verified.valid_for), (Time::from_micros((NOW + 600) * 1_000_000), Duration::from_secs(630)));
        for header in [json!({"alg": f.signer.algorithm()}), json!({"alg": f.signer.algorithm(), "typ": "application/at+JWT", "kid": "k1"})]
        {
            assert!(f.verify(&f.signer.sign(&header, &with("aud", json!(["other", "berth-eu"])))).await.is_ok(), "{header}");
        }
    }
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let f = Fixture::new(Signer::ed());
    for alg in ["none", "None", "NONE", ""] {
        let header = json!({"alg": alg, "kid": "k1", "typ": "JWT"});
        for signature in ["", "AAAA"] {
            let token = format!("{}.{}.{signature}", b64(header.to_string()), b64(claims().to_string()));
            assert_eq!(f.verify(&token).await.err(), Some(TokenError::UntrustedAlgorithm.into()), "{alg}");
        }
    }
    let stripped = f.signer.sign(&f.header(), &claims());
    let stripped = &stripped[..=stripped.rfind('.').unwrap()];
    assert_eq!(f.verify(stripped).await.err(), Some(TokenError::Signature.into()));
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let f = Fixture::new(Signer::rsa());
    let jwk = f.published.0.lock().unwrap().clone().unwrap()[0].clone();
    let Signer::Rsa(pair) = &f.signer else { unreachable!() };
    for secret in
        [pair.public_key().as_ref().to_vec(), jwk.to_string().into_bytes(), URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap()]
    {
        let mut header = jsonwebtoken::Header::new(Algorithm::HS256);
        header.kid = Some("k1".to_owned());
        let token = jsonwebtoken::encode(&header, &claims(), &jsonwebtoken::EncodingKey::from_secret(&secret)).unwrap();
        assert_eq!(f.verify(&token).await.err(), Some(TokenError::UntrustedAlgorithm.into()));
    }
    // Nor is a secret that somebody publishes by mistake.
    *f.published.0.lock().unwrap() = Some(vec![json!({"kty": "oct", "kid": "k1", "k": b64("secret")})]);
    assert_eq!(f.refusal(&f.header(), &claims()).await, TokenError::UnknownKey.into());
}

#[tokio::test]
async fn a_key_is_good_for_its_own_algorithm_only() {
    let f = Fixture::new(Signer::ec());
    for (name, value) in
        [("alg", json!("ES384")), ("use", json!("enc")), ("key_ops", json!(["sign"])), ("crv", json!("P-384")), ("kty", json!("RSA"))]
    {
        let mut jwk = f.signer.jwk("k1");
        jwk[name] = value;
        *f.published.0.lock().unwrap() = Some(vec![jwk]);
        assert_eq!(f.refusal(&f.header(), &claims()).await, TokenError::UnknownKey.into(), "{name}");
    }
    let mut f = Fixture::new(Signer::rsa());
    f.issuer.trust.algorithms = vec![OutsideAlgorithm::EdDsa];
    assert_eq!(f.refusal(&f.header(), &claims()).await, TokenError::UntrustedAlgorithm.into());
}

#[tokio::test]
async fn a_key_id_selects_among_published_keys_and_does_nothing_else() {
    let f = Fixture::new(Signer::ed());
    for kid in ["k2", "", "../../../../dev/null", "k1' or '1'='1", "https://evil.test/jwks.json", "k1\u{0}"] {
        let header = json!({"alg": "EdDSA", "kid": kid});
        assert_eq!(f.refusal(&header, &claims()).await, TokenError::UnknownKey.into(), "{kid:?}");
    }
    assert_eq!(f.refusal(&json!({"alg": "EdDSA", "kid": "k".repeat(257)}), &claims()).await, TokenError::Malformed.into());
    assert_eq!(f.refusal(&json!({"alg": "EdDSA", "kid": ["k1"]}), &claims()).await, TokenError::Malformed.into());
    // Another's key under the id of a published one.
    let forged = Signer::ed().sign(&f.header(), &claims());
    assert_eq!(f.verify(&forged).await.err(), Some(TokenError::Signature.into()));
}

#[tokio::test]
async fn keys_that_a_token_brings_along_are_not_looked_at() {
    let f = Fixture::new(Signer::ed());
    let evil = Signer::ed();
    for (name, value) in [
        ("jwk", evil.jwk("k1")),
        ("jku", json!("https://evil.test/jwks.json")),
        ("x5u", json!("https://evil.test/c.pem")),
        ("x5c", json!(["AAAA"])),
    ] {
        let mut header = f.header();
        header[name] = value;
        assert_eq!(f.verify(&evil.sign(&header, &claims())).await.err(), Some(TokenError::Signature.into()), "{name}");
    }
    let mut header = f.header();
    header["crit"] = json!(["exp"]);
    assert_eq!(f.refusal(&header, &claims()).await, TokenError::Malformed.into(), "what must be understood is not");
    header = json!({"alg": "EdDSA", "kid": "k1", "typ": "logout+jwt"});
    assert_eq!(f.refusal(&header, &claims()).await, TokenError::Malformed.into(), "a token of another kind");
}

#[tokio::test]
async fn claims_are_held_against_the_issuers_rules() {
    let mut f = Fixture::new(Signer::ed());
    f.refuses(&without("exp"), TokenError::MissingClaim).await;
    f.refuses(&without("aud"), TokenError::MissingClaim).await;
    f.refuses(&without("iss"), TokenError::MissingClaim).await;
    f.refuses(&without("sub"), TokenError::MissingClaim).await;
    f.refuses(&with("iss", "https://evil.test"), TokenError::Issuer).await;
    f.refuses(&with("iss", "https://id.test/"), TokenError::Issuer).await;
    f.refuses(&with("aud", "elsewhere"), TokenError::Audience).await;
    f.refuses(&with("aud", json!(["elsewhere"])), TokenError::Audience).await;
    f.refuses(&with("exp", NOW - 30), TokenError::Expired).await;
    assert!(f.verify(&f.signer.sign(&f.header(), &with("exp", NOW - 29))).await.is_ok(), "the issuer's clock may be off");
    f.refuses(&with("nbf", NOW + 31), TokenError::NotYet).await;
    f.refuses(&with("iat", NOW + 31), TokenError::NotYet).await;
    assert!(f.verify(&f.signer.sign(&f.header(), &with("nbf", NOW + 30))).await.is_ok());
    for exp in [json!("tomorrow"), json!(1e300), json!(-1e300), json!({})] {
        let refusal = f.refusal(&f.header(), &with("exp", exp.clone())).await;
        assert!(
            matches!(refusal, Rejection::Refused(TokenError::Malformed | TokenError::MissingClaim | TokenError::Expired)),
            "{exp} {refusal}"
        );
    }
    for subject in [json!(""), json!(7), json!(null), json!("x".repeat(256)), json!("a\nb")] {
        f.refuses(&with("sub", subject), TokenError::OutsideSubject).await;
    }
    f.issuer.trust.required_claims = vec![("hd".to_owned(), "example.com".to_owned())];
    f.refuses(&claims(), TokenError::RequiredClaim).await;
    f.refuses(&with("hd", "evil.test"), TokenError::RequiredClaim).await;
    for good in [json!("example.com"), json!(["x", "example.com"])] {
        assert!(f.verify(&f.signer.sign(&f.header(), &with("hd", good))).await.is_ok());
    }
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let f = Fixture::new(Signer::ed());
    let good = f.signer.sign(&f.header(), &claims());
    assert_eq!(named_issuer(&good), Ok(Some(ISSUER.to_owned())));
    assert_eq!(named_issuer(&format!("{good}{}", "A".repeat(OUTSIDE_LENGTH_MAX))), Err(TokenError::FarTooLong));
    for bad in ["", ".", "..", "a.b.c", "berth_1234", &format!("{good}.x"), &good.replacen('.', "", 1), &format!("{good}=")] {
        assert!(f.verify(bad).await.is_err(), "{bad}");
    }
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_no_refusal() {
    let f = Fixture::new(Signer::ed());
    *f.published.0.lock().unwrap() = None;
    assert!(matches!(f.refusal(&f.header(), &claims()).await, Rejection::Unavailable(_)));
}
