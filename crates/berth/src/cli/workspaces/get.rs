//! `berth workspaces get`.

use clap::Args;
use serde_json::Value;

use crate::cli::advice;
use crate::cli::names;
use crate::cli::session::{Ask, InAccount};
use crate::cli::stop::Stop;
use crate::cli::table::{card, plain, time};
use crate::config::Environment;

#[derive(Debug, Args)]
pub struct Get {
    /// The workspace's name or id.
    #[arg(value_name = "NAME|ID")]
    workspace: String,
    #[command(flatten)]
    account: InAccount,
    #[command(flatten)]
    ask: Ask,
}

impl Get {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let id = names::workspace(&session.client, &self.workspace, self.account.account.as_deref()).await?;
        let workspace = session.client.get(format!("/v1/workspaces/{id}")).send().await?.body;
        session.output.item(&workspace, shown)
    }
}

/// A workspace for a person.
pub fn shown(workspace: &Value) -> String {
    let mut lines = vec![
        ("Name", plain(&workspace["name"])),
        ("Id", plain(&workspace["id"])),
        ("Status", plain(&workspace["status"])),
        ("Slug", plain(&workspace["slug"])),
        ("Region", plain(&workspace["region"])),
        ("Tenancy", plain(&workspace["tenancy_model"])),
        ("Account", plain(&workspace["account_id"])),
        ("Created", time(&workspace["created_at"])),
    ];
    let labels: Vec<String> =
        workspace["labels"].as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", plain(value))).collect();
    if !labels.is_empty() {
        lines.push(("Labels", labels.join(", ")));
    }
    if workspace["termination_protection"] == true {
        lines.push(("Protected", "it cannot be deleted (termination protection)".to_owned()));
    }
    for freeze in workspace["freezes"].as_array().into_iter().flatten() {
        lines.push(("Freeze", advice::freeze(freeze)));
    }
    if workspace["purge_at"].is_string() {
        lines.push((
            "Purged",
            format!("{}; until then `berth workspaces restore {}`", time(&workspace["purge_at"]), plain(&workspace["id"])),
        ));
    }
    if let Some(run) = workspace.get("run").filter(|run| run.is_object()) {
        lines.push(("Latest run", format!("{} {} {}", plain(&run["id"]), plain(&run["saga"]), plain(&run["state"]))));
    }
    if workspace["allowed_actions"].is_array() {
        lines.push(("You may", plain(&workspace["allowed_actions"])));
    }
    card(lines)
}
