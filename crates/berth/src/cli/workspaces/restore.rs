//! `berth workspaces restore`.

use clap::Args;
use serde_json::json;

use crate::cli::names;
use crate::cli::session::{Ask, InAccount};
use crate::cli::stop::Stop;
use crate::config::Environment;

#[derive(Debug, Args)]
pub struct Restore {
    /// The workspace's name or id.
    #[arg(value_name = "NAME|ID")]
    workspace: String,
    /// Its slug from now on; without it its old one, if that is still free.
    #[arg(long, value_name = "SLUG")]
    slug: Option<String>,
    #[command(flatten)]
    account: InAccount,
    #[command(flatten)]
    ask: Ask,
}

impl Restore {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let id = names::gone_workspace(&session.client, &self.workspace, self.account.account.as_deref()).await?;
        let body = self.slug.as_ref().map_or_else(|| json!({}), |slug| json!({"slug": slug}));
        let restored = session.client.post(format!("/v1/workspaces/{id}/restore")).body(body).send().await?.body;
        session.output.item(&restored, super::get::shown)
    }
}
