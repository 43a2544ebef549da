//! `berth workspaces delete`.

use clap::Args;
use reqwest::Method;

use crate::cli::confirm::Confirm;
use crate::cli::names;
use crate::cli::session::{Ask, InAccount};
use crate::cli::stop::Stop;
use crate::cli::table::plain;
use crate::config::Environment;

#[derive(Debug, Args)]
pub struct Delete {
    /// The workspace's name or id.
    #[arg(value_name = "NAME|ID")]
    workspace: String,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    account: InAccount,
    #[command(flatten)]
    ask: Ask,
}

impl Delete {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let id = names::workspace(&session.client, &self.workspace, self.account.account.as_deref()).await?;
        let path = format!("/v1/workspaces/{id}");
        let found = session.client.get(&path).send().await?;
        let (name, status) = (plain(&found.body["name"]), plain(&found.body["status"]));
        self.confirm.ask(&format!("Delete the workspace {name} ({id}, {status})? Nobody can use it until it is restored.")).await?;
        // What is deleted is what was looked at.
        let tag = found.header("etag").unwrap_or("*").to_owned();
        let deleted = session.client.request(Method::DELETE, path).header("If-Match", tag).send().await?.body;
        session.output.item(&deleted, super::get::shown)
    }
}
