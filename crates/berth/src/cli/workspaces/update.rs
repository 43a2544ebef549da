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
    /// Its new name; whoever asks for the old one is told its id.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Sets a label; may be given several times. Others stay.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Label>,
    /// Takes a label off; may be given several times.
    #[arg(long = "remove-label", value_name = "KEY")]
    removed: Vec<String>,
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
        if !self.labels.is_empty() || !self.removed.is_empty() {
            body["labels"] = Label::object(&self.labels);
            for key in &self.removed {
                body["labels"][key] = Value::Null;
            }
        }
        if let Some(protected) = self.termination_protection {
            body["termination_protection"] = json!(protected);
        }
        if body.as_object().is_none_or(serde_json::Map::is_empty) {
            return Err(Stop::usage("nothing is to be changed", "Give --name, --label, --remove-label or --termination-protection."));
        }
        let session = self.ask.session(environment)?;
        let id = names::workspace(&session.client, &self.workspace, self.account.account.as_deref()).await?;
        let changed = session.client.request(Method::PATCH, format!("/v1/workspaces/{id}")).body(body).send().await?.body;
        session.output.item(&changed, super::get::shown)
    }
}
