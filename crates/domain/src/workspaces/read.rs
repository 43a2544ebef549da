//! Reads of workspaces and what belongs to them, each under its permission.

use async_trait::async_trait;
use uuid::Uuid;

use super::delete::HOLDING;
use super::status::Transition;
use crate::access::{Freshness, Ground, Right, Rights, ask, ask_each, is_on_account, lacking};
use crate::model::{AccountStatus, Environment, FreezeSource, ProvisioningRun, RunDetail, Workspace, WorkspaceStatus};
pub use crate::paging::Listed;
use crate::paging::{Source, fill};
use crate::permissions::Consistency;
use crate::ports::{Page, WithRun, WorkspaceFilter};
use crate::runs::verbs::{Folded, is_operators, word};
use crate::{Berth, Caller, Error, Principal, accounts};

const ADMINISTER: &str = "administer";
const NOT_FOUND: Error = Error::NotFound { what: "workspace" };

/// A workspace with its latest run and what the caller may do with it.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub workspace: Workspace,
    pub run: Option<ProvisioningRun>,
    /// `read`, `audit`, `update`, `delete`, `restore`, `freeze`, `unfreeze`, `manage_members`, and of `cancel`, `retry`, `skip`,
    /// `abandon` those that the latest run takes now.
    pub allowed_actions: Vec<&'static str>,
}

/// # Errors
/// `NotFound`, [`Error::Frozen`] where a freeze blocks it and the caller does not administer it, or an outage.
pub async fn get(berth: &Berth, caller: &Caller, id: Uuid) -> Result<View, Error> {
    let found = berth.workspaces.with_run(id).await?.filter(|found| !is_purged(&found.workspace)).ok_or(NOT_FOUND)?;
    let WithRun { workspace, run, seen } = found;
    let ground = Ground::workspace(berth, &workspace).await?.seen_at(seen);
    let rights = rights_to_see(berth, caller, &ground).await?;
    Ok(viewed(berth, workspace, run, rights))
}

/// A workspace as it was just read, for who may see it.
///
/// # Errors
/// As [`get`].
pub(super) async fn view(berth: &Berth, caller: &Caller, workspace: Workspace) -> Result<View, Error> {
    let rights = rights_to_see(berth, caller, &Ground::workspace(berth, &workspace).await?).await?;
    view_with(berth, workspace, rights).await
}

/// What the caller may do there, who may see it.
async fn rights_to_see(berth: &Berth, caller: &Caller, ground: &Ground) -> Result<Rights, Error> {
    let rights = ground.rights(berth, caller, Freshness::Row).await?;
    ground.require_seen(rights)?;
    Ok(rights)
}

/// A workspace as it was just read, for who has these rights on it.
///
/// # Errors
/// An outage.
pub(super) async fn view_with(berth: &Berth, workspace: Workspace, rights: Rights) -> Result<View, Error> {
    let run = berth.runs.glance(workspace.run_id).await?;
    Ok(viewed(berth, workspace, run, rights))
}

/// What an ended run takes is told from its row.
fn viewed(berth: &Berth, workspace: Workspace, run: Option<RunDetail>, rights: Rights) -> View {
    let mut allowed_actions = vec!["read", "audit"];
    if rights.act {
        allowed_actions.extend(actions(&workspace, run.as_ref()));
    }
    if let Some(detail) = &run {
        allowed_actions.extend(verbs(rights, &Folded::of(berth, detail)));
    }
    allowed_actions.extend(changes_of_status(rights, &workspace));
    View { workspace, run: run.map(|detail| detail.run), allowed_actions }
}

/// What who administers the workspace may do with it now.
fn actions(workspace: &Workspace, run: Option<&RunDetail>) -> Vec<&'static str> {
    let is_at_work = run.is_some_and(|detail| detail.run.ending.is_none());
    let is_held = workspace.termination_protection || workspace.freezes.iter().any(|freeze| HOLDING.contains(&freeze.source));
    let mut actions = Vec::new();
    if workspace.freezes.is_empty() {
        actions.push("update");
        if workspace.status == WorkspaceStatus::Active {
            actions.push("manage_members");
        }
    }
    if Transition::Delete.is_allowed(workspace.status, &[]) && !is_held && !is_at_work {
        actions.push("delete");
    }
    if Transition::Restore.is_allowed(workspace.status, &[]) {
        actions.push("restore");
    }
    actions
}

/// Of the verbs that the run takes now, those that the caller has the right to.
fn verbs(rights: Rights, run: &Folded) -> Vec<&'static str> {
    run.possible().into_iter().filter(|verb| if is_operators(*verb) { rights.operate } else { rights.act }).map(word).collect()
}

/// Of freezing and unfreezing, what the workspace's status allows and the caller has the right to for some source.
fn changes_of_status(rights: Rights, workspace: &Workspace) -> impl Iterator<Item = &'static str> {
    let may = move |source: &FreezeSource| if *source == FreezeSource::AccountAdmin { rights.act } else { rights.operate };
    let stands = |source: &FreezeSource| workspace.freezes.iter().any(|freeze| freeze.source == *source);
    let of = |transition: Transition| transition.sources(workspace.status).unwrap_or_default().iter();
    let freeze = of(Transition::Freeze).any(&may).then_some(Transition::Freeze);
    let unfreeze = of(Transition::Unfreeze).any(|source| may(source) && stands(source)).then_some(Transition::Unfreeze);
    [freeze, unfreeze].into_iter().flatten().map(Transition::as_str)
}

/// Workspaces that the caller is a member of; those that both are where a service account acts for a user.
///
/// # Errors
/// An outage.
pub async fn mine(berth: &Berth, caller: &Caller, filter: &WorkspaceFilter, page: Page) -> Result<Listed<Workspace>, Error> {
    fill(&Mine { berth, caller, filter }, page).await
}

struct Mine<'a> {
    berth: &'a Berth,
    caller: &'a Caller,
    filter: &'a WorkspaceFilter,
}

#[async_trait]
impl Source for Mine<'_> {
    type Row = Workspace;

    fn key(row: &Workspace) -> Uuid {
        row.id
    }

    async fn fetch(&self, page: Page) -> Result<Vec<Workspace>, Error> {
        let members: Vec<Principal> = self.caller.principals().collect();
        Ok(self.berth.workspaces.list_by_member(&members, self.filter, page).await?)
    }

    /// The list shows what a read of each row would: a membership row alone is no right.
    async fn visible(&self, rows: &[Workspace]) -> Result<Vec<bool>, Error> {
        visible(self.berth, self.caller, rows, "membership").await
    }
}

/// What the caller may read of an account: all of it with `read_workspaces`, otherwise what he is a member of.
///
/// # Errors
/// `NotFound` about the account, or an outage.
pub async fn by_account(
    berth: &Berth,
    caller: &Caller,
    account: Uuid,
    filter: &WorkspaceFilter,
    page: Page,
) -> Result<Listed<Workspace>, Error> {
    // Deleted ones are shown to who administers them.
    let (all, each) = if filter.status == Some(WorkspaceStatus::Deleted) { (ADMINISTER, ADMINISTER) } else { ("read_workspaces", "read") };
    let rights = [Right::on_account(account, "read"), Right::on_account(account, all)];
    let answers = ask_each(berth, caller, &Consistency::FullyConsistent, &rights.each_ref()).await?;
    if lacking(caller, &answers[0]).is_some() {
        // Until an account is active nobody holds a right on it, and its creator sees it all the same; it has no workspaces.
        let account = accounts::find(berth, account).await?;
        if account.status != AccountStatus::Active {
            Ground::account(&account).require_sight(berth, caller, Freshness::Full).await?;
            return Ok(Listed { items: Vec::new(), next: None });
        }
        return Err(Error::NotFound { what: "account" });
    }
    fill(&OfAccount { berth, caller, account, filter, member: lacking(caller, &answers[1]), each }, page).await
}

struct OfAccount<'a> {
    berth: &'a Berth,
    caller: &'a Caller,
    account: Uuid,
    filter: &'a WorkspaceFilter,
    /// Whose rows they are; `None`: all there are.
    member: Option<Principal>,
    /// The permission on each that is needed otherwise.
    each: &'static str,
}

#[async_trait]
impl Source for OfAccount<'_> {
    type Row = Workspace;

    fn key(row: &Workspace) -> Uuid {
        row.id
    }

    async fn fetch(&self, page: Page) -> Result<Vec<Workspace>, Error> {
        Ok(self.berth.workspaces.list_by_account(self.account, self.member, self.filter, page).await?)
    }

    async fn visible(&self, rows: &[Workspace]) -> Result<Vec<bool>, Error> {
        if self.member.is_none() {
            return Ok(vec![true; rows.len()]);
        }
        visible(self.berth, self.caller, rows, self.each).await
    }
}

/// Which rows the caller may see: by `permission` on the workspace, or on the account of those that are authorized there.
async fn visible(berth: &Berth, caller: &Caller, rows: &[Workspace], permission: &'static str) -> Result<Vec<bool>, Error> {
    let rights: Vec<Right> = rows
        .iter()
        .map(|row| {
            let on_account = if permission == ADMINISTER { ADMINISTER } else { "read_workspaces" };
            if is_on_account(row) { Right::on_account(row.account_id, on_account) } else { Right::on_workspace(row.id, permission) }
        })
        .collect();
    ask(berth, caller, &Consistency::FullyConsistent, &rights.iter().collect::<Vec<_>>()).await
}

/// Which of these the caller administers.
pub(crate) async fn administered(berth: &Berth, caller: &Caller, rows: &[Workspace]) -> Result<Vec<bool>, Error> {
    visible(berth, caller, rows, ADMINISTER).await
}

/// Which rows the caller may read by id, or would have to be told of: deleted ones are their administrators' only.
pub(super) async fn readable(berth: &Berth, caller: &Caller, rows: &[Workspace]) -> Result<Vec<bool>, Error> {
    let (deleted, others): (Vec<_>, Vec<_>) =
        rows.iter().cloned().partition(|row| matches!(row.status, WorkspaceStatus::Deleted | WorkspaceStatus::Purging));
    let seen = [visible(berth, caller, &deleted, ADMINISTER).await?, visible(berth, caller, &others, "read").await?].concat();
    let seen: std::collections::HashMap<Uuid, bool> = deleted.iter().chain(&others).map(|row| row.id).zip(seen).collect();
    Ok(rows.iter().map(|row| seen.get(&row.id).copied().unwrap_or_default()).collect())
}

/// # Errors
/// `NotFound`, [`Error::Frozen`] where a freeze blocks it, or an outage.
pub async fn environments(berth: &Berth, caller: &Caller, id: Uuid) -> Result<Vec<Environment>, Error> {
    require_open(berth, caller, id, Freshness::Full).await?;
    Ok(berth.workspaces.environments(id).await?)
}

/// Whether the caller may read what is in this workspace: what the reserved pillar paths ask.
///
/// # Errors
/// `NotFound`, [`Error::Frozen`] where a freeze blocks it, or an outage.
pub async fn authorize_read(berth: &Berth, caller: &Caller, id: Uuid) -> Result<(), Error> {
    require_open(berth, caller, id, Freshness::Full).await.map(drop)
}

/// The workspace, for reads of its runs and its audit entries, which stay when it is purged: a blocking freeze leaves these to
/// who administers it.
///
/// # Errors
/// `NotFound`, [`Error::Frozen`], or an outage.
pub(crate) async fn require_sight(berth: &Berth, caller: &Caller, id: Uuid, freshness: Freshness) -> Result<Workspace, Error> {
    let workspace = berth.workspaces.get(id).await?.ok_or(NOT_FOUND)?;
    Ground::workspace(berth, &workspace).await?.require_sight(berth, caller, freshness).await?;
    Ok(workspace)
}

/// The workspace, for every other read: a blocking freeze keeps these from everybody.
///
/// # Errors
/// `NotFound`, [`Error::Frozen`], or an outage.
pub(crate) async fn require_open(berth: &Berth, caller: &Caller, id: Uuid, freshness: Freshness) -> Result<Workspace, Error> {
    let workspace = find(berth, id).await?;
    Ground::workspace(berth, &workspace).await?.require_open(berth, caller, freshness).await?;
    Ok(workspace)
}

/// One that is not purged.
pub(crate) async fn find(berth: &Berth, id: Uuid) -> Result<Workspace, Error> {
    berth.workspaces.get(id).await?.filter(|workspace| !is_purged(workspace)).ok_or(NOT_FOUND)
}

fn is_purged(workspace: &Workspace) -> bool {
    workspace.purged_at.is_some()
}
