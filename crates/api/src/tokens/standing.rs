//! Whether a token that is what it says it is may still be used: asked of the database for each request, because what a token is good for
//! can be lost before it expires. Nothing is remembered from one request to the next, so that the answer of whoever takes it away holds in
//! every process.
//!
//! Each token costs one read by key about its holder, a user who may be revoked or a service account that may be disabled; one more where
//! its holder acts for a user, and one more where it is for one workspace, which may be deleted or frozen. A long-lived token is no JWT:
//! all that there is to know of it is asked of the database. Which it is shows in how it begins.

use std::sync::Arc;

use async_trait::async_trait;
use domain::api_tokens::{Presented, present};
use domain::ports::{Admission, StoredApiToken, TokenStanding};
use domain::{Berth, Principal, PrincipalKind};
use saga::{StoreError, Time};

use super::{Authenticator, Claims, Rejection, TokenError, TokenKind};

/// Goes around another authenticator.
pub(crate) struct Standing {
    pub berth: Berth,
    pub inner: Arc<dyn Authenticator>,
}

/// What everything begins with that Berth makes and that is no JWT.
const PREFIX: &str = "berth_";

impl Standing {
    async fn long_lived(&self, token: &str) -> Result<Claims, Rejection> {
        let claims = |stored: StoredApiToken| Claims {
            principal: stored.token.principal,
            token_id: Some(stored.token.id.to_string()),
            issued_at: Some(stored.token.created_at),
            expires_at: stored.token.expires_at,
            valid_for: stored.token.expires_at.since(stored.now),
            kind: TokenKind::Api,
            workspace: None,
            on_behalf_of: None,
        };
        match present(&self.berth, token).await.map_err(|error| Rejection::Unavailable(error.to_string()))? {
            Presented::Good(stored) => Ok(claims(stored)),
            Presented::Revoked(stored) => Err(Rejection::Revoked(Box::new(claims(stored)))),
            Presented::Expired => Err(Rejection::Refused(TokenError::Expired)),
            Presented::Unknown => Err(Rejection::Refused(TokenError::Unknown)),
        }
    }

    /// Whether the token, of `principal`'s or for acting as it, is good no more.
    async fn is_lost(&self, claims: &Claims, principal: Principal) -> Result<bool, StoreError> {
        match principal.kind {
            PrincipalKind::User => Ok(is_shut_out(&self.berth.identities.admission(principal.id).await?, claims)),
            PrincipalKind::ServiceAccount => self.berth.service_accounts.is_disabled(principal.id).await,
        }
    }
}

#[async_trait]
impl Authenticator for Standing {
    async fn authenticate(&self, token: &str) -> Result<Claims, Rejection> {
        let claims = if token.starts_with(PREFIX) { self.long_lived(token).await? } else { self.inner.authenticate(token).await? };
        let away = |error: StoreError| Rejection::Unavailable(error.to_string());
        for principal in [Some(claims.principal), claims.on_behalf_of].into_iter().flatten() {
            if self.is_lost(&claims, principal).await.map_err(away)? {
                return Err(Rejection::Revoked(Box::new(claims)));
            }
        }
        let Some(workspace) = claims.workspace else { return Ok(claims) };
        match self.berth.tokens.standing(workspace).await.map_err(away)? {
            TokenStanding::Good => Ok(claims),
            TokenStanding::Frozen => Err(Rejection::Refused(TokenError::Frozen)),
            TokenStanding::Gone => Err(Rejection::Revoked(Box::new(claims))),
        }
    }
}

/// A user who was restored gets in with what was issued since. A JWT says in whole seconds when that was: one of the second in which the
/// user was restored may be of the time before. One that does not say may be as old as can be.
fn is_shut_out(admission: &Admission, claims: &Claims) -> bool {
    let grain = if claims.kind == TokenKind::Api { 1 } else { 1_000_000 };
    let part = |time: Time| time.micros().div_euclid(grain);
    admission.revoked_at.is_some()
        || admission.tokens_not_before.is_some_and(|limit| claims.issued_at.is_none_or(|at| part(at) <= part(limit)))
}
