//! Service accounts: programs' principals, the secrets that they get tokens with, and the tokens.

use std::time::Duration;

use uuid::Uuid;

use crate::access::Ground;
use crate::audit::Draft;
use crate::berth::{Replay, Reply};
use crate::members::delivery::within;
use crate::names::Name;
use crate::paging::{LIMIT_MAX, Listed};
use crate::permissions::{Cause, Filter, Object, PermissionsError, Precondition, Relationship, Update};
use crate::ports::{
    AddClientSecret, ClientSecret, CreateServiceAccount, KeptReplay, NewClientSecret, NewServiceAccount, Page, SECRETS_MAX, ServiceAccount,
};
use crate::secrets::{self, Kind, Secret};
use crate::{Berth, Caller, Error, PrincipalKind, accounts};
use saga::Time;

/// How long an application token lives.
pub const TOKEN_LIFETIME: Duration = Duration::from_mins(15);
/// How long who creates one waits for the permission system; housekeeping tells it otherwise.
const INLINE: Duration = Duration::from_secs(2);

const NOT_FOUND: Error = Error::NotFound { what: "service account" };

/// A secret as it was made: the only time that anybody sees it.
#[derive(Debug, Clone)]
pub struct Made {
    pub about: ClientSecret,
    pub secret: Secret,
}

/// Makes a service account, which may do nothing yet: give it a role.
///
/// # Errors
/// [`Error::Invalid`], `NotFound`/`Forbidden` about the account, a name that is taken, a reused key, an outage.
pub async fn create(
    berth: &Berth,
    caller: &Caller,
    account: Uuid,
    name: &str,
    replay: Option<Replay<ServiceAccount>>,
) -> Result<Reply<ServiceAccount>, Error> {
    let name = Name::parse("/name", name).map_err(Error::Invalid)?;
    require(berth, caller, account).await?;
    // First what stands alone: nobody has a secret of a principal that no account has.
    let full_name = format!("{}@{account}", name.as_str());
    let principal = berth.principals.ensure(PrincipalKind::ServiceAccount, &full_name, Some(account), berth.ids.within(account)).await?;
    let id = principal.principal.id;
    let new = NewServiceAccount {
        id,
        account_id: account,
        name: name.as_str().to_owned(),
        created_by: caller.principal,
        audit: Draft::of(caller, &*berth.ids, account, None, "service_account.create").target("service_account", id).outcome("succeeded"),
        replay: replay.map(|replay| KeptReplay::of(replay, caller, account)),
    };
    match berth.service_accounts.create(new).await?.fresh()? {
        Reply::Replayed(answer) => Ok(Reply::Replayed(answer)),
        Reply::Fresh(CreateServiceAccount::Created(made)) => {
            // What is not told in time is told by housekeeping.
            let _ = within(berth, INLINE, relate(berth, made.id, made.account_id)).await;
            Ok(Reply::Fresh(made))
        }
        Reply::Fresh(CreateServiceAccount::NameTaken) => Err(Error::ServiceAccountExists),
        Reply::Fresh(CreateServiceAccount::AccountNotActive { status: Some(status) }) => Err(Error::AccountNotActive { status }),
        Reply::Fresh(CreateServiceAccount::AccountNotActive { status: None }) => Err(Error::NotFound { what: "account" }),
    }
}

/// Tells the permission system which account it belongs to. That never changes and is never taken back, so that neither a
/// repetition nor a late copy of the write does any harm.
///
/// # Errors
/// An outage of either side.
pub async fn relate(berth: &Berth, id: Uuid, account: Uuid) -> Result<(), Error> {
    let tuple = Relationship::new(Object::new("service_account", id), "account", Object::account(account));
    let known = Filter {
        resource_kind: "account".to_owned(),
        resource_id: Some(account.to_string()),
        relation: Some("platform".to_owned()),
        subject: None,
    };
    let cause = Cause::Hand("service account");
    match berth.permissions.write(&[Update::Touch(tuple)], &[Precondition::MustMatch(known)], &cause).await {
        // An account that the permission system has no more has nobody to administer anything of it.
        Ok(_) | Err(PermissionsError::PreconditionFailed { .. }) => Ok(berth.service_accounts.related(id).await?),
        Err(error) => Err(error.into()),
    }
}

/// By id.
///
/// # Errors
/// `NotFound`/`Forbidden` about the account, an outage.
pub async fn list(berth: &Berth, caller: &Caller, account: Uuid, page: Page) -> Result<Listed<ServiceAccount>, Error> {
    require(berth, caller, account).await?;
    let limit = page.limit.clamp(1, LIMIT_MAX);
    // One more than wanted tells whether there is a next page.
    let mut items = berth.service_accounts.list(account, Page { limit: limit + 1, ..page }).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = items.len() > wanted;
    items.truncate(wanted);
    let next = items.last().filter(|_| is_more).map(|item| item.id);
    Ok(Listed { items, next })
}

/// Disables it for good: it gets no token any more, and those that it has are refused from now on.
///
/// # Errors
/// `NotFound`/`Forbidden` about the account, `NotFound` about the service account, an outage.
pub async fn disable(berth: &Berth, caller: &Caller, account: Uuid, id: Uuid) -> Result<(), Error> {
    find(berth, caller, account, id).await?;
    let audit = draft(berth, caller, account, id, "service_account.disable");
    berth.service_accounts.disable(id, audit).await?;
    Ok(())
}

/// Makes another secret; those that are there stay good, so that programs can go over from one to the other.
///
/// # Errors
/// As [`disable`]; [`Error::Invalid`] about the expiry; that it has as many secrets as it may, or is disabled.
pub async fn add_secret(
    berth: &Berth,
    caller: &Caller,
    account: Uuid,
    id: Uuid,
    expires_at: Option<Time>,
    replay: Option<Replay<ClientSecret>>,
) -> Result<Reply<Made>, Error> {
    find(berth, caller, account, id).await?;
    let secret_id = berth.ids.within(account);
    let (secret, hash) = secrets::make(Kind::Client, secret_id, berth.ids.key());
    let new = NewClientSecret {
        id: secret_id,
        service_account_id: id,
        hash,
        expires_at,
        created_by: caller.principal,
        audit: draft(berth, caller, account, id, "service_account.add_secret").target("secret", secret_id),
        replay: replay.map(|replay| KeptReplay::of(replay, caller, account)),
    };
    match berth.service_accounts.add_secret(new).await?.fresh()? {
        Reply::Replayed(answer) => Ok(Reply::Replayed(answer)),
        Reply::Fresh(AddClientSecret::Added(about)) => Ok(Reply::Fresh(Made { about, secret })),
        Reply::Fresh(AddClientSecret::Enough) => Err(Error::SecretsExhausted { max: SECRETS_MAX }),
        Reply::Fresh(AddClientSecret::Disabled) => Err(Error::ServiceAccountDisabled),
        Reply::Fresh(AddClientSecret::ExpiresOutOfRange) => {
            Err(Error::invalid("/expires_at", "A secret expires in the future. Leave it out for one that does not expire."))
        }
    }
}

/// # Errors
/// As [`disable`].
pub async fn secrets(berth: &Berth, caller: &Caller, account: Uuid, id: Uuid) -> Result<Vec<ClientSecret>, Error> {
    find(berth, caller, account, id).await?;
    Ok(berth.service_accounts.secrets(id).await?)
}

/// No token is got with it from now on; those that were live on for their quarter of an hour.
///
/// # Errors
/// As [`disable`], and `NotFound` about the secret.
pub async fn delete_secret(berth: &Berth, caller: &Caller, account: Uuid, id: Uuid, secret: Uuid) -> Result<(), Error> {
    find(berth, caller, account, id).await?;
    let audit = draft(berth, caller, account, id, "service_account.delete_secret").target("secret", secret);
    if berth.service_accounts.delete_secret(id, secret, audit).await? {
        return Ok(());
    }
    Err(Error::NotFound { what: "secret" })
}

/// What a service account's credentials come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchanged {
    /// A token may be given to the service account; it is in the audit log under the caller's credential.
    Granted,
    /// The secret was the service account's once, or the service account is disabled: a use that its account should know of.
    Dead,
    /// They are nobody's.
    Unknown,
}

/// Whether `secret` is the credential of `client`. The `caller` is the service account that claims to be it, with the id of
/// the token that it is to get.
///
/// # Errors
/// An outage.
pub async fn exchange(berth: &Berth, caller: &Caller, client: Uuid, secret: &str) -> Result<Exchanged, Error> {
    let Some((id, hash)) = secrets::read(Kind::Client, secret) else { return Ok(Exchanged::Unknown) };
    let Some(stored) = berth.service_accounts.secret(id).await? else { return Ok(Exchanged::Unknown) };
    if !stored.hash.is(&hash) || stored.service_account.id != client {
        return Ok(Exchanged::Unknown);
    }
    let account = stored.service_account.account_id;
    let audit = Draft::of(caller, &*berth.ids, account, None, "token.issue")
        .target("service_account", client)
        .target("secret", id)
        .outcome("succeeded");
    let is_granted = stored.is_live && berth.service_accounts.issued(id, audit).await?;
    Ok(if is_granted { Exchanged::Granted } else { Exchanged::Dead })
}

async fn require(berth: &Berth, caller: &Caller, account: Uuid) -> Result<(), Error> {
    let account = accounts::find(berth, account).await?;
    Ground::account(&account).require_action(berth, caller).await
}

/// The service account of this account.
async fn find(berth: &Berth, caller: &Caller, account: Uuid, id: Uuid) -> Result<ServiceAccount, Error> {
    require(berth, caller, account).await?;
    berth.service_accounts.get(id).await?.filter(|found| found.account_id == account).ok_or(NOT_FOUND)
}

fn draft(berth: &Berth, caller: &Caller, account: Uuid, id: Uuid, action: &str) -> Draft {
    Draft::of(caller, &*berth.ids, account, None, action).target("service_account", id).outcome("succeeded")
}
