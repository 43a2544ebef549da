//! Long-lived tokens for automation: made by their holder, who may do with one what it may do itself.

use saga::Time;
use uuid::Uuid;

use crate::audit::Draft;
use crate::berth::{Replay, Reply};
use crate::ids::PLATFORM;
use crate::names::Name;
use crate::paging::{LIMIT_MAX, Listed};
use crate::ports::{API_TOKENS_MAX, ApiToken, CreateApiToken, KeptReplay, NewApiToken, Page, StoredApiToken};
use crate::secrets::{self, Kind, Secret};
use crate::{Berth, Caller, Error, Invalid, Principal, PrincipalKind};

/// A token as it was made: the only time that anybody sees it.
#[derive(Debug, Clone)]
pub struct Made {
    pub about: ApiToken,
    pub token: Secret,
}

/// Makes a token of the caller's.
///
/// # Errors
/// [`Error::Invalid`]; that the caller has as many as it may, or acts for somebody else; a reused key; an outage.
pub async fn create(
    berth: &Berth,
    caller: &Caller,
    name: &str,
    expires_at: Option<Time>,
    replay: Option<Replay<ApiToken>>,
) -> Result<Reply<Made>, Error> {
    let name = Name::parse("/name", name).map_err(Error::Invalid)?;
    if caller.on_behalf_of.is_some() {
        return Err(Error::Invalid(vec![Invalid::new("Berth-On-Behalf-Of", "A token is its holder's own. Leave the header out.")]));
    }
    let account = account_of(berth, caller.principal).await?;
    let id = berth.ids.within(account);
    let (token, hash) = secrets::make(Kind::ApiToken, id, berth.ids.key());
    let new = NewApiToken {
        id,
        principal: caller.principal,
        name: name.as_str().to_owned(),
        hash,
        expires_at,
        audit: draft(berth, caller, account, id, "api_token.create"),
        replay: replay.map(|replay| KeptReplay::of(replay, caller, account)),
    };
    match berth.api_tokens.create(new).await?.fresh()? {
        Reply::Replayed(answer) => Ok(Reply::Replayed(answer)),
        Reply::Fresh(CreateApiToken::Created(about)) => Ok(Reply::Fresh(Made { about, token })),
        Reply::Fresh(CreateApiToken::Enough) => Err(Error::TokensExhausted { max: API_TOKENS_MAX }),
        Reply::Fresh(CreateApiToken::ExpiresOutOfRange) => {
            Err(Error::invalid("/expires_at", "A token expires in the future, within 366 days. Leave it out for 90 days."))
        }
    }
}

/// The caller's own, by id.
///
/// # Errors
/// An outage.
pub async fn list(berth: &Berth, caller: &Caller, page: Page) -> Result<Listed<ApiToken>, Error> {
    let limit = page.limit.clamp(1, LIMIT_MAX);
    // One more than wanted tells whether there is a next page.
    let mut items = berth.api_tokens.list(caller.principal, Page { limit: limit + 1, ..page }).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = items.len() > wanted;
    items.truncate(wanted);
    let next = items.last().filter(|_| is_more).map(|item| item.id);
    Ok(Listed { items, next })
}

/// Ends one of the caller's own at once.
///
/// # Errors
/// `NotFound`, or an outage.
pub async fn revoke(berth: &Berth, caller: &Caller, id: Uuid) -> Result<(), Error> {
    let account = account_of(berth, caller.principal).await?;
    if berth.api_tokens.revoke(caller.principal, id, draft(berth, caller, account, id, "api_token.revoke")).await? {
        return Ok(());
    }
    Err(Error::NotFound { what: "token" })
}

/// What a presented token comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    Good(StoredApiToken),
    /// It was good once.
    Revoked(StoredApiToken),
    Expired,
    /// It is nobody's.
    Unknown,
}

/// # Errors
/// An outage.
pub async fn present(berth: &Berth, text: &str) -> Result<Presented, Error> {
    let Some((id, hash)) = secrets::read(Kind::ApiToken, text) else { return Ok(Presented::Unknown) };
    match berth.api_tokens.get(id).await? {
        Some(stored) if !stored.hash.is(&hash) => Ok(Presented::Unknown),
        Some(stored) if stored.is_revoked => Ok(Presented::Revoked(stored)),
        Some(stored) if stored.token.expires_at <= stored.now => Ok(Presented::Expired),
        Some(stored) => {
            berth.api_tokens.used(&stored).await?;
            Ok(Presented::Good(stored))
        }
        None => Ok(Presented::Unknown),
    }
}

/// In whose audit log it stands: a user belongs to no account.
async fn account_of(berth: &Berth, principal: Principal) -> Result<Uuid, Error> {
    match principal.kind {
        PrincipalKind::User => Ok(PLATFORM),
        PrincipalKind::ServiceAccount => Ok(berth.principals.get(principal).await?.and_then(|p| p.account_id).unwrap_or(PLATFORM)),
    }
}

fn draft(berth: &Berth, caller: &Caller, account: Uuid, id: Uuid, action: &str) -> Draft {
    Draft::of(caller, &*berth.ids, account, None, action).target("api_token", id).outcome("succeeded")
}
