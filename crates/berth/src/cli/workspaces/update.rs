//! `berth workspaces update`.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::labels::Label;
use crate::cli::names;
use crate::cli::session::{Ask, InAccount};
use crate::cli::stop::Stop;
use crate::config::Environment;

#[derive(Debug, Args)]
pub struct Update {
    /// The workspace's name or id.
    #[arg(value_name = "NAME|ID")]
    workspace: String,
    /// Its new name; the old one still finds it.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A label; all that are given replace those that are there.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Label>,
    /// Takes all labels off.
    #[arg(long, conflicts_with = "labels")]
    no_labels: bool,
    /// Whether the workspace is protected against deletion.
    #[arg(long, value_name = "true|false")]
    termination_protection: Option<bool>,
    #[command(flatten)]
    account: InAccount,
    #[command(flatten)]
    ask: Ask,
}

impl Update {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let mut body = json!({});
        if let Some(name) = &self.name {
            body["name"] = json!(name);
        }
        if !self.labels.is_empty() || self.no_labels {
            body["labels"] = Label::object(&self.labels);
        }
        if let Some(protected) = self.termination_protection {
            body["termination_protection"] = json!(protected);
        }
        if body.as_object().is_none_or(serde_json::Map::is_empty) {
            return Err(Stop::usage("nothing is to be changed", "Give --name, --label, --no-labels or --termination-protection."));
        }
        let session = self.ask.session(environment)?;
        let id = names::workspace(&session.client, &self.workspace, self.account.account.as_deref()).await?;
        let changed: Value = session.client.request(Method::PATCH, format!("/v1/workspaces/{id}")).body(body).send().await?.body;
        session.output.item(&changed, super::get::shown)
    }
}
