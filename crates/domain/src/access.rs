//! Who may see and do what: on which object a right is asked, and what a "no" means.
//!
//! A workspace in state `provisioning` or `failed` is authorized on its account, whatever relationships exist; so is an
//! account in those states on its creator and the platform. Who may not see a thing learns nothing of it; who sees it
//! and lacks the right needed is told which.
//!
//! Where a service account acts for a user, both must hold every right. Whoever's role was reduced is refused on the account
//! or workspace, and below, until the permission system knows: every check comes through here and looks. With a token of one
//! workspace there is no right on anything else, whatever its holder may do.

use uuid::Uuid;

use crate::model::{Account, AccountStatus, Freeze, FreezeMode, Workspace, WorkspaceStatus};
use crate::permissions::{Check, Consistency, Object, Revision};
use crate::ports::Standing;
use crate::{Berth, Caller, Error, Principal};

/// A right on an object.
#[derive(Debug, Clone)]
pub(crate) struct Right {
    pub what: &'static str,
    pub object: Object,
    pub permission: &'static str,
    /// The account or workspace that it is on.
    scope: Option<Uuid>,
}

impl Right {
    pub fn on_account(id: Uuid, permission: &'static str) -> Self {
        Self { what: "account", object: Object::account(id), permission, scope: Some(id) }
    }

    pub fn on_workspace(id: Uuid, permission: &'static str) -> Self {
        Self { what: "workspace", object: Object::workspace(id), permission, scope: Some(id) }
    }

    pub fn on_platform(permission: &'static str) -> Self {
        Self { what: "platform", object: Object::platform(), permission, scope: None }
    }

    fn of(&self, principal: Principal) -> Check {
        Check { resource: self.object.clone(), permission: self.permission.to_owned(), subject: principal.into() }
    }

    pub fn forbidden(&self) -> Error {
        Error::Forbidden { what: self.what, permission: self.permission }
    }
}

/// How new the permission system's state must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// For lists, audit and all that changes something.
    Full,
    /// For the read of a row: as new as the row's own token.
    Row,
}

/// What a caller may do with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rights {
    pub see: bool,
    /// Change it.
    pub act: bool,
    /// `platform#administer`.
    pub operate: bool,
}

/// Where the rights on one thing are asked.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    /// What the caller asked for, as a refusal names it.
    what: &'static str,
    see: Right,
    act: Right,
    /// Made what is not active yet: may see and change it.
    creator: Option<Principal>,
    token: Option<String>,
    /// That of the relationships when the row was read, if all that is asked was as new then as it has to be.
    seen: Option<Revision>,
    /// The account or workspace whose members count here.
    scope: Uuid,
    /// Whether somebody's role there changed so lately that it has to be asked whose.
    unsettled: bool,
    /// Of a workspace: the freezes in force that block reads as well.
    blocked: Vec<Freeze>,
}

/// A right that is asked, and whether the creator of what is not active yet has it whatever the answer.
type Question<'a> = (&'a Right, bool);

impl Ground {
    /// An account that is taken to be active.
    pub fn active_account(id: Uuid, token: Option<String>) -> Self {
        Self {
            what: "account",
            see: Right::on_account(id, "read"),
            act: Right::on_account(id, "administer"),
            creator: None,
            token,
            seen: None,
            scope: id,
            unsettled: true,
            blocked: Vec::new(),
        }
    }

    pub fn account(account: &Account) -> Self {
        let active = Self::active_account(account.id, account.permissions_token.clone());
        if account.status == AccountStatus::Active {
            return Self { unsettled: account.roles_unsettled, ..active };
        }
        Self {
            see: Right::on_platform("read"),
            act: Right::on_platform("administer"),
            creator: Some(account.created_by),
            unsettled: account.roles_unsettled,
            ..active
        }
    }

    /// What belongs to the account and is not its plain members' to see: its runs.
    pub fn account_runs(account: &Account) -> Self {
        let mut ground = Self::account(account);
        if account.status == AccountStatus::Active {
            ground.see = Right::on_account(account.id, "read_workspaces");
        }
        ground
    }

    pub async fn workspace(berth: &Berth, workspace: &Workspace) -> Result<Self, Error> {
        let (see, act, token) = if is_on_account(workspace) {
            // The relationships that count are the account's, and so is the token.
            let token = berth.accounts.get(workspace.account_id).await?.and_then(|a| a.permissions_token);
            (Right::on_account(workspace.account_id, "read_workspaces"), Right::on_account(workspace.account_id, "administer"), token)
        } else {
            let token = workspace.permissions_token.clone();
            (Right::on_workspace(workspace.id, "read"), Right::on_workspace(workspace.id, "administer"), token)
        };
        let (scope, unsettled) = (workspace.id, workspace.roles_unsettled);
        let blocked = workspace.freezes.iter().filter(|f| f.mode == FreezeMode::Blocked).cloned().collect();
        Ok(Self { what: "workspace", see, act, creator: None, token, seen: None, scope, unsettled, blocked })
    }

    /// Of a row that was read in one moment with this revision of the relationships. Where something newer than the row counts, the account's
    /// relationships or a role that was changed lately, that says nothing.
    pub fn seen_at(mut self, seen: Option<Revision>) -> Self {
        self.seen = seen.filter(|_| !self.unsettled && self.see.scope == Some(self.scope));
        self
    }

    /// The same ground for something that belongs to it.
    pub fn named(mut self, what: &'static str) -> Self {
        self.what = what;
        self
    }

    pub fn not_found(&self) -> Error {
        Error::NotFound { what: self.what }
    }

    /// For a workspace itself, its runs and its audit entries: what is blocked still answers to who administers it.
    ///
    /// # Errors
    /// `NotFound` for who may not see it, [`Error::Frozen`] where a freeze blocks what the caller does not administer.
    pub async fn require_sight(&self, berth: &Berth, caller: &Caller, freshness: Freshness) -> Result<(), Error> {
        if self.blocked.is_empty() {
            return self.require_open(berth, caller, freshness).await;
        }
        self.require_seen(self.rights(berth, caller, freshness).await?)
    }

    /// As [`Ground::require_sight`], of rights that were asked before.
    ///
    /// # Errors
    /// As [`Ground::require_sight`].
    pub fn require_seen(&self, rights: Rights) -> Result<(), Error> {
        match rights {
            Rights { see: false, .. } => Err(self.not_found()),
            Rights { act: false, .. } if !self.blocked.is_empty() => Err(Error::Frozen { freezes: self.blocked.clone() }),
            _ => Ok(()),
        }
    }

    /// For every other read: what is blocked answers to nobody.
    ///
    /// # Errors
    /// `NotFound` for who may not see it, [`Error::Frozen`] where a freeze blocks it.
    pub async fn require_open(&self, berth: &Berth, caller: &Caller, freshness: Freshness) -> Result<(), Error> {
        if !self.answers(berth, caller, self.consistency(freshness), [(&self.see, true)]).await?[0] {
            return Err(self.not_found());
        }
        if self.blocked.is_empty() { Ok(()) } else { Err(Error::Frozen { freezes: self.blocked.clone() }) }
    }

    /// # Errors
    /// `NotFound` for who may not see it, `Forbidden` for who may not change it.
    pub async fn require_action(&self, berth: &Berth, caller: &Caller) -> Result<(), Error> {
        self.require_right(berth, caller, (&self.act, true)).await
    }

    /// # Errors
    /// `NotFound` for who may not see it, `Forbidden` for who is no operator.
    pub async fn require_operator(&self, berth: &Berth, caller: &Caller) -> Result<(), Error> {
        self.require(berth, caller, &Right::on_platform("administer")).await
    }

    /// # Errors
    /// `NotFound` for who may not see it, `Forbidden` for who lacks `right`.
    pub async fn require(&self, berth: &Berth, caller: &Caller, right: &Right) -> Result<(), Error> {
        self.require_right(berth, caller, (right, false)).await
    }

    async fn require_right(&self, berth: &Berth, caller: &Caller, wanted: Question<'_>) -> Result<(), Error> {
        match self.answers(berth, caller, Consistency::FullyConsistent, [(&self.see, true), wanted]).await? {
            [_, true] => Ok(()),
            [true, false] => Err(wanted.0.forbidden()),
            [false, false] => Err(self.not_found()),
        }
    }

    /// As [`Ground::require_action`]; answers all that the caller may do, for who tells of that afterwards.
    ///
    /// # Errors
    /// As [`Ground::require_action`].
    pub async fn rights_to_act(&self, berth: &Berth, caller: &Caller) -> Result<Rights, Error> {
        match self.rights(berth, caller, Freshness::Full).await? {
            rights @ Rights { act: true, .. } => Ok(rights),
            Rights { see: true, .. } => Err(self.act.forbidden()),
            Rights { see: false, .. } => Err(self.not_found()),
        }
    }

    pub async fn rights(&self, berth: &Berth, caller: &Caller, freshness: Freshness) -> Result<Rights, Error> {
        let operate = Right::on_platform("administer");
        let questions = [(&self.see, true), (&self.act, true), (&operate, false)];
        let seen = self.seen.filter(|_| freshness == Freshness::Row);
        let [see, act, operate] = self.answers_of(berth, caller, self.consistency(freshness), seen, questions).await?;
        Ok(Rights { see, act, operate })
    }

    fn consistency(&self, freshness: Freshness) -> Consistency {
        match (freshness, &self.token) {
            (Freshness::Full, _) => Consistency::FullyConsistent,
            (Freshness::Row, Some(token)) => Consistency::AtLeastAsFresh(token.clone()),
            (Freshness::Row, None) => Consistency::MinimizeLatency,
        }
    }

    /// What all of the caller's principals have a right to, from one bulk check.
    async fn answers<const N: usize>(
        &self,
        berth: &Berth,
        caller: &Caller,
        consistency: Consistency,
        questions: [Question<'_>; N],
    ) -> Result<[bool; N], Error> {
        self.answers_of(berth, caller, consistency, None, questions).await
    }

    /// As [`Ground::answers`], where those of the revision `seen` are new enough.
    async fn answers_of<const N: usize>(
        &self,
        berth: &Berth,
        caller: &Caller,
        consistency: Consistency,
        seen: Option<Revision>,
        questions: [Question<'_>; N],
    ) -> Result<[bool; N], Error> {
        if caller.workspace.is_some_and(|only| only != self.scope) {
            return Ok([false; N]);
        }
        let consistency = if self.unsettled { settled(berth, caller, &[self.scope], consistency).await? } else { consistency };
        let mut asked = Vec::new();
        for (index, (right, creators)) in questions.iter().enumerate() {
            let others = caller.principals().filter(|principal| !creators || self.creator != Some(*principal));
            asked.extend(others.map(|principal| (index, right.of(principal))));
        }
        let (indexes, checks): (Vec<usize>, Vec<Check>) = asked.into_iter().unzip();
        let mut held = [true; N];
        for (index, answer) in indexes.into_iter().zip(bulk_of(berth, &checks, &consistency, seen).await?) {
            held[index] &= answer;
        }
        for (held, (right, _)) in held.iter_mut().zip(questions) {
            // Nobody operates the platform with the token of a workspace.
            *held &= caller.workspace.is_none() || right.scope.is_some();
        }
        Ok(held)
    }
}

/// Whether this workspace is authorized on its account: while it has no relationships of its own, or not all of them.
pub(crate) fn is_on_account(workspace: &Workspace) -> bool {
    if workspace.purged_at.is_some() {
        return true;
    }
    match workspace.status {
        // Relationships of one that is being purged are taken away; whoever is to see to it when it is stuck must be let in.
        WorkspaceStatus::Provisioning | WorkspaceStatus::Failed | WorkspaceStatus::Purging => true,
        WorkspaceStatus::Active => false,
        // A failed one has none, deleted or not.
        WorkspaceStatus::Deleted => workspace.status_before == Some(WorkspaceStatus::Failed),
    }
}

/// One answer per right, in order, from one bulk check: whether all of the caller's principals have it. An outage is an
/// error, never a "no".
pub(crate) async fn ask(berth: &Berth, caller: &Caller, consistency: &Consistency, rights: &[&Right]) -> Result<Vec<bool>, Error> {
    let each = ask_each(berth, caller, consistency, rights).await?;
    Ok(each.iter().map(|of_right| of_right.iter().all(|answer| *answer)).collect())
}

/// For what is about no account: the caller operates the platform.
///
/// # Errors
/// `Forbidden` on the platform, or an outage.
pub(crate) async fn require_operator(berth: &Berth, caller: &Caller) -> Result<(), Error> {
    let operate = Right::on_platform("administer");
    if ask(berth, caller, &Consistency::FullyConsistent, &[&operate]).await?[0] { Ok(()) } else { Err(no_operator()) }
}

/// What is said to who is no operator.
pub(crate) fn no_operator() -> Error {
    Right::on_platform("administer").forbidden()
}

/// As [`ask`], one answer per right and principal of the caller's.
pub(crate) async fn ask_each(
    berth: &Berth,
    caller: &Caller,
    consistency: &Consistency,
    rights: &[&Right],
) -> Result<Vec<Vec<bool>>, Error> {
    let mut scopes: Vec<Uuid> = rights.iter().filter_map(|right| right.scope).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let consistency = settled(berth, caller, &scopes, consistency.clone()).await?;
    let checks: Vec<Check> = rights.iter().flat_map(|right| caller.principals().map(|principal| right.of(principal))).collect();
    let mut answers = bulk(berth, &checks, &consistency).await?;
    for (answers, right) in answers.chunks_mut(caller.principals().count()).zip(rights) {
        if caller.workspace.is_some() && caller.workspace != right.scope {
            answers.fill(false);
        }
    }
    Ok(answers.chunks(caller.principals().count()).map(<[bool]>::to_vec).collect())
}

/// Of the caller's principals one without a right that each of `answers` is about, whose own rows are all that the caller
/// can be shown; `None` if all have it.
pub(crate) fn lacking(caller: &Caller, answers: &[bool]) -> Option<Principal> {
    // A user has fewer rows than the service account that acts for many.
    caller.principals().zip(answers).filter(|(_, has)| !**has).map(|(principal, _)| principal).last()
}

/// The consistency at which the caller's roles on these accounts and workspaces, and above, can be relied on.
///
/// # Errors
/// [`Error::RemovalPending`] while a role of the caller's is reduced and the permission system does not know.
pub(crate) async fn settled(berth: &Berth, caller: &Caller, scopes: &[Uuid], consistency: Consistency) -> Result<Consistency, Error> {
    if scopes.is_empty() {
        return Ok(consistency);
    }
    let principals: Vec<Principal> = caller.principals().collect();
    match berth.members.standing(&principals, scopes).await? {
        Standing::Settled => Ok(consistency),
        Standing::Changed => Ok(Consistency::FullyConsistent),
        Standing::RemovalPending => Err(Error::RemovalPending),
    }
}

pub(crate) async fn bulk(berth: &Berth, checks: &[Check], consistency: &Consistency) -> Result<Vec<bool>, Error> {
    bulk_of(berth, checks, consistency, None).await
}

async fn bulk_of(berth: &Berth, checks: &[Check], consistency: &Consistency, seen: Option<Revision>) -> Result<Vec<bool>, Error> {
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    let answers = match seen {
        Some(seen) => berth.permissions.check_of_row(checks, consistency, seen).await?,
        None => berth.permissions.check(checks, consistency).await?,
    };
    if answers.len() == checks.len() {
        return Ok(answers);
    }
    Err(Error::Permissions(crate::permissions::PermissionsError::Invalid(format!(
        "{} checks were answered {} times",
        checks.len(),
        answers.len()
    ))))
}
