//! Use cases about pauses: an operator's orders that nothing new starts on a backend, of a saga, or for an account.
//!
//! What is at work finishes its attempts and then waits, its deadline standing still; undo goes on unless the pause says
//! otherwise. Workers hear of a pause with their next claim or renewal, those of this process at once.

use std::fmt;

use saga::Time;
use serde_json::json;
use uuid::Uuid;

use crate::access::{Right, ask};
use crate::audit::Draft;
use crate::names::parse_comment;
use crate::permissions::Consistency;
use crate::ports::{NewPause, PauseAnswer};
use crate::workspaces::status;
use crate::{Berth, Caller, Error, Principal};

const WHAT: &str = "pause";
/// Whose audit chain and bucket what belongs to no account is in.
const PLATFORM: Uuid = Uuid::nil();

/// What can be paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Backend,
    Saga,
    Account,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Backend, Self::Saga, Self::Account];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Saga => "saga",
            Self::Account => "account",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One thing that can be paused; `kind:name` in journals and on the wire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    pub kind: Kind,
    /// A backend's name, a saga's, or an account's id.
    pub name: String,
}

impl Scope {
    #[must_use]
    pub fn new(kind: Kind, name: impl fmt::Display) -> Self {
        Self { kind, name: name.to_string() }
    }

    /// The account whose chain and bucket it belongs to; the nil uuid: the platform.
    #[must_use]
    pub fn account(&self) -> Uuid {
        if self.kind == Kind::Account { Uuid::try_parse(&self.name).unwrap_or(PLATFORM) } else { PLATFORM }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.name)
    }
}

/// What holds a run back whole when it is paused, whichever of its steps is next.
///
/// A freeze is carried out whatever is paused of its account: a pause must leave no login open that a freeze shuts. Who wants
/// that stopped pauses the saga by its name.
#[must_use]
pub fn of_run(account: Uuid, saga: &str) -> Vec<Scope> {
    let by_account = (saga != status::SAGA).then(|| Scope::new(Kind::Account, account));
    by_account.into_iter().chain([Scope::new(Kind::Saga, saga)]).collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    pub scope: Scope,
    /// Undos wait as well.
    pub undo: bool,
    pub comment: String,
    pub created_by: Principal,
    pub created_at: Time,
}

/// Pauses `scope`, or changes the pause that there is. Asking for what stands already changes nothing.
///
/// # Errors
/// `Forbidden` on the platform, [`Error::Invalid`], `NotFound` for what there is not, an outage.
pub async fn set(berth: &Berth, caller: &Caller, scope: Scope, undo: bool, comment: &str) -> Result<PauseAnswer, Error> {
    require(berth, caller, "administer").await?;
    let comment = parse_comment("/comment", comment).map_err(Error::Invalid)?;
    let scope = known(berth, scope).await?;
    let audit = draft(berth, caller, &scope, "pause.set", Some(&comment)).after(json!({ "scope": scope.to_string(), "undo": undo }));
    let answer = berth.pauses.set(NewPause { scope, undo, comment, created_by: caller.principal, audit }).await?;
    berth.wake.wake();
    Ok(answer)
}

/// Lifts the pause of `scope`: what waited for it goes on within a minute.
///
/// # Errors
/// `Forbidden` on the platform, [`Error::Invalid`], `NotFound` if it is not paused, an outage.
pub async fn lift(berth: &Berth, caller: &Caller, scope: Scope, comment: Option<&str>) -> Result<(), Error> {
    require(berth, caller, "administer").await?;
    let comment = comment.map(|text| parse_comment("?comment", text)).transpose().map_err(Error::Invalid)?;
    let Some(scope) = spelled(scope) else { return Err(Error::NotFound { what: WHAT }) };
    let audit = draft(berth, caller, &scope, "pause.lift", comment.as_deref()).before(json!({ "scope": scope.to_string() }));
    if !berth.pauses.lift(&scope, audit).await? {
        return Err(Error::NotFound { what: WHAT });
    }
    berth.wake.wake();
    Ok(())
}

/// All pauses, sorted by scope.
///
/// # Errors
/// `Forbidden` on the platform, an outage.
pub async fn list(berth: &Berth, caller: &Caller) -> Result<Vec<Pause>, Error> {
    require(berth, caller, "read").await?;
    Ok(berth.pauses.list().await?)
}

async fn require(berth: &Berth, caller: &Caller, permission: &'static str) -> Result<(), Error> {
    let right = Right::on_platform(permission);
    if ask(berth, caller, &Consistency::FullyConsistent, &[&right]).await?[0] { Ok(()) } else { Err(right.forbidden()) }
}

/// An entry of the account that is paused, whose members want to know why their runs wait; otherwise of the platform.
fn draft(berth: &Berth, caller: &Caller, scope: &Scope, action: &str, comment: Option<&str>) -> Draft {
    let account = scope.account();
    let draft = Draft::of(caller, &*berth.ids, account, None, action).reason(&*berth.ids, comment);
    if scope.kind == Kind::Account { draft.target("account", account) } else { draft }
}

/// The scope as it is kept: an account's id has several spellings. `None` for an account that has none.
fn spelled(scope: Scope) -> Option<Scope> {
    match scope.kind {
        Kind::Account => Some(Scope::new(Kind::Account, Uuid::try_parse(&scope.name).ok()?)),
        Kind::Backend | Kind::Saga => Some(scope),
    }
}

async fn known(berth: &Berth, scope: Scope) -> Result<Scope, Error> {
    let what = scope.kind.as_str();
    let scope = spelled(scope).ok_or(Error::NotFound { what })?;
    let is_known = match scope.kind {
        Kind::Backend => berth.settings.regions.iter().any(|region| region.backend == scope.name),
        Kind::Saga => berth.sagas.newest(&scope.name).is_some(),
        Kind::Account => berth.accounts.get(scope.account()).await?.is_some(),
    };
    if is_known { Ok(scope) } else { Err(Error::NotFound { what }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accounts_pause_holds_back_all_of_its_runs_but_those_that_carry_freezes_out() {
        let account = Uuid::from_u128(0xacc0);
        let scopes = |saga: &str| of_run(account, saga).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(scopes("create-workspace"), [format!("account:{account}"), "saga:create-workspace".to_owned()]);
        assert_eq!(scopes("apply-freezes"), ["saga:apply-freezes"]);
    }
}
