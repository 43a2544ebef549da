//! Whose word is taken for who somebody is: the built-in issuer's, and those of outside issuers.
//!
//! Which issuer a token is held against is told by its own `iss`, which nobody has verified by then: it selects keys and rules, and all
//! of the token is then verified with these. Whether the user may still come in is no matter of an issuer: `tokens/standing.rs` asks it of
//! the database, of whatever is let through here.

mod outside;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use domain::ports::OutsideIdentity;
use domain::{Berth, Principal, PrincipalKind};
use uuid::Uuid;

use crate::tokens::{Authenticator, Claims, Clock, Rejection, TokenError, TokenKind};

pub use outside::{OutsideAlgorithm, OutsideIssuer, Trust};

/// When there are more, all are forgotten: only those whose token was verified come in here.
const REMEMBERED_MAX: usize = 4096;

/// Takes the tokens of all issuers that are trusted.
pub struct Issuers {
    berth: Berth,
    own: Arc<dyn Authenticator>,
    outside: Vec<OutsideIssuer>,
    clock: Clock,
    /// Whose an identity is never changes.
    remembered: Mutex<HashMap<OutsideIdentity, Uuid>>,
}

impl Issuers {
    /// `own` takes what no outside issuer says to have issued.
    #[must_use]
    pub fn new(berth: Berth, own: Arc<dyn Authenticator>, outside: Vec<OutsideIssuer>, clock: Clock) -> Self {
        Self { berth, own, outside, clock, remembered: Mutex::default() }
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<OutsideIdentity, Uuid>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn verified(&self, issuer: &OutsideIssuer, token: &str) -> Result<Claims, Rejection> {
        let verified = issuer.verify(token, (self.clock)()).await?;
        let user = self.user(issuer, verified.identity, verified.name.as_deref()).await?;
        Ok(Claims {
            principal: Principal { kind: PrincipalKind::User, id: user },
            token_id: verified.token_id,
            issued_at: verified.issued_at,
            expires_at: verified.expires_at,
            valid_for: verified.valid_for,
            kind: TokenKind::Login,
            workspace: None,
            on_behalf_of: None,
        })
    }

    /// Who that is here.
    async fn user(&self, issuer: &OutsideIssuer, identity: OutsideIdentity, name: Option<&str>) -> Result<Uuid, Rejection> {
        if let Some(user) = self.remembered().get(&identity) {
            return Ok(*user);
        }
        let user = match self.berth.identities.known(&identity).await.map_err(unavailable)? {
            Some(user) => user,
            None if issuer.trust.just_in_time => domain::users::admit(&self.berth, identity.clone(), name).await.map_err(unavailable)?.id,
            None => return Err(TokenError::UnknownUser.into()),
        };
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(identity, user);
        Ok(user)
    }
}

#[async_trait]
impl Authenticator for Issuers {
    async fn authenticate(&self, token: &str) -> Result<Claims, Rejection> {
        // Without any, there is no need to look into the token twice.
        let named = if self.outside.is_empty() { None } else { outside::named_issuer(token)? };
        match named.and_then(|name| self.outside.iter().find(|issuer| issuer.trust.issuer == name)) {
            Some(issuer) => self.verified(issuer, token).await,
            None => self.own.authenticate(token).await,
        }
    }
}

fn unavailable(error: impl std::fmt::Display) -> Rejection {
    Rejection::Unavailable(error.to_string())
}
