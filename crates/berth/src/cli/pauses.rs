//! `berth pause`, `berth resume` and `berth pauses`: an operator holds back what is new, without stopping anything.

use std::str::FromStr;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, segment};
use super::names;
use super::output::put;
use super::session::Ask;
use super::stop::Stop;
use super::table::{card, plain, rows, time};
use crate::config::Environment;

/// What is paused.
#[derive(Debug, Clone)]
struct Scope {
    kind: Kind,
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Backend,
    Saga,
    Account,
}

impl FromStr for Scope {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        let kind = match kind {
            "backend" => Kind::Backend,
            "saga" => Kind::Saga,
            "account" => Kind::Account,
            _ => return Err("write backend:NAME, saga:NAME or account:NAME".to_owned()),
        };
        if name.is_empty() { Err("it has no name after the colon".to_owned()) } else { Ok(Self { kind, name: name.to_owned() }) }
    }
}

impl Scope {
    async fn path(&self, client: &Client) -> Result<String, Stop> {
        Ok(match self.kind {
            Kind::Backend => format!("/v1/pauses/backend/{}", segment(&self.name)),
            Kind::Saga => format!("/v1/pauses/saga/{}", segment(&self.name)),
            Kind::Account => format!("/v1/pauses/account/{}", names::account(client, Some(&self.name)).await?),
        })
    }
}

#[derive(Debug, Args)]
pub struct Pause {
    /// What: `backend:NAME`, `saga:NAME` or `account:NAME|ID`.
    #[arg(value_name = "WHAT")]
    scope: Scope,
    /// What has begun to be taken back waits as well; without it that goes on.
    #[arg(long)]
    undo: bool,
    /// Why; it stands in the audit, and whoever asks why a run waits reads it.
    #[arg(long, value_name = "TEXT")]
    comment: String,
    #[command(flatten)]
    ask: Ask,
}

impl Pause {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let path = self.scope.path(&session.client).await?;
        let body = json!({"undo": self.undo, "comment": self.comment});
        let pause = session.client.request(Method::PUT, path).body(body).send().await?.body;
        session.output.item(&pause, |pause| {
            card([("Paused", plain(&pause["scope"])), ("Taking back", taking_back(pause)), ("Comment", plain(&pause["comment"]))])
        })
    }
}

fn taking_back(pause: &Value) -> String {
    if pause["undo"] == true { "waits" } else { "goes on" }.to_owned()
}

#[derive(Debug, Args)]
pub struct Resume {
    /// What: `backend:NAME`, `saga:NAME` or `account:NAME|ID`.
    #[arg(value_name = "WHAT")]
    scope: Scope,
    /// Why; it stands in the audit.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    #[command(flatten)]
    ask: Ask,
}

impl Resume {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let path = self.scope.path(&session.client).await?;
        session.client.request(Method::DELETE, path).maybe("comment", self.comment.as_ref()).send().await?;
        if session.output.is_table() {
            put("Resumed; what waited goes on within a minute.\n")?;
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
pub struct Pauses {
    #[command(flatten)]
    ask: Ask,
}

impl Pauses {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let pauses = session.client.get("/v1/pauses").send().await?.body.items();
        session.output.list(&pauses, |pauses| {
            rows(
                ["PAUSED", "TAKING BACK", "SINCE", "BY", "COMMENT"],
                pauses.iter().map(|pause| {
                    let by = format!("{} {}", plain(&pause["created_by"]["type"]), plain(&pause["created_by"]["id"]));
                    [plain(&pause["scope"]), taking_back(pause), time(&pause["created_at"]), by, plain(&pause["comment"])]
                }),
                "Nothing is paused.",
            )
        })
    }
}
