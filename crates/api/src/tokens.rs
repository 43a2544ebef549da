//! Tokens, and who tells from one who sends it.
//!
//! A token is a secret: none is ever logged, and none appears in a `Debug` output.

mod issuer;
mod key_file;
mod remembered;
mod ring;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::Principal;
use saga::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use issuer::LENGTH_MAX;
pub use issuer::{AUDIENCE, Issuer, KeyStore};
pub use key_file::{KeyFile, PrivateKey};
pub use ring::{Jwk, SigningKey};
pub(crate) use standing::Standing;

/// The longest token of an outside issuer that is read: it may carry a signature of RSA and claims that are not ours.
pub(crate) const OUTSIDE_LENGTH_MAX: usize = 16 * 1024;

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
    #[error("the token is signed with a key that is not known, or not accepted any more")]
    Key,
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

#[cfg(test)]
mod tests;
