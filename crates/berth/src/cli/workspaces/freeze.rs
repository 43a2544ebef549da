//! `berth workspaces freeze` and `unfreeze`.

use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::advice;
use crate::cli::moment::Moment;
use crate::cli::names;
use crate::cli::session::{Ask, InAccount};
use crate::cli::stop::Stop;
use crate::cli::table::{card, plain};
use crate::cli::waiting::{Wait, hint};
use crate::config::Environment;

#[derive(Debug, Args)]
pub struct Freeze {
    /// The workspace's name or id.
    #[arg(value_name = "NAME|ID")]
    workspace: String,
    /// Why, in words.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Why, in a word for programs: a-z, 0-9 and _.
    #[arg(long, value_name = "CODE", default_value = "manual")]
    code: String,
    /// What is shut: changes (`read_only`), or reads as well (`blocked`) [default: `read_only`].
    #[arg(long, value_enum, value_name = "MODE")]
    mode: Option<Mode>,
    /// In whose name; all but `account_admin` need rights on the platform [default: `account_admin`].
    #[arg(long, value_enum, value_name = "SOURCE")]
    source: Option<Source>,
    /// When it ends by itself: a time such as 2026-12-24T18:00:00Z, or a span such as 2h.
    #[arg(long, value_name = "T")]
    expires: Option<Moment>,
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, Args)]
pub struct Unfreeze {
    /// The workspace's name or id.
    #[arg(value_name = "NAME|ID")]
    workspace: String,
    /// Whose freeze is lifted; may be given several times [default: `account_admin`].
    #[arg(long = "source", value_enum, value_name = "SOURCE")]
    sources: Vec<Source>,
    #[command(flatten)]
    change: Change,
}

/// What both take.
#[derive(Debug, Args)]
struct Change {
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    account: InAccount,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Mode {
    ReadOnly,
    Blocked,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Source {
    AccountAdmin,
    Billing,
    Platform,
    Security,
    Legal,
}

/// A value as the API spells it.
fn word(value: &impl ValueEnum) -> Value {
    value.to_possible_value().map_or(Value::Null, |word| json!(word.get_name()))
}

impl Freeze {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let mut reason = json!({"code": self.code});
        if let Some(note) = &self.note {
            reason["note"] = json!(note);
        }
        let mut body = json!({"status": "frozen", "reason": reason});
        if let Some(source) = self.source {
            body["source"] = word(&source);
        }
        if let Some(mode) = self.mode {
            body["mode"] = word(&mode);
        }
        if let Some(expires) = &self.expires {
            body["expires_at"] = json!(expires.ahead().to_string());
        }
        self.change.send(&self.workspace, body, environment).await
    }
}

impl Unfreeze {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let mut body = json!({"status": "active"});
        if !self.sources.is_empty() {
            body["sources"] = self.sources.iter().map(word).collect();
        }
        self.change.send(&self.workspace, body, environment).await
    }
}

impl Change {
    async fn send(&self, workspace: &str, body: Value, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let id = names::workspace(&session.client, workspace, self.account.account.as_deref()).await?;
        let answer = session.client.request(Method::PATCH, format!("/v1/workspaces/{id}/status")).body(body).send().await?.body;
        // Where it is carried out already, there is nothing to wait for or to follow.
        let run = answer["apply"]["provisioning_run_id"].as_str().filter(|_| answer["applied_revision"] != answer["revision"]);
        if self.wait.wanted() {
            if let Some(run) = run {
                self.wait.run(&session, run).await?;
            }
            let workspace = session.client.get(format!("/v1/workspaces/{id}")).send().await?.body;
            return session.output.item(&workspace, super::get::shown);
        }
        session.output.item(&answer, |answer| shown(answer) + &run.map_or_else(String::new, hint))
    }
}

fn shown(answer: &Value) -> String {
    let mut lines = vec![("Workspace", plain(&answer["workspace_id"])), ("Status", plain(&answer["status"]))];
    lines.extend(answer["freezes"].as_array().into_iter().flatten().map(|freeze| ("Freeze", advice::freeze(freeze))));
    lines.extend(logins(answer).map(|words| ("Logins", words)));
    card(lines)
}

/// How far the logins on the backends have been opened or shut; nothing where there are none.
fn logins(answer: &Value) -> Option<String> {
    let logins = answer["apply"]["children"].as_array()?.iter().filter(|child| child["type"] == "backend_workspace");
    let states: Vec<&Value> = logins.map(|child| &child["state"]).collect();
    let told = states.iter().filter(|state| **state == "applied").count();
    match (told, states.len()) {
        (_, 0) => None,
        (told, all) if told == all => Some(format!("all {all} brought in line")),
        (told, all) => Some(format!("{told} of {all} brought in line; the rest follows in a moment")),
    }
}
