//! Who may see and do what: on which object a right is asked, and what a "no" means.
//!
//! A workspace in state `provisioning` or `failed` is authorized on its account, whatever relationships exist; so is an
//! account in those states on its creator and the platform. Who may not see a thing learns nothing of it; who sees it
//! and lacks the right needed is told which.

use uuid::Uuid;

use crate::model::{Account, AccountStatus, Freeze, FreezeMode, Workspace, WorkspaceStatus};
use crate::permissions::{Check, Consistency, Object};
use crate::{Berth, Caller, Error};

/// A right on an object.
#[derive(Debug, Clone)]
pub(crate) struct Right {
    pub what: &'static str,
    pub object: Object,
    pub permission: &'static str,
}

impl Right {
    pub fn on_account(id: Uuid, permission: &'static str) -> Self {
        Self { what: "account", object: Object::account(id), permission }
    }

    pub fn on_workspace(id: Uuid, permission: &'static str) -> Self {
        Self { what: "workspace", object: Object::workspace(id), permission }
    }

    pub fn on_platform(permission: &'static str) -> Self {
        Self { what: "platform", object: Object::platform(), permission }
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
    /// The caller made what is not active yet: may see and change it.
    is_creator: bool,
    token: Option<String>,
    /// Of a workspace: the freezes in force that block reads as well.
    blocked: Vec<Freeze>,
}

impl Ground {
    /// An account that is taken to be active.
    pub fn active_account(id: Uuid, token: Option<String>) -> Self {
        Self {
            what: "account",
            see: Right::on_account(id, "read"),
            act: Right::on_account(id, "administer"),
            is_creator: false,
            token,
            blocked: Vec::new(),
        }
    }

    pub fn account(account: &Account, caller: &Caller) -> Self {
        let token = account.permissions_token.clone();
        if account.status == AccountStatus::Active {
            return Self::active_account(account.id, token);
        }
        Self {
            what: "account",
            see: Right::on_platform("read"),
            act: Right::on_platform("administer"),
            is_creator: account.created_by == caller.principal,
            token,
            blocked: Vec::new(),
        }
    }

    /// What belongs to the account and is not its plain members' to see: its runs.
    pub fn account_runs(account: &Account, caller: &Caller) -> Self {
        let mut ground = Self::account(account, caller);
        if account.status == AccountStatus::Active {
            ground.see = Right::on_account(account.id, "read_workspaces");
        }
        ground
    }

    pub async fn workspace(berth: &Berth, workspace: &Workspace) -> Result<Self, Error> {
        let blocked = workspace.freezes.iter().filter(|f| f.mode == FreezeMode::Blocked).cloned().collect();
        if is_on_account(workspace) {
            // The relationships that count are the account's, and so is the token.
            let token = berth.accounts.get(workspace.account_id).await?.and_then(|a| a.permissions_token);
            return Ok(Self {
                what: "workspace",
                see: Right::on_account(workspace.account_id, "read_workspaces"),
                act: Right::on_account(workspace.account_id, "administer"),
                is_creator: false,
                token,
                blocked,
            });
        }
        Ok(Self {
            what: "workspace",
            see: Right::on_workspace(workspace.id, "read"),
            act: Right::on_workspace(workspace.id, "administer"),
            is_creator: false,
            token: workspace.permissions_token.clone(),
            blocked,
        })
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
        if !self.is_creator && !ask(berth, caller, &self.consistency(freshness), &[&self.see]).await?[0] {
            return Err(self.not_found());
        }
        if self.blocked.is_empty() { Ok(()) } else { Err(Error::Frozen { freezes: self.blocked.clone() }) }
    }

    /// # Errors
    /// `NotFound` for who may not see it, `Forbidden` for who may not change it.
    pub async fn require_action(&self, berth: &Berth, caller: &Caller) -> Result<(), Error> {
        if self.is_creator {
            return Ok(());
        }
        self.require(berth, caller, &self.act).await
    }

    /// # Errors
    /// `NotFound` for who may not see it, `Forbidden` for who is no operator.
    pub async fn require_operator(&self, berth: &Berth, caller: &Caller) -> Result<(), Error> {
        self.require(berth, caller, &Right::on_platform("administer")).await
    }

    /// # Errors
    /// `NotFound` for who may not see it, `Forbidden` for who lacks `right`.
    pub async fn require(&self, berth: &Berth, caller: &Caller, right: &Right) -> Result<(), Error> {
        match *ask(berth, caller, &Consistency::FullyConsistent, &[&self.see, right]).await?.as_slice() {
            [_, true] => Ok(()),
            [sees, _] if sees || self.is_creator => Err(right.forbidden()),
            _ => Err(self.not_found()),
        }
    }

    pub async fn rights(&self, berth: &Berth, caller: &Caller, freshness: Freshness) -> Result<Rights, Error> {
        let operate = Right::on_platform("administer");
        let answers = ask(berth, caller, &self.consistency(freshness), &[&self.see, &self.act, &operate]).await?;
        Ok(Rights { see: self.is_creator || answers[0], act: self.is_creator || answers[1], operate: answers[2] })
    }

    fn consistency(&self, freshness: Freshness) -> Consistency {
        match (freshness, &self.token) {
            (Freshness::Full, _) => Consistency::FullyConsistent,
            (Freshness::Row, Some(token)) => Consistency::AtLeastAsFresh(token.clone()),
            (Freshness::Row, None) => Consistency::MinimizeLatency,
        }
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

/// One answer per right, in order, from one bulk check. An outage is an error, never a "no".
pub(crate) async fn ask(berth: &Berth, caller: &Caller, consistency: &Consistency, rights: &[&Right]) -> Result<Vec<bool>, Error> {
    if rights.is_empty() {
        return Ok(Vec::new());
    }
    let subject = Object::from(caller.principal);
    let checks: Vec<Check> = rights
        .iter()
        .map(|right| Check { resource: right.object.clone(), permission: right.permission.to_owned(), subject: subject.clone() })
        .collect();
    let answers = berth.permissions.check(&checks, consistency).await?;
    if answers.len() == checks.len() {
        return Ok(answers);
    }
    Err(Error::Permissions(crate::permissions::PermissionsError::Invalid(format!(
        "{} checks were answered {} times",
        checks.len(),
        answers.len()
    ))))
}
