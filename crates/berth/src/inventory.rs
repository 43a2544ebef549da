//! `berth dev inventory` and `berth inventory`: everything that the database holds about tenants, as JSON, for comparing it whole with what
//! stands on the backends. For tests and for curious people; nobody else should be at work on it.

use domain::Berth;
use domain::model::{Scope, WorkspaceStatus};
use domain::permissions::Filter;
use domain::ports::{Page, RunFilter, WorkspaceFilter};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::dev::folder;
use crate::failure::Failure;
use crate::operator;
use crate::process::on_runtime;

const PAGE: u32 = 500;
const KINDS: &[&str] = &["platform", "account", "workspace", "environment", "service_account"];

/// Prints the inventory of an installation on PostgreSQL.
///
/// # Errors
/// The database is away.
pub fn of_database(config: &Config) -> Result<(), Failure> {
    let text = on_runtime(async {
        let house = operator::house(config).await?;
        let found = all(&house.berth).await;
        house.store.db().close().await;
        Ok(format!("{:#}\n", found?))
    })?;
    crate::print(&text)
}

/// Prints the inventory of a data folder.
///
/// # Errors
/// The folder is in use, or the database is away.
pub fn of_folder(config: &Config) -> Result<(), Failure> {
    let text = on_runtime(async {
        let data = DataFolder::open(&config.data.dir)?;
        let (house, _) = folder::open(config, &data).await?;
        let found = all(&house.berth).await;
        house.store.db().close().await;
        Ok(format!("{:#}\n", found?))
    })?;
    crate::print(&text)
}

async fn all(berth: &Berth) -> Result<Value, Failure> {
    let mut accounts = Vec::new();
    let mut workspaces = Vec::new();
    let mut after = None;
    loop {
        let page = berth.accounts.list(None, Page { after, limit: PAGE }).await.map_err(away)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for account in &page {
            accounts.push(json!({
                "id": account.id,
                "status": account.status,
                "members": members(berth, Scope::Account, account.id).await?,
            }));
            // Deleted ones are found by that alone.
            for status in [None, Some(WorkspaceStatus::Deleted)] {
                workspaces.extend(workspaces_of(berth, account.id, status).await?);
            }
        }
    }
    let mut relationships = Vec::new();
    for kind in KINDS {
        let filter = Filter { resource_kind: (*kind).to_owned(), resource_id: None, relation: None, subject: None };
        relationships.extend(berth.permissions.read(&filter).await.map_err(away)?);
    }
    Ok(json!({ "accounts": accounts, "workspaces": workspaces, "runs": runs(berth).await?, "relationships": relationships }))
}

async fn workspaces_of(berth: &Berth, account: Uuid, status: Option<WorkspaceStatus>) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    let mut after = None;
    let filter = WorkspaceFilter { status, ..WorkspaceFilter::default() };
    loop {
        let page = Page { after, limit: PAGE };
        let page = berth.workspaces.list_by_account(account, None, &filter, page).await.map_err(away)?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.id);
        for workspace in &page {
            let environments = berth.workspaces.environments(workspace.id).await.map_err(away)?;
            let backends = berth.workspaces.backend_workspaces(workspace.id).await.map_err(away)?;
            found.push(json!({
                "id": workspace.id,
                "account_id": workspace.account_id,
                "slug": workspace.slug,
                "status": workspace.status,
                "status_before": workspace.status_before,
                "freezes": workspace.freezes.iter().map(|f| f.source).collect::<Vec<_>>(),
                "freeze_revision": workspace.freeze_revision,
                "freeze_applied": workspace.freeze_applied,
                "run_id": workspace.run_id,
                "environments": environments.iter().map(|e| json!({"id": e.id, "name": e.name, "status": e.status})).collect::<Vec<_>>(),
                "backend_workspaces": backends
                    .iter()
                    .map(|b| json!({"id": b.id, "environment_id": b.environment_id, "locator": b.locator, "login_open": b.login_open}))
                    .collect::<Vec<_>>(),
                "members": members(berth, Scope::Workspace, workspace.id).await?,
            }));
        }
    }
}

async fn members(berth: &Berth, scope: Scope, id: Uuid) -> Result<Vec<Value>, Failure> {
    let members = berth.workspaces.memberships(scope, id).await.map_err(away)?;
    Ok(members.iter().map(|m| json!({"principal": m.principal, "role": m.role})).collect())
}

async fn runs(berth: &Berth) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = berth.runs.list(None, &RunFilter::default(), Page { after, limit: PAGE }).await.map_err(away)?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.id.0);
        found.extend(page.iter().map(|run| {
            json!({
                "id": run.id,
                "saga": run.definition.name,
                "account_id": run.account_id,
                "workspace_id": run.workspace_id,
                "state": run.state,
                "terminal": run.ending.is_some(),
            })
        }));
    }
}

fn away(cause: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the inventory cannot be read: {cause}"))
}
