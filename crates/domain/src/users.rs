//! Use cases about users as such: who is let in, and whom other issuers vouch for.

use uuid::Uuid;

use crate::access::{Right, ask};
use crate::audit::Draft;
use crate::berth::{Replay, Reply};
use crate::ids::PLATFORM;
use crate::names::parse_comment;
use crate::permissions::Consistency;
use crate::ports::{Admission, ChangeAdmission, LinkIdentity, OutsideIdentity};
use crate::{Berth, Caller, Error, Principal, PrincipalKind};

const WHAT: &str = "user";
/// A name is a line for people.
const NAME_MAX: usize = 200;

/// Shuts the user out: from the commit on no token of any kind is accepted in any process. Again, it changes nothing.
///
/// # Errors
/// `Forbidden` on the platform, [`Error::Invalid`], `NotFound` for what is no user, a reused key, an outage.
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
/// As [`revoke`].
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
    let right = Right::on_platform("administer");
    if !ask(berth, caller, &Consistency::FullyConsistent, &[&right]).await?[0] {
        return Err(right.forbidden());
    }
    let comment = comment.map(|text| parse_comment("/comment", text)).transpose().map_err(Error::Invalid)?;
    let known = berth.principals.get(Principal { kind: PrincipalKind::User, id: user }).await?;
    if known.is_none() {
        return Err(Error::NotFound { what: WHAT });
    }
    let audit = Draft::of(caller, &*berth.ids, PLATFORM, None, if revoke { "user.revoke" } else { "user.restore" })
        .target(WHAT, user)
        .reason(&*berth.ids, comment.as_deref());
    let new = ChangeAdmission { user, revoke, audit, idempotency: replay.map(|replay| replay.keyed(caller, PLATFORM)) };
    berth.identities.change_admission(new).await?.fresh()
}

/// The user whom an issuer vouches for and nobody here knew: made now, under `name` if nobody has that name.
///
/// A name that somebody has is never taken over: whoever may choose a name at the issuer could choose another user's.
///
/// # Errors
/// An outage.
pub async fn admit(berth: &Berth, identity: OutsideIdentity, name: Option<&str>) -> Result<Principal, Error> {
    let own = berth.ids.free();
    let wished = name.map(str::trim).filter(|n| !n.is_empty() && n.chars().count() <= NAME_MAX && !n.chars().any(char::is_control));
    let mut made = None;
    if let Some(name) = wished {
        let stored = berth.principals.ensure(PrincipalKind::User, name, None, own).await?;
        made = (stored.principal.id == own).then_some(stored);
    }
    let user = match made {
        Some(stored) => stored,
        // Nobody else has this one: an attempt that was cut off left it.
        None => berth.principals.ensure(PrincipalKind::User, &full_name(&identity), None, own).await?,
    };
    let id = link(berth, identity, user.principal.id).await?;
    Ok(Principal { kind: PrincipalKind::User, id })
}

/// Makes an outside identity a user's; whose it is now, which is another's if it was theirs already.
///
/// # Errors
/// An outage.
pub async fn link(berth: &Berth, identity: OutsideIdentity, user: Uuid) -> Result<Uuid, Error> {
    let audit = Draft::by_berth(&*berth.ids, PLATFORM, None, "user.link").target(WHAT, user).outcome("succeeded");
    Ok(berth.identities.link(LinkIdentity { identity, user, audit }).await?)
}

fn full_name(identity: &OutsideIdentity) -> String {
    format!("{}#{}", identity.issuer, identity.subject)
}
