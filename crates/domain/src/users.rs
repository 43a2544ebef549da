//! Use cases about users as such: who is let in, and whom other issuers vouch for.

use saga::StoreError;
use uuid::Uuid;

use crate::access::{no_operator, require_operator};
use crate::audit::Draft;
use crate::berth::{Replay, Reply};
use crate::ids::PLATFORM;
use crate::names::{Name, parse_comment};
use crate::permissions::{Filter, Object, Relationship};
use crate::ports::{Admission, ChangeAdmission, LinkIdentity, OutsideIdentity};
use crate::{Berth, Caller, Error, Invalid, Principal, PrincipalKind};

const WHAT: &str = "user";
/// Characters of an issuer or of a subject.
const IDENTITY_MAX: usize = 255;
const IDENTITY_RULE: &str =
    "An issuer and a subject have 1 to 255 characters and no control characters; give them to the letter as a token has them.";

/// Shuts the user out: from the commit on no token of any kind is accepted in any process. Again, it changes nothing.
///
/// # Errors
/// `Forbidden` on the platform, [`Error::Invalid`], `NotFound` for what is no user, [`Error::LastOperator`], a reused key, an outage.
pub async fn revoke(
    berth: &Berth,
    caller: &Caller,
    user: Uuid,
    comment: Option<&str>,
    replay: Option<Replay<Admission>>,
) -> Result<Reply<Admission>, Error> {
    change(berth, caller, user, true, comment, replay).await
}

/// Lets the user in again, with tokens that are issued from now on.
///
/// # Errors
/// As [`revoke`], but for the last operator.
pub async fn restore(
    berth: &Berth,
    caller: &Caller,
    user: Uuid,
    comment: Option<&str>,
    replay: Option<Replay<Admission>>,
) -> Result<Reply<Admission>, Error> {
    change(berth, caller, user, false, comment, replay).await
}

async fn change(
    berth: &Berth,
    caller: &Caller,
    user: Uuid,
    revoke: bool,
    comment: Option<&str>,
    replay: Option<Replay<Admission>>,
) -> Result<Reply<Admission>, Error> {
    require_operator(berth, caller).await?;
    let comment = comment.map(|text| parse_comment("/comment", text)).transpose().map_err(Error::Invalid)?;
    let known = berth.principals.get(Principal { kind: PrincipalKind::User, id: user }).await?;
    if known.is_none() {
        return Err(Error::NotFound { what: WHAT });
    }
    let is_own = caller.principal.id == user;
    let keepers = match caller.principal.kind {
        _ if !revoke => Vec::new(),
        _ if is_own => match others(berth, user).await? {
            Others::Users(users) if users.is_empty() => return Err(Error::LastOperator),
            Others::Users(users) => users,
            Others::ServiceAccount => Vec::new(),
        },
        // Whoever shuts out somebody else is an operator who stays, unless they are shut out themselves in the same instant.
        PrincipalKind::User => vec![caller.principal.id],
        PrincipalKind::ServiceAccount => Vec::new(),
    };
    let audit = Draft::of(caller, &*berth.ids, PLATFORM, None, if revoke { "user.revoke" } else { "user.restore" })
        .target(WHAT, user)
        .outcome("succeeded")
        .reason(&*berth.ids, comment.as_deref());
    let new = ChangeAdmission { user, revoke, keepers, audit, idempotency: replay.map(|replay| replay.keyed(caller, PLATFORM)) };
    match berth.identities.change_admission(new).await?.fresh()? {
        Reply::Replayed(answer) => Ok(Reply::Replayed(answer)),
        Reply::Fresh(Some(admission)) => Ok(Reply::Fresh(admission)),
        Reply::Fresh(None) if is_own => Err(Error::LastOperator),
        // Shut out since the request was let in.
        Reply::Fresh(None) => Err(no_operator()),
    }
}

/// Who is let in and could let a user in again.
enum Others {
    /// Maybe nobody.
    Users(Vec<Uuid>),
    ServiceAccount,
}

async fn others(berth: &Berth, user: Uuid) -> Result<Others, Error> {
    let mut users = Vec::new();
    let platform = Object::platform();
    let operators =
        Filter { resource_kind: platform.kind, resource_id: Some(platform.id), relation: Some("operator".to_owned()), subject: None };
    for Relationship { subject, .. } in berth.permissions.read(&operators).await? {
        let Ok(id) = Uuid::try_parse(&subject.id) else { continue };
        match PrincipalKind::parse(&subject.kind) {
            Some(PrincipalKind::User) if id != user && berth.identities.admission(id).await?.revoked_at.is_none() => users.push(id),
            Some(PrincipalKind::ServiceAccount) if !berth.service_accounts.is_disabled(id).await? => return Ok(Others::ServiceAccount),
            _ => {}
        }
    }
    Ok(Others::Users(users))
}

/// A user with an identity that an outside issuer vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    pub user: Uuid,
    pub name: String,
    pub identity: OutsideIdentity,
}

/// Makes an outside identity that of the user called `name`, who is made if there is none. Again, it changes nothing.
///
/// # Errors
/// `Forbidden` on the platform, [`Error::Invalid`], [`Error::IdentityTaken`], a reused key, an outage.
pub async fn register(
    berth: &Berth,
    caller: &Caller,
    name: &str,
    identity: OutsideIdentity,
    replay: Option<Replay<Registered>>,
) -> Result<Reply<Registered>, Error> {
    require_operator(berth, caller).await?;
    let (name, wrong) = match Name::parse("/name", name) {
        Ok(name) => (Some(name), Vec::new()),
        Err(wrong) => (None, wrong),
    };
    let fits = |text: &str| (1..=IDENTITY_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    let halves = [("/issuer", &identity.issuer), ("/subject", &identity.subject)].into_iter().filter(|(_, text)| !fits(text));
    let wrong: Vec<_> = wrong.into_iter().chain(halves.map(|(pointer, _)| Invalid::new(pointer, IDENTITY_RULE))).collect();
    let Some(name) = name.filter(|_| wrong.is_empty()) else { return Err(Error::Invalid(wrong)) };
    let known = berth.principals.ensure(PrincipalKind::User, name.as_str(), None, berth.ids.free()).await?;
    let registered = Registered { user: known.principal.id, name: known.name, identity };
    let audit = Draft::of(caller, &*berth.ids, PLATFORM, None, "user.register").target(WHAT, registered.user).outcome("succeeded");
    let new = LinkIdentity {
        identity: registered.identity.clone(),
        user: registered.user,
        audit,
        idempotency: replay.map(|replay| replay.keep(caller, PLATFORM, &registered)),
    };
    match berth.identities.link(new).await?.fresh()? {
        Reply::Replayed(answer) => Ok(Reply::Replayed(answer)),
        Reply::Fresh(whose) if whose == registered.user => Ok(Reply::Fresh(registered)),
        Reply::Fresh(_) => Err(Error::IdentityTaken),
    }
}

/// The user whom an issuer vouches for and nobody here knew: made now, under `name` if nobody has that name.
///
/// A name that somebody has is never taken over: whoever may choose a name at the issuer could choose another user's. Nor may one choose a
/// name with a `#`, which is what keeps the full names of others apart from it.
///
/// # Errors
/// An outage.
pub async fn admit(berth: &Berth, identity: OutsideIdentity, name: Option<&str>) -> Result<Principal, Error> {
    let own = berth.ids.free();
    let wished = name.and_then(|name| Name::parse("", name).ok()).filter(|name| !name.as_str().contains('#'));
    let mut made = None;
    if let Some(name) = wished {
        let stored = berth.principals.ensure(PrincipalKind::User, name.as_str(), None, own).await?;
        made = (stored.principal.id == own).then_some(stored);
    }
    let user = match made {
        Some(stored) => stored,
        // Nobody else has this one: an attempt that was cut off left it.
        None => berth.principals.ensure(PrincipalKind::User, &full_name(&identity), None, own).await?,
    };
    let audit = Draft::by_berth(&*berth.ids, PLATFORM, None, "user.admit").target(WHAT, user.principal.id).outcome("succeeded");
    let linked = LinkIdentity { identity, user: user.principal.id, audit, idempotency: None };
    match berth.identities.link(linked).await?.fresh()? {
        // Another's, if another request was first.
        Reply::Fresh(id) => Ok(Principal { kind: PrincipalKind::User, id }),
        Reply::Replayed(_) => Err(Error::Store(StoreError::Broken("an answer to a request without a key".to_owned()))),
    }
}

/// What a user is called who has no other name. An issuer's URL has no `#`.
fn full_name(identity: &OutsideIdentity) -> String {
    format!("{}#{}", identity.issuer, identity.subject)
}
