//! The built-in issuer: JWTs signed with Ed25519, by the newest of several keys.
//!
//! The keys are the installation's, and any of its processes may have added or revoked one. Each looks for changes now and then
//! ([`Issuer::refresh`]), and at once when a token names a key that it does not know.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use domain::{Principal, PrincipalKind};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use saga::Time;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ring::{Jwk, Ring, SigningKey};
use super::{Authenticator, Claims, Clock, Grant, KeyError, PrivateKey, Rejection, TokenError, TokenKind};

/// The audience of every token for this API.
pub const AUDIENCE: &str = "berth";
/// Longer tokens are refused unread.
pub(super) const LENGTH_MAX: usize = 4096;
/// How far the issuer's clock may be off.
const LEEWAY: Duration = Duration::from_secs(5);
/// Unknown keys are asked after no more often than this: anybody can make tokens that name some.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// Where an issuer's keys are kept.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// All keys whose tokens are or will be accepted, in the order in which they sign.
    ///
    /// # Errors
    /// They cannot be had now.
    async fn keys(&self) -> Result<Vec<SigningKey>, String>;
}

/// Signs and verifies tokens.
pub struct Issuer {
    name: String,
    ring: RwLock<Arc<Ring>>,
    store: Option<Arc<dyn KeyStore>>,
    asked_at: AtomicI64,
    validation: Validation,
    clock: Clock,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    iss: String,
    aud: Audience,
    sub: String,
    exp: i64,
    #[serde(default)]
    iat: Option<i64>,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    jti: Option<String>,
    /// None: a login. One that this version does not know makes the token malformed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<TokenKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workspace: Option<Uuid>,
    /// The user for whom the subject acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    act_for: Option<Uuid>,
    /// Which of the ring's keys has signed it.
    #[serde(skip)]
    key: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Issuer {
    /// An issuer of this `name` (the tokens' `iss`) with one key, which stays the only one.
    ///
    /// # Errors
    /// It is not an Ed25519 key.
    pub fn new(key: PrivateKey, name: impl Into<String>, clock: Clock) -> Result<Self, KeyError> {
        let only = SigningKey {
            id: Uuid::nil(),
            public: key.public()?,
            private: Some(key),
            signs_from: Time::from_micros(0),
            accepted_until: None,
            is_first: true,
        };
        Ok(Self::of(vec![only], None, name.into(), clock))
    }

    /// An issuer of this `name` whose keys are in `store`.
    ///
    /// # Errors
    /// They cannot be had, or there is none that this process can sign with.
    pub async fn open(store: Arc<dyn KeyStore>, name: impl Into<String>, clock: Clock) -> Result<Self, KeyError> {
        let keys = store.keys().await.map_err(KeyError)?;
        if keys.iter().all(|key| key.private.is_none()) {
            return Err(KeyError("the key file opens none of the installation's signing keys".to_owned()));
        }
        Ok(Self::of(keys, Some(store), name.into(), clock))
    }

    fn of(keys: Vec<SigningKey>, store: Option<Arc<dyn KeyStore>>, name: String, clock: Clock) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&name]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Times are compared here, with the clock that was passed in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self { name, ring: RwLock::new(Arc::new(Ring::new(keys))), store, asked_at: AtomicI64::new(0), validation, clock }
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Learns of keys that were added or revoked.
    ///
    /// # Errors
    /// They cannot be had now; those that are known stay in force.
    pub async fn refresh(&self) -> Result<(), KeyError> {
        let Some(store) = &self.store else { return Ok(()) };
        let keys = store.keys().await.map_err(KeyError)?;
        if !self.ring().is_of(&keys) {
            *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Ring::new(keys));
        }
        Ok(())
    }

    /// What others need to check this issuer's tokens.
    #[must_use]
    pub fn published(&self) -> Vec<Jwk> {
        self.ring().published((self.clock)())
    }

    /// A token for `principal` that expires after `lifetime`; `token_id` is its `jti`.
    ///
    /// # Errors
    /// The signature cannot be made.
    pub fn sign(&self, principal: Principal, token_id: Uuid, lifetime: Duration) -> Result<String, KeyError> {
        self.issue(&Grant { principal, token_id, lifetime, kind: TokenKind::Login, workspace: None, on_behalf_of: None })
    }

    /// A token of any kind that is a JWT.
    ///
    /// # Errors
    /// The signature cannot be made.
    pub fn issue(&self, grant: &Grant) -> Result<String, KeyError> {
        let now = (self.clock)();
        let none = || KeyError("the key file opens none of the installation's signing keys".to_owned());
        let (id, key) = self.ring().signing(now).ok_or_else(none)?;
        let payload = Payload {
            iss: self.name.clone(),
            aud: Audience::One(AUDIENCE.to_owned()),
            sub: format!("{}:{}", grant.principal.kind.as_str(), grant.principal.id),
            exp: seconds(now + grant.lifetime),
            iat: Some(seconds(now)),
            nbf: None,
            jti: Some(grant.token_id.to_string()),
            kind: Some(grant.kind).filter(|kind| *kind != TokenKind::Login),
            workspace: grant.workspace,
            act_for: grant.on_behalf_of,
            key: 0,
        };
        let header = Header { kid: Some(id.to_string()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, &payload, &key).map_err(|e| KeyError(e.to_string()))
    }

    /// Checks a token, with nothing but the keys that are known.
    pub(super) fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > LENGTH_MAX {
            return Err(TokenError::TooLong);
        }
        let ring = self.ring();
        let decoded = || {
            let kid = decode_header(token).map_err(|e| refusal(e.kind()))?.kid;
            let key = ring.find(kid.as_deref()).ok_or(TokenError::Key)?;
            let decoded = decode::<Payload>(token, &ring.decoding(key), &self.validation).map_err(|e| refusal(e.kind()))?;
            Ok(Payload { key, ..decoded.claims })
        };
        let payload = ring.remembered.or_verify(token, decoded)?;
        let now = (self.clock)();
        if !ring.accepts(payload.key, now) {
            return Err(TokenError::Key);
        }
        if payload.exp <= seconds(now - LEEWAY) {
            return Err(TokenError::Expired);
        }
        if payload.nbf.is_some_and(|nbf| nbf > seconds(now + LEEWAY)) {
            return Err(TokenError::NotYet);
        }
        let principal = principal(&payload.sub).ok_or(TokenError::Subject)?;
        let expires_at = Time::from_micros(payload.exp.saturating_mul(1_000_000));
        let kind = payload.kind.unwrap_or(TokenKind::Login);
        if kind == TokenKind::Api || (kind == TokenKind::Workspace) != payload.workspace.is_some() {
            return Err(TokenError::Scope);
        }
        Ok(Claims {
            principal,
            token_id: payload.jti.clone(),
            issued_at: payload.iat.map(|at| Time::from_micros(at.saturating_mul(1_000_000))),
            expires_at,
            valid_for: (expires_at + LEEWAY).since(now),
            kind,
            workspace: payload.workspace,
            on_behalf_of: payload.act_for.map(|id| Principal { kind: PrincipalKind::User, id }),
        })
    }

    /// Whether an unknown key may be asked after by now.
    fn may_ask(&self) -> bool {
        let (now, last) = ((self.clock)().micros(), self.asked_at.load(Ordering::Relaxed));
        let is_due = now >= last + i64::try_from(ASKED_EVERY.as_micros()).unwrap_or(i64::MAX);
        self.store.is_some() && is_due && self.asked_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[async_trait]
impl Authenticator for Issuer {
    async fn authenticate(&self, token: &str) -> Result<Claims, Rejection> {
        match self.verify(token) {
            Err(TokenError::Key) if self.may_ask() => {
                self.refresh().await.map_err(|error| Rejection::Unavailable(error.to_string()))?;
                Ok(self.verify(token)?)
            }
            other => Ok(other?),
        }
    }
}

fn seconds(time: Time) -> i64 {
    time.micros().div_euclid(1_000_000)
}

fn refusal(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::MissingAlgorithm => TokenError::Algorithm,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::MissingRequiredClaim(_) => TokenError::MissingClaim,
        _ => TokenError::Malformed,
    }
}

fn principal(subject: &str) -> Option<Principal> {
    let (kind, id) = subject.split_once(':')?;
    Some(Principal { kind: PrincipalKind::parse(kind)?, id: Uuid::try_parse(id).ok()? })
}

#[cfg(test)]
mod tests;
