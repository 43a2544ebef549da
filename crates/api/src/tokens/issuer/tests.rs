//! Keys that come and go while processes sign and check.

use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use jsonwebtoken::EncodingKey;

use super::*;

const HOUR: Duration = Duration::from_hours(1);
const NOW: i64 = 1_800_000_000_000_000;

/// An installation's keys and clock, and how often its processes have asked.
#[derive(Default)]
struct Installation {
    keys: Mutex<Vec<SigningKey>>,
    asked: AtomicU32,
    now: AtomicI64,
    is_away: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl KeyStore for Installation {
    async fn keys(&self) -> Result<Vec<SigningKey>, String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.is_away.load(Ordering::SeqCst) {
            return Err("away".to_owned());
        }
        Ok(self.keys.lock().unwrap().clone())
    }
}

fn id(number: u8) -> Uuid {
    Uuid::from_u128(u128::from(number))
}

fn user() -> Principal {
    Principal { kind: PrincipalKind::User, id: Uuid::from_u128(77) }
}

impl Installation {
    /// With a key 1 that signs.
    fn new() -> Arc<Self> {
        let installation = Arc::new(Self::default());
        installation.now.store(NOW, Ordering::SeqCst);
        installation.add(1, Duration::ZERO);
        installation
    }

    fn now(&self) -> Time {
        Time::from_micros(self.now.load(Ordering::SeqCst))
    }

    fn advance(&self, time: Duration) {
        self.now.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }

    fn add(&self, number: u8, signs_in: Duration) {
        let key = PrivateKey::generate().unwrap();
        let (public, signs_from) = (key.public().unwrap(), self.now() + signs_in);
        let added = SigningKey { id: id(number), public, private: Some(key), signs_from, accepted_until: None, is_first: number == 1 };
        self.keys.lock().unwrap().push(added);
    }

    fn change(&self, number: u8, change: impl FnOnce(&mut SigningKey)) {
        change(self.keys.lock().unwrap().iter_mut().find(|key| key.id == id(number)).unwrap());
    }

    fn revoke(&self, number: u8) {
        self.keys.lock().unwrap().retain(|key| key.id != id(number));
    }

    async fn process(self: &Arc<Self>) -> Issuer {
        let (store, clock) = (self.clone(), self.clone());
        Issuer::open(store, "https://berth.test", Arc::new(move || clock.now())).await.unwrap()
    }
}

fn signed(issuer: &Issuer) -> String {
    issuer.sign(user(), Uuid::nil(), HOUR * 24).unwrap()
}

fn kid(token: &str) -> Uuid {
    decode_header(token).unwrap().kid.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_new_key_is_published_first_then_signs_and_the_tokens_of_the_old_one_are_accepted_for_a_while() {
    let installation = Installation::new();
    let (one, other) = (installation.process().await, installation.process().await);
    let before = signed(&one);
    installation.add(2, HOUR);
    one.refresh().await.unwrap();
    assert_eq!(one.published().iter().map(Jwk::kid).collect::<Vec<_>>(), [id(1), id(2)], "it is known before it signs");
    assert_eq!((kid(&before), kid(&signed(&one))), (id(1), id(1)));
    installation.advance(HOUR);
    let after = signed(&one);
    assert_eq!(kid(&after), id(2));
    assert_eq!(other.authenticate(&after).await.unwrap().principal, user(), "a process that has not looked since asks when it sees one");
    let until = installation.now() + HOUR;
    installation.change(1, |key| key.accepted_until = Some(until));
    for process in [&one, &other] {
        process.refresh().await.unwrap();
        assert!(process.authenticate(&before).await.is_ok());
    }
    installation.advance(HOUR);
    assert_eq!(one.authenticate(&before).await, Err(Rejection::Refused(TokenError::Key)), "though it was remembered, and lives on");
    assert_eq!(one.published().iter().map(Jwk::kid).collect::<Vec<_>>(), [id(2)]);
    assert!(one.authenticate(&after).await.is_ok());
}

#[tokio::test]
async fn a_revoked_keys_tokens_are_refused_even_those_that_were_remembered() {
    let installation = Installation::new();
    let issuer = installation.process().await;
    let token = signed(&issuer);
    assert!(issuer.authenticate(&token).await.is_ok());
    installation.add(2, Duration::ZERO);
    installation.revoke(1);
    issuer.refresh().await.unwrap();
    assert_eq!(issuer.authenticate(&token).await, Err(Rejection::Refused(TokenError::Key)));
    assert_eq!(kid(&signed(&issuer)), id(2));
}

#[tokio::test]
async fn keys_that_nobody_knows_are_refused_and_asked_after_once_a_second() {
    let installation = Installation::new();
    let issuer = installation.process().await;
    let stranger = PrivateKey::generate().unwrap();
    let forged = |kid: Option<&str>| {
        let payload = decode::<Payload>(&signed(&issuer), &issuer.ring().decoding(0), &issuer.validation).unwrap().claims;
        let header = Header { kid: kid.map(ToOwned::to_owned), ..Header::new(Algorithm::EdDSA) };
        encode(&header, &payload, &EncodingKey::from_ed_der(stranger.pkcs8())).unwrap()
    };
    let before = installation.asked.load(Ordering::SeqCst);
    for kid in ["", "1", "../../etc/passwd", "' or '1'='1", "https://evil.test/jwks.json", &id(9).to_string()] {
        assert_eq!(issuer.authenticate(&forged(Some(kid))).await, Err(Rejection::Refused(TokenError::Key)), "{kid:?}");
    }
    assert_eq!(installation.asked.load(Ordering::SeqCst), before + 1);
    installation.advance(Duration::from_secs(1));
    assert!(issuer.authenticate(&forged(Some("1"))).await.is_err());
    assert_eq!(installation.asked.load(Ordering::SeqCst), before + 2);
    for kid in [None, Some(id(1).to_string())] {
        assert_eq!(issuer.authenticate(&forged(kid.as_deref())).await, Err(Rejection::Refused(TokenError::Signature)), "{kid:?}");
    }
}

#[tokio::test]
async fn a_token_that_names_no_key_is_of_the_first() {
    let installation = Installation::new();
    installation.add(2, Duration::ZERO);
    let issuer = installation.process().await;
    let unnamed = |number: usize| {
        let key = installation.keys.lock().unwrap()[number].private.clone().unwrap();
        let payload = decode::<Payload>(&signed(&issuer), &issuer.ring().decoding(1), &issuer.validation).unwrap().claims;
        encode(&Header::new(Algorithm::EdDSA), &payload, &EncodingKey::from_ed_der(key.pkcs8())).unwrap()
    };
    assert!(issuer.authenticate(&unnamed(0)).await.is_ok());
    let of_second = unnamed(1);
    assert_eq!(issuer.authenticate(&of_second).await, Err(Rejection::Refused(TokenError::Signature)));
    installation.revoke(1);
    issuer.refresh().await.unwrap();
    assert_eq!(issuer.authenticate(&of_second).await, Err(Rejection::Refused(TokenError::Key)), "no other takes the first one's place");
}

#[tokio::test]
async fn while_the_keys_are_away_what_is_known_goes_on_and_what_is_not_is_no_refusal() {
    let installation = Installation::new();
    let (one, other) = (installation.process().await, installation.process().await);
    let known = signed(&one);
    installation.add(2, Duration::ZERO);
    other.refresh().await.unwrap();
    let unknown = signed(&other);
    installation.is_away.store(true, Ordering::SeqCst);
    assert!(one.authenticate(&known).await.is_ok());
    assert!(matches!(one.authenticate(&unknown).await, Err(Rejection::Unavailable(_))));
    assert!(one.refresh().await.is_err());
    assert!(one.authenticate(&known).await.is_ok());
}

#[tokio::test]
async fn without_a_private_key_nothing_is_signed_but_everything_checked() {
    let installation = Installation::new();
    let issuer = installation.process().await;
    let token = signed(&issuer);
    installation.change(1, |key| key.private = None);
    issuer.refresh().await.unwrap();
    assert!(issuer.sign(user(), Uuid::nil(), HOUR).is_err());
    assert!(issuer.authenticate(&token).await.is_ok());
    assert!(Issuer::open(installation.clone(), "https://berth.test", Arc::new(|| Time::from_micros(NOW))).await.is_err());
    // The newest that it can sign with, though a newer one is there.
    installation.add(2, Duration::ZERO);
    installation.add(3, Duration::ZERO);
    installation.change(3, |key| key.private = None);
    issuer.refresh().await.unwrap();
    assert_eq!(kid(&signed(&issuer)), id(2));
}
