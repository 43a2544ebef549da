//! Whether a token that is what it says it is may still be used: asked of the database, for those tokens whose holder, or whose
//! workspace, can lose them before they expire.
//!
//! A user's login costs nothing here. A service account's token costs one read by key, so that one that is disabled is refused from
//! the next request on; so does the token of one workspace, which goes with the workspace and its freezes. Nothing is remembered from one request to the next.

use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::TokenStanding;
use domain::{Berth, PrincipalKind};

use super::{Authenticator, Claims, Rejection, TokenError};

/// Goes around another authenticator.
pub(crate) struct Standing {
    pub berth: Berth,
    pub inner: Arc<dyn Authenticator>,
}

#[async_trait]
impl Authenticator for Standing {
    async fn authenticate(&self, token: &str) -> Result<Claims, Rejection> {
        let claims = self.inner.authenticate(token).await?;
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
