//! Tokens of one outside issuer: everything that is checked about them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ports::{IssuerKeys, OutsideIdentity};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use saga::Time;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::tokens::{OUTSIDE_LENGTH_MAX, Rejection, TokenError};

/// Keys that one token is tried with, where it does not say which it is signed with.
const TRIES_MAX: usize = 8;
const KEY_ID_MAX: usize = 256;
const SUBJECT_MAX: usize = 255;
/// What an access or an id token may call itself; others (of a log-out, say) are for something else.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// How an outside issuer may sign. All asymmetric: a public key is never taken for a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutsideAlgorithm {
    Rs256,
    Es256,
    EdDsa,
}

impl OutsideAlgorithm {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    fn library(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }

    /// Key type and curve.
    fn key(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Rs256 => ("RSA", None),
            Self::Es256 => ("EC", Some("P-256")),
            Self::EdDsa => ("OKP", Some("Ed25519")),
        }
    }
}

/// What an issuer is believed, and on what conditions.
#[derive(Debug, Clone)]
pub struct Trust {
    /// As its tokens and its configuration name it.
    pub issuer: String,
    /// A token has to be meant for one of these.
    pub audiences: Vec<String>,
    pub algorithms: Vec<OutsideAlgorithm>,
    /// The claim that tells users apart, for ever.
    pub subject_claim: String,
    /// The claim that a user who is made here is called by.
    pub name_claim: Option<String>,
    /// Claims that have to be there with these values; of a list, one of its values.
    pub required_claims: Vec<(String, String)>,
    /// How far the issuer's clock may be off.
    pub leeway: Duration,
    /// Whether a user whom nobody knows is made.
    pub just_in_time: bool,
}

/// An outside issuer and its keys.
pub struct OutsideIssuer {
    pub trust: Trust,
    pub keys: Arc<dyn IssuerKeys>,
}

impl fmt::Debug for OutsideIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutsideIssuer").field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// What a token says that holds.
pub(super) struct Verified {
    pub identity: OutsideIdentity,
    pub name: Option<String>,
    pub token_id: Option<String>,
    pub issued_at: Option<Time>,
    pub expires_at: Time,
    pub valid_for: Duration,
}

/// What is read of a header. Keys that a token brings along (`jwk`, `jku`, `x5c`, `x5u`) are nobody's, and not even read.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    iss: Option<String>,
}

/// The issuer that a token names, which proves nothing; `None` for what names none or is no JWT.
///
/// # Errors
/// The token is too long to be read.
pub(super) fn named_issuer(token: &str) -> Result<Option<String>, TokenError> {
    if token.len() > OUTSIDE_LENGTH_MAX {
        return Err(TokenError::FarTooLong);
    }
    Ok(part::<Named>(token, 1).and_then(|named| named.iss))
}

fn part<T: for<'de> Deserialize<'de>>(token: &str, index: usize) -> Option<T> {
    let part = token.split('.').nth(index)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

impl OutsideIssuer {
    pub(super) async fn verify(&self, token: &str, now: Time) -> Result<Verified, Rejection> {
        let header: Header = part(token, 0).ok_or(TokenError::Malformed)?;
        let algorithm = OutsideAlgorithm::parse(&header.alg).filter(|alg| self.trust.algorithms.contains(alg));
        let algorithm = algorithm.ok_or(TokenError::UntrustedAlgorithm)?;
        let is_typed = header.typ.is_none_or(|typ| {
            let typ = typ.to_ascii_lowercase();
            TYPES.contains(&typ.strip_prefix("application/").unwrap_or(&typ))
        });
        if !is_typed || header.crit.is_some() || header.kid.as_ref().is_some_and(|kid| kid.len() > KEY_ID_MAX) {
            return Err(TokenError::Malformed.into());
        }
        let published = self.keys.keys(header.kid.as_deref()).await.map_err(|away| Rejection::Unavailable(away.to_string()))?;
        let mut refusal = TokenError::UnknownKey;
        for key in published.iter().filter_map(|key| fitting(key, algorithm)).take(TRIES_MAX) {
            match decode::<Map<String, Value>>(token, &key, &self.validation(algorithm)) {
                Ok(data) => return Ok(self.held_against(&data.claims, now)?),
                Err(error) => match error.kind() {
                    ErrorKind::InvalidSignature => refusal = TokenError::Signature,
                    ErrorKind::InvalidAudience => return Err(TokenError::Audience.into()),
                    ErrorKind::InvalidIssuer => return Err(TokenError::Issuer.into()),
                    ErrorKind::MissingRequiredClaim(_) => return Err(TokenError::MissingClaim.into()),
                    _ => return Err(TokenError::Malformed.into()),
                },
            }
        }
        Err(refusal.into())
    }

    fn validation(&self, algorithm: OutsideAlgorithm) -> Validation {
        let mut validation = Validation::new(algorithm.library());
        validation.set_audience(&self.trust.audiences);
        validation.set_issuer(&[&self.trust.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // Times are compared here, with the clock that was passed in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation
    }

    /// Claims whose signature fits.
    fn held_against(&self, claims: &Map<String, Value>, now: Time) -> Result<Verified, TokenError> {
        let trust = &self.trust;
        let expires_at = time(claims, "exp")?.ok_or(TokenError::MissingClaim)?;
        let issued_at = time(claims, "iat")?;
        if expires_at + trust.leeway <= now {
            return Err(TokenError::Expired);
        }
        let not_before = time(claims, "nbf")?;
        if [issued_at, not_before].into_iter().flatten().any(|from| from > now + trust.leeway) {
            return Err(TokenError::NotYet);
        }
        if !trust.required_claims.iter().all(|(name, wanted)| claims.get(name).is_some_and(|found| holds(found, wanted))) {
            return Err(TokenError::RequiredClaim);
        }
        let subject = claims.get(&trust.subject_claim).ok_or(TokenError::MissingClaim)?.as_str();
        let fits = |s: &&str| (1..=SUBJECT_MAX).contains(&s.chars().count()) && !s.chars().any(char::is_control);
        let subject = subject.filter(fits).ok_or(TokenError::OutsideSubject)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        Ok(Verified {
            identity: OutsideIdentity { issuer: trust.issuer.clone(), subject: subject.to_owned() },
            name: trust.name_claim.as_deref().and_then(text),
            token_id: text("jti").filter(|id| id.len() <= SUBJECT_MAX && !id.chars().any(char::is_control)),
            issued_at,
            expires_at,
            valid_for: (expires_at + trust.leeway).since(now),
        })
    }
}

/// A published key, if it is one for this algorithm.
fn fitting(key: &Value, algorithm: OutsideAlgorithm) -> Option<DecodingKey> {
    let (kind, curve) = algorithm.key();
    let says = |name: &str, wanted: &str| key.get(name).is_none_or(|found| found == wanted);
    let fits = key["kty"] == kind
        && curve.is_none_or(|curve| key["crv"] == curve)
        && says("use", "sig")
        && says("alg", algorithm.name())
        && key.get("key_ops").is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify")));
    if !fits {
        return None;
    }
    let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
    DecodingKey::from_jwk(&jwk).ok()
}

/// Whether a claim has a value, or is a list that has it.
fn holds(found: &Value, wanted: &str) -> bool {
    match found {
        Value::String(text) => text == wanted,
        Value::Bool(_) | Value::Number(_) => {
            let text = found.to_string();
            text == wanted
        }
        Value::Array(items) => items.iter().any(|item| !item.is_array() && holds(item, wanted)),
        Value::Null | Value::Object(_) => false,
    }
}

/// Seconds since 1970, which may have a fraction (RFC 7519).
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Time>, TokenError> {
    // Far beyond any token's time, and far from an overflow.
    const SECONDS_MAX: f64 = 1e11;
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|s| s.abs() <= SECONDS_MAX).ok_or(TokenError::Malformed)?;
    #[expect(clippy::cast_possible_truncation, reason = "it is between -1e11 and 1e11")]
    let whole = seconds.floor() as i64;
    Ok(Some(Time::from_micros(whole * 1_000_000)))
}

#[cfg(test)]
mod tests;
