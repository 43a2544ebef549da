//! Members of accounts and workspaces: who has which role, and changes of it.
//!
//! A change is committed first, with an entry in the outbox, and then told to the permission system at once, for as long as
//! a caller should wait. What that does not reach is delivered by housekeeping; [`NamedMember`] says `pending` until then.

pub(crate) mod delivery;

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use crate::access::{Freshness, Ground};
use crate::audit::Draft;
use crate::berth::{Replay, Reply};
pub use crate::model::NamedMember;
use crate::model::{Member, Role, Scope, ScopeRef, StoredPrincipal};
use crate::paging::{LIMIT_MAX, Listed};
use crate::ports::{ChangeAnswer, Changed, MemberReplay, NewMembershipChange, Page, RoleChange};
use crate::workspaces::read::find as find_workspace;
use crate::{Berth, Caller, Error, Invalid, Principal, PrincipalKind, accounts};
use delivery::{deliver, within};

/// How long a caller waits for the permission system to take the change.
const INLINE: Duration = Duration::from_secs(2);

/// Who is to become a member, as the caller asked; nothing is checked yet.
#[derive(Debug, Clone)]
pub struct NewMember {
    pub kind: PrincipalKind,
    /// Either this or `name`.
    pub id: Option<Uuid>,
    pub name: Option<String>,
    pub role: Role,
}

/// What became of a principal that is a member no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    pub principal: Principal,
    /// The permission system does not know yet; until it does the principal is refused.
    pub pending: bool,
}

/// By id, names included.
///
/// # Errors
/// `NotFound` about the account or workspace, or an outage.
pub async fn list(berth: &Berth, caller: &Caller, scope: Scope, id: Uuid, page: Page) -> Result<Listed<NamedMember>, Error> {
    let (ground, on) = locate(berth, scope, id).await?;
    ground.require_open(berth, caller, Freshness::Full).await?;
    let limit = page.limit.clamp(1, LIMIT_MAX);
    // One more than wanted tells whether there is a next page.
    let mut members = berth.members.list(on, Page { limit: limit + 1, ..page }).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = members.len() > wanted;
    members.truncate(wanted);
    let next = members.last().filter(|_| is_more).map(|member| member.principal.id);
    Ok(Listed { items: named(berth, members).await?, next })
}

/// Members with the names of their principals, which are kept apart from what belongs to accounts.
///
/// # Errors
/// An outage.
pub async fn named(berth: &Berth, members: Vec<Member>) -> Result<Vec<NamedMember>, Error> {
    let ids: Vec<Uuid> = members.iter().map(|member| member.principal.id).collect();
    let known: HashMap<_, _> = berth.principals.by_ids(&ids).await?.into_iter().map(|k| (k.principal, k.name)).collect();
    let named = |member: Member| NamedMember { member, name: known.get(&member.principal).cloned().unwrap_or_default() };
    Ok(members.into_iter().map(named).collect())
}

/// Gives a role to a principal that has none here.
///
/// # Errors
/// [`Error::Invalid`], `NotFound`/`Forbidden` about the account or workspace, the conflicts, a reused key, an outage.
pub async fn add(
    berth: &Berth,
    caller: &Caller,
    scope: Scope,
    id: Uuid,
    new: NewMember,
    replay: Option<Replay<NamedMember>>,
) -> Result<Reply<NamedMember>, Error> {
    check_role(new.kind, new.role, scope)?;
    let reference = one_of(&new)?;
    let (ground, on) = locate(berth, scope, id).await?;
    ground.require_action(berth, caller).await?;
    let known = match reference {
        Reference::Id(id) => berth.principals.get(Principal { kind: new.kind, id }).await?,
        Reference::Name(name) => berth.principals.find(new.kind, name).await?,
    };
    let Some(known) = known else { return Err(unknown(&new)) };
    let replay =
        replay.map(|replay| MemberReplay { words: replay.answer, name: known.name.clone(), key: replay.key(caller, on.account_id) });
    let change = NewMembershipChange {
        id: berth.ids.within(on.account_id),
        on,
        principal: known.principal,
        change: RoleChange::Add(new.role),
        audit: draft(berth, caller, on, known.principal, "member.add"),
        replay: replay.clone(),
    };
    match berth.members.change(change).await?.fresh()? {
        Reply::Replayed(answer) => Ok(Reply::Replayed(answer)),
        Reply::Fresh(answer) => {
            let member = carry_out(berth, on, answer, replay.as_ref()).await?.0.ok_or(NOT_MEMBER)?;
            Ok(Reply::Fresh(NamedMember { member, name: known.name }))
        }
    }
}

/// Gives a member another role.
///
/// # Errors
/// As [`add`]; `NotFound` about the member as well.
pub async fn change_role(
    berth: &Berth,
    caller: &Caller,
    scope: Scope,
    id: Uuid,
    principal: Uuid,
    role: Role,
) -> Result<NamedMember, Error> {
    let (ground, on) = locate(berth, scope, id).await?;
    ground.require_action(berth, caller).await?;
    let known = find(berth, principal).await?;
    check_role(known.principal.kind, role, scope)?;
    let change = NewMembershipChange {
        id: berth.ids.within(on.account_id),
        on,
        principal: known.principal,
        change: RoleChange::Change(role),
        audit: draft(berth, caller, on, known.principal, "member.change_role"),
        replay: None,
    };
    let (member, _) = carry_out(berth, on, done(berth, change).await?, None).await?;
    Ok(NamedMember { member: member.ok_or(NOT_MEMBER)?, name: known.name })
}

/// Takes a member's role away.
///
/// # Errors
/// `NotFound`/`Forbidden` about the account or workspace, `NotFound` about the member, [`Error::LastOwner`], an outage.
pub async fn remove(berth: &Berth, caller: &Caller, scope: Scope, id: Uuid, principal: Uuid) -> Result<Removed, Error> {
    let (ground, on) = locate(berth, scope, id).await?;
    ground.require_action(berth, caller).await?;
    let known = find(berth, principal).await?;
    let change = NewMembershipChange {
        id: berth.ids.within(on.account_id),
        on,
        principal: known.principal,
        change: RoleChange::Remove,
        audit: draft(berth, caller, on, known.principal, "member.remove"),
        replay: None,
    };
    let (_, pending) = carry_out(berth, on, done(berth, change).await?, None).await?;
    Ok(Removed { principal: known.principal, pending })
}

/// Gives a role by the hand of whoever runs Berth: no right is asked, all other rules hold. `audit` says who did it.
///
/// # Errors
/// As [`add`].
pub async fn assign(berth: &Berth, on: ScopeRef, principal: Principal, role: Role, audit: Draft) -> Result<Member, Error> {
    check_role(principal.kind, role, on.scope)?;
    let id = berth.ids.within(on.account_id);
    let change = NewMembershipChange { id, on, principal, change: RoleChange::Set(role), audit, replay: None };
    carry_out(berth, on, done(berth, change).await?, None).await?.0.ok_or(NOT_MEMBER)
}

/// Tells the permission system once more which role the principal has, or that it has none: as a change of its own, so that neither
/// an earlier nor a later one is undone by it. False: it is still to be told of an earlier change, or knows nothing of the scope.
/// What is not delivered at once stays in the outbox.
///
/// # Errors
/// An outage.
pub(crate) async fn tell_again(berth: &Berth, on: ScopeRef, principal: Principal, audit: Draft) -> Result<bool, Error> {
    let id = berth.ids.within(on.account_id);
    let change = NewMembershipChange { id, on, principal, change: RoleChange::Tell, audit, replay: None };
    match done(berth, change).await? {
        ChangeAnswer::Made(changed) => deliver(berth, &changed.undelivered, None).await.map(|()| true),
        _ => Ok(false),
    }
}

const NOT_MEMBER: Error = Error::NotFound { what: "member" };

async fn done(berth: &Berth, change: NewMembershipChange) -> Result<ChangeAnswer, Error> {
    match berth.members.change(change).await?.fresh()? {
        Reply::Fresh(answer) => Ok(answer),
        Reply::Replayed(_) => unreachable!("a change without a key is not replayed"),
    }
}

/// Where the rights on an account or workspace are asked, and its place.
async fn locate(berth: &Berth, scope: Scope, id: Uuid) -> Result<(Ground, ScopeRef), Error> {
    match scope {
        Scope::Account => {
            let account = accounts::find(berth, id).await?;
            Ok((Ground::account(&account), ScopeRef { scope, id, account_id: id }))
        }
        Scope::Workspace => {
            let workspace = find_workspace(berth, id).await?;
            Ok((Ground::workspace(berth, &workspace).await?, ScopeRef { scope, id, account_id: workspace.account_id }))
        }
    }
}

async fn find(berth: &Berth, principal: Uuid) -> Result<StoredPrincipal, Error> {
    berth.principals.by_ids(&[principal]).await?.pop().ok_or(NOT_MEMBER)
}

/// What is still being made has no relationships that a member's could join, and what has failed never will.
fn not_active(scope: Scope, status: Option<&'static str>) -> Error {
    match (scope, status) {
        (Scope::Account, Some(status)) => Error::AccountNotActive { status },
        (Scope::Workspace, Some(status)) => Error::WorkspaceNotActive { status },
        (scope, None) => Error::NotFound { what: scope.as_str() },
    }
}

fn check_role(kind: PrincipalKind, role: Role, scope: Scope) -> Result<(), Error> {
    if !role.exists_on(scope) {
        return Err(Error::invalid("/role", "Accounts have no viewers. Choose `owner`, `admin` or `member`."));
    }
    if role == Role::Owner && kind != PrincipalKind::User {
        return Err(Error::invalid("/role", "An owner is a user. Give a service account the role `admin`."));
    }
    Ok(())
}

enum Reference<'a> {
    Id(Uuid),
    Name(&'a str),
}

fn one_of(new: &NewMember) -> Result<Reference<'_>, Error> {
    match (new.id, &new.name) {
        (Some(id), None) => Ok(Reference::Id(id)),
        (None, Some(name)) => Ok(Reference::Name(name)),
        (None, None) => Err(Error::invalid("", "Say who is meant: give `id` or `name`.")),
        (Some(_), Some(_)) => Err(Error::Invalid(vec![Invalid::new("/name", "Give `id` or `name`, not both.")])),
    }
}

fn unknown(new: &NewMember) -> Error {
    let kind = match new.kind {
        PrincipalKind::User => "user",
        PrincipalKind::ServiceAccount => "service account",
    };
    let (pointer, what) = if new.id.is_some() { ("/id", "id") } else { ("/name", "name") };
    Error::invalid(
        pointer,
        format!(
            "Berth knows no {kind} of this {what}: it knows those that a token was made for. With `berth dev`, `berth dev token` makes one."
        ),
    )
}

fn draft(berth: &Berth, caller: &Caller, on: ScopeRef, principal: Principal, action: &str) -> Draft {
    let workspace = (on.scope == Scope::Workspace).then_some(on.id);
    Draft::of(caller, &*berth.ids, on.account_id, workspace, action)
        .target(on.scope.as_str(), on.id)
        .target(principal.kind.as_str(), principal.id)
        .outcome("succeeded")
}

/// Delivers what is committed. Returns the member, and whether the permission system is still to be told.
async fn carry_out(
    berth: &Berth,
    on: ScopeRef,
    answer: ChangeAnswer,
    replay: Option<&MemberReplay>,
) -> Result<(Option<Member>, bool), Error> {
    let Changed { member, undelivered } = match answer {
        ChangeAnswer::Made(changed) | ChangeAnswer::Unchanged(changed) => changed,
        ChangeAnswer::MemberAlready => return Err(Error::MemberExists),
        ChangeAnswer::NotMember => return Err(NOT_MEMBER),
        ChangeAnswer::LastOwner => return Err(Error::LastOwner { scope: on.scope.as_str() }),
        ChangeAnswer::NotActive { status } => return Err(not_active(on.scope, status)),
        ChangeAnswer::Frozen(freezes) => return Err(Error::Frozen { freezes }),
    };
    let told = member.map(|member| Member { pending: false, ..member });
    let answer = replay.zip(told).map(|(replay, told)| replay.keep(told));
    // What is not known to have been delivered in time is pending: it may have been, and is delivered again.
    let delivered = within(berth, INLINE, deliver(berth, &undelivered, answer)).await.is_some_and(|done| done.is_ok());
    Ok((member.map(|member| Member { pending: !delivered, ..member }), !delivered))
}
