//! Compares a whole installation with what it should be: rows, relationships and backend objects, nothing left out.
//!
//! Everything is read through ports, so that the comparison holds for both databases and any permission system.

use std::collections::{BTreeMap, BTreeSet};

use domain::audit;
use domain::ids::PLATFORM;
use domain::model::{Account, ProvisioningRun, Workspace, WorkspaceStatus};
use domain::permissions::{Filter, Permissions, Relationship};
use domain::ports::{AuditLog as _, Page, RunFilter, WorkspaceFilter, Workspaces as _};
use domain::steps::input::{CreateAccountInput, CreateWorkspaceInput};
use saga::journal::Ending;
use store::Store;
use uuid::Uuid;

const PAGE: u32 = 500;
/// The audit actions that a run which owns its workspace or account begins with.
const ACCEPTS: [&str; 4] = ["account.create", "workspace.create", "run.retry", "workspace.purge"];
/// Those that start a run of `apply-freezes`, or find one at work.
const CARRIES: [&str; 6] =
    ["workspace.freeze", "workspace.unfreeze", "workspace.freeze_expired", "workspace.delete", "workspace.restore", "run.start"];

/// What is wrong with the installation, one sentence each; empty if all is as it should be.
///
/// `backends` holds all backend workspaces that exist on the backends and whether their logins are open, and `foreign` the
/// relationships that no run made. Every run must have ended.
///
/// # Panics
/// If the store or the permission system does not answer.
pub async fn discrepancies(
    store: &Store,
    permissions: &dyn Permissions,
    backends: &BTreeMap<Uuid, bool>,
    foreign: &[Relationship],
) -> Vec<String> {
    let mut wrong = Vec::new();
    let runs = all_runs(store).await;
    let mut relationships: BTreeSet<Relationship> = foreign.iter().cloned().collect();
    let mut objects = BTreeMap::new();
    for account in all_accounts(store).await {
        let input = runs.values().find(|r| r.workspace_id.is_none() && r.account_id == account.id).map(|r| r.input.clone());
        if let Some(input) = input {
            let input: CreateAccountInput = serde_json::from_value(input).expect("the input of create-account");
            relationships.extend(input.relationships());
        }
        for workspace in workspaces_of(store, account.id).await {
            let expected = check_workspace(store, &workspace, &runs, &mut wrong).await;
            relationships.extend(expected.iter().flat_map(CreateWorkspaceInput::relationships));
            let open = workspace.freezes.is_empty();
            objects.extend(expected.iter().flat_map(|input| &input.environments).map(|e| (e.backend_workspace_id, open)));
        }
        check_audit(store, &account, &runs, &mut wrong).await;
    }
    chain(store, PLATFORM, &mut wrong).await;
    for run in runs.values().filter(|r| r.ending.is_none()) {
        wrong.push(format!("run {} has not ended: {:?}", run.id, run.state));
    }
    wrong.extend(backends.keys().filter(|id| !objects.contains_key(*id)).map(|id| format!("backend workspace {id} is an orphan")));
    for (id, open) in &objects {
        match backends.get(id) {
            None => wrong.push(format!("backend workspace {id} is missing on its backend")),
            Some(found) if found != open => wrong.push(format!("the login of {id} is open: {found}, and its freezes have it: {open}")),
            Some(_) => {}
        }
    }
    let found = all_relationships(permissions).await;
    wrong.extend(found.difference(&relationships).map(|r| format!("relationship {r:?} is an orphan")));
    wrong.extend(relationships.difference(&found).map(|r| format!("relationship {r:?} is missing")));
    wrong
}

/// The input of the run that made the workspace, if it is to be there.
async fn check_workspace(
    store: &Store,
    workspace: &Workspace,
    runs: &BTreeMap<saga::RunId, ProvisioningRun>,
    wrong: &mut Vec<String>,
) -> Option<CreateWorkspaceInput> {
    let id = workspace.id;
    let environments = store.environments(id).await.expect("environments");
    let backends = store.backend_workspaces(id).await.expect("backend workspaces");
    let (Some(made_by), true) = (runs.get(&workspace.made_by), runs.contains_key(&workspace.run_id)) else {
        wrong.push(format!("workspace {id} has no run"));
        return None;
    };
    if workspace.freeze_applied != workspace.freeze_revision && workspace.purged_at.is_none() {
        let (applied, revision) = (workspace.freeze_applied, workspace.freeze_revision);
        wrong.push(format!("workspace {id} has freezes of revision {revision}, and {applied} is carried out"));
    }
    let made = match made_by.ending {
        Some(Ending::Succeeded) => WorkspaceStatus::Active,
        Some(_) => WorkspaceStatus::Failed,
        None => WorkspaceStatus::Provisioning,
    };
    let status = if workspace.status == WorkspaceStatus::Deleted { workspace.status_before } else { Some(workspace.status) };
    let is_purged = workspace.status == WorkspaceStatus::Purging && workspace.purged_at.is_some();
    if status != Some(made) && !is_purged {
        wrong.push(format!("workspace {id} is {:?}, its run ended {:?}", workspace.status, made_by.ending));
    }
    if is_purged || made != WorkspaceStatus::Active {
        if !environments.is_empty() || !backends.is_empty() {
            wrong.push(format!("workspace {id} has nothing and yet {} environments, {} backends", environments.len(), backends.len()));
        }
        return None;
    }
    let input: CreateWorkspaceInput = serde_json::from_value(made_by.input.clone()).expect("the input of create-workspace");
    let wanted: BTreeSet<_> = input.environments.iter().map(|e| (e.id, e.name, e.is_default)).collect();
    if environments.iter().map(|e| (e.id, e.name, e.is_default)).collect::<BTreeSet<_>>() != wanted {
        wrong.push(format!("workspace {id} has the environments {environments:?}"));
    }
    let wanted: BTreeSet<_> = input.environments.iter().map(|e| (e.backend_workspace_id, e.id)).collect();
    if backends.iter().map(|b| (b.id, b.environment_id)).collect::<BTreeSet<_>>() != wanted {
        wrong.push(format!("workspace {id} has the backend workspaces {backends:?}"));
    }
    Some(input)
}

/// The entries of an account's or the platform's audit log, which verifies.
async fn chain(store: &Store, of: Uuid, wrong: &mut Vec<String>) -> Vec<audit::Entry> {
    let mut entries: Vec<audit::Entry> = Vec::new();
    loop {
        let page = store.of_account(of, entries.last().map_or(0, |e| e.seq), PAGE).await.expect("audit");
        if page.is_empty() {
            break;
        }
        entries.extend(page);
    }
    if let Err(bad) = audit::verify(&entries) {
        wrong.push(format!("the audit chain of {of}: {bad:?}"));
    }
    entries
}

/// The chain verifies, and each run left what is due: its acceptance and its end.
async fn check_audit(store: &Store, account: &Account, runs: &BTreeMap<saga::RunId, ProvisioningRun>, wrong: &mut Vec<String>) {
    let entries = chain(store, account.id, wrong).await;
    for run in runs.values().filter(|r| r.account_id == account.id) {
        let of_run: Vec<&audit::Entry> = entries.iter().filter(|e| e.run_id == Some(run.id)).collect();
        let ends = of_run.iter().filter(|e| e.action == "run.end").count();
        let carries = run.definition.name == domain::workspaces::status::SAGA;
        let actions: &[&str] = if carries { &CARRIES } else { &ACCEPTS };
        let accepts = of_run.iter().filter(|e| actions.contains(&e.action.as_str())).count();
        // Several freezes may have found one run at work.
        let accepts = if carries { accepts.min(1) } else { accepts };
        if (accepts, ends) != (1, usize::from(run.ending.is_some())) {
            let actions: Vec<&str> = of_run.iter().map(|e| e.action.as_str()).collect();
            wrong.push(format!("run {} left the audit entries {actions:?}", run.id));
        }
    }
}

async fn all_accounts(store: &Store) -> Vec<Account> {
    let mut all: Vec<Account> = Vec::new();
    loop {
        let page = Page { after: all.last().map(|a| a.id), limit: PAGE };
        let found = domain::ports::Accounts::list(store, None, page).await.expect("accounts");
        if found.is_empty() {
            return all;
        }
        all.extend(found);
    }
}

/// Deleted ones too, which are found by that alone; purged ones have nothing left to compare.
async fn workspaces_of(store: &Store, account: Uuid) -> Vec<Workspace> {
    let mut all: Vec<Workspace> = Vec::new();
    for status in [None, Some(WorkspaceStatus::Deleted)] {
        let filter = WorkspaceFilter { status, ..WorkspaceFilter::default() };
        let mut after = None;
        loop {
            let found = store.list_by_account(account, None, &filter, Page { after, limit: PAGE }).await.expect("workspaces");
            let Some(last) = found.last() else { break };
            after = Some(last.id);
            all.extend(found);
        }
    }
    all
}

async fn all_runs(store: &Store) -> BTreeMap<saga::RunId, ProvisioningRun> {
    let mut all = BTreeMap::new();
    let mut after = None;
    loop {
        let found =
            domain::ports::ProvisioningRuns::list(store, None, &RunFilter::default(), Page { after, limit: PAGE }).await.expect("runs");
        let Some(last) = found.last() else { return all };
        after = Some(last.id.0);
        all.extend(found.into_iter().map(|run| (run.id, run)));
    }
}

/// Seals stay behind by design and are left out.
async fn all_relationships(permissions: &dyn Permissions) -> BTreeSet<Relationship> {
    let mut all = BTreeSet::new();
    for kind in ["platform", "account", "workspace", "environment", "service_account"] {
        let filter = Filter { resource_kind: kind.to_owned(), resource_id: None, relation: None, subject: None };
        all.extend(permissions.read(&filter).await.expect("relationships").into_iter().filter(|r| r.relation != "sealed"));
    }
    all
}
