//! Whether a token that is what it says it is may still be used: asked of the database, for those tokens whose holder, or whose
//! workspace, can lose them before they expire.
//!
//! A long-lived token is no JWT: all that there is to know of it is asked of the database. Which it is shows in how it begins.
//!
//! A user's login costs nothing here. A service account's token costs one read by key, so that one that is disabled is refused from
//! the next request on; so does the token of one workspace, which goes with the workspace and its freezes. Nothing is remembered from one request to the next.

use std::sync::Arc;

use async_trait::async_trait;
use domain::api_tokens::{Presented, present};
use domain::ports::{StoredApiToken, TokenStanding};
use domain::{Berth, PrincipalKind};

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
}

#[async_trait]
impl Authenticator for Standing {
    async fn authenticate(&self, token: &str) -> Result<Claims, Rejection> {
        let claims = if token.starts_with(PREFIX) { self.long_lived(token).await? } else { self.inner.authenticate(token).await? };
        let away = |error: saga::StoreError| Rejection::Unavailable(error.to_string());
        let holder = claims.principal;
        if holder.kind == PrincipalKind::ServiceAccount && self.berth.service_accounts.is_disabled(holder.id).await.map_err(away)? {
            return Err(Rejection::Revoked(Box::new(claims)));
        }
        let Some(workspace) = claims.workspace else { return Ok(claims) };
        match self.berth.tokens.standing(workspace).await.map_err(away)? {
            TokenStanding::Good => Ok(claims),
            TokenStanding::Frozen => Err(Rejection::Refused(TokenError::Frozen)),
            TokenStanding::Gone => Err(Rejection::Revoked(Box::new(claims))),
        }
    }
}
