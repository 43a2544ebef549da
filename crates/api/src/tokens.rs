//! The built-in token issuer: JWTs signed with Ed25519, and the port that other issuers implement.
//!
//! A token is a secret: none is ever logged, and none appears in a `Debug` output.

mod remembered;
mod standing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use domain::{Principal, PrincipalKind};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use saga::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use remembered::Remembered;
pub(crate) use standing::Standing;

/// The audience of every token for this API.
pub const AUDIENCE: &str = "berth";
/// Longer tokens are refused unread.
const LENGTH_MAX: usize = 4096;
/// The same for tokens of outside issuers, which may carry a signature of RSA and claims that are not ours.
pub(crate) const OUTSIDE_LENGTH_MAX: usize = 16 * 1024;
/// How far the issuer's clock may be off.
const LEEWAY: Duration = Duration::from_secs(5);

/// Tells the time; passed in, so that a test can choose it.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// What a valid token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    pub principal: Principal,
    /// The token's `jti`.
    pub token_id: Option<String>,
    /// Without it, a token may be as old as can be.
    pub issued_at: Option<Time>,
    pub expires_at: Time,
    /// How long the token will be accepted from now on.
    pub valid_for: Duration,
    pub kind: TokenKind,
    /// The only workspace that the token is good for.
    pub workspace: Option<Uuid>,
    /// The user for whom its holder acts with it, whatever the request says.
    pub on_behalf_of: Option<Principal>,
}

/// How a token was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// A person's, or one that was made by hand.
    Login,
    /// Got with a service account's credentials.
    Application,
    /// For exactly one workspace.
    Workspace,
    /// Long-lived; no JWT.
    Api,
}

/// A token that is to be issued.
#[derive(Debug, Clone)]
pub struct Grant {
    pub principal: Principal,
    /// Its `jti`.
    pub token_id: Uuid,
    pub lifetime: Duration,
    pub kind: TokenKind,
    pub workspace: Option<Uuid>,
    /// The id of a user.
    pub on_behalf_of: Option<Uuid>,
}

/// Why a token is not accepted; said to the client, so never more than it may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is longer than {LENGTH_MAX} characters")]
    TooLong,
    #[error("the token is not a JWT")]
    Malformed,
    #[error("the token is not signed with EdDSA")]
    Algorithm,
    #[error("the token's signature does not fit")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token is not meant for this API")]
    Audience,
    #[error("the token comes from another issuer")]
    Issuer,
    #[error("the token lacks a claim: exp, iss, aud and sub are needed")]
    MissingClaim,
    #[error("the token's subject is not `user:UUID` or `service_account:UUID`")]
    Subject,
    #[error("the token is for one workspace and does not say for which, or says so and is not")]
    Scope,
    #[error("the token is no longer good")]
    Revoked,
    #[error("the token is nobody's: a long-lived one begins with `berth_token_` and has 104 digits")]
    Unknown,
    #[error("the token rests while its workspace is frozen")]
    Frozen,
    #[error("the token is longer than {OUTSIDE_LENGTH_MAX} characters")]
    FarTooLong,
    #[error("the token is not signed with an algorithm that its issuer is trusted for")]
    UntrustedAlgorithm,
    #[error("the token is signed with a key that its issuer does not publish")]
    UnknownKey,
    #[error("a claim that this API requires is missing or has another value")]
    RequiredClaim,
    #[error("the token's subject is no text of 1 to 255 characters")]
    OutsideSubject,
    #[error("the token's user is not known here, and users are not made by a token of this issuer")]
    UnknownUser,
}

/// Why a request with a token goes no further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error(transparent)]
    Refused(#[from] TokenError),
    /// It was good once: its use is recorded.
    #[error("the token is no longer good")]
    Revoked(Box<Claims>),
    /// What is needed to tell cannot be had now; never read as a refusal.
    #[error("the token cannot be checked now: {0}")]
    Unavailable(String),
}

/// Tells from a token who sends it.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// # Errors
    /// Why the token is not accepted, or that nobody can tell now.
    async fn authenticate(&self, token: &str) -> Result<Claims, Rejection>;
}

/// The key cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[error("the signing key is not usable: {0}")]
pub struct KeyError(String);

/// Signs and verifies tokens with one Ed25519 key.
pub struct Issuer {
    name: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    clock: Clock,
    remembered: Remembered,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Payload {
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
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Issuer {
    /// A fresh key as PKCS#8, for [`Issuer::new`]; keep it as one keeps a password.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate_key() -> Result<Vec<u8>, KeyError> {
        Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map(|d| d.as_ref().to_vec()).map_err(|e| KeyError(e.to_string()))
    }

    /// An issuer of this `name` (the tokens' `iss`) with a key of [`Issuer::generate_key`].
    ///
    /// # Errors
    /// `pkcs8` is not an Ed25519 key.
    pub fn new(pkcs8: &[u8], name: impl Into<String>, clock: Clock) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|e| KeyError(e.to_string()))?;
        let name = name.into();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&name]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Times are compared here, with the clock that was passed in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Ok(Self {
            name,
            encoding: EncodingKey::from_ed_der(pkcs8),
            decoding: DecodingKey::from_ed_der(pair.public_key().as_ref()),
            validation,
            clock,
            remembered: Remembered::default(),
        })
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
        };
        encode(&Header::new(Algorithm::EdDSA), &payload, &self.encoding).map_err(|e| KeyError(e.to_string()))
    }

    /// Checks a token, with nothing but the key.
    fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > LENGTH_MAX {
            return Err(TokenError::TooLong);
        }
        let decoded = || decode::<Payload>(token, &self.decoding, &self.validation).map(|d| d.claims).map_err(|e| refusal(e.kind()));
        let payload = self.remembered.or_verify(token, decoded)?;
        let now = (self.clock)();
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
}

fn seconds(time: Time) -> i64 {
    time.micros().div_euclid(1_000_000)
}

#[async_trait]
impl Authenticator for Issuer {
    async fn authenticate(&self, token: &str) -> Result<Claims, Rejection> {
        Ok(self.verify(token)?)
    }
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
