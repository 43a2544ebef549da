//! `berth runs cancel|retry|skip|abandon`: on one run, on several, or with `--all` on all that fit.

use clap::Args;
use serde_json::{Value, json};

use super::State;
use super::many::Which;
use crate::cli::confirm::Confirm;
use crate::cli::document::Document;
use crate::cli::session::{Ask, Session};
use crate::cli::stop::Stop;
use crate::cli::waiting::Wait;
use crate::config::Environment;

#[derive(Debug, Args)]
pub struct Cancel {
    #[command(flatten)]
    which: Which,
    /// Why; it stands in the audit.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub struct Retry {
    #[command(flatten)]
    which: Which,
    /// The stuck step that is tried again; without it all that are stuck.
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// Why; it stands in the audit.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub struct Skip {
    #[command(flatten)]
    which: Which,
    /// The step; needed where several are stuck.
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// What was done by hand; it stands in the audit.
    #[arg(long, value_name = "TEXT")]
    comment: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub struct Abandon {
    #[command(flatten)]
    which: Which,
    /// Why; it stands in the audit.
    #[arg(long, value_name = "TEXT")]
    comment: String,
    #[command(flatten)]
    how: How,
}

/// What all verbs take.
#[derive(Debug, Args)]
struct How {
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    ask: Ask,
}

/// A verb with its words.
pub struct Verb {
    pub word: &'static str,
    /// The states of runs that `--all` means where no other is named.
    pub states: &'static [State],
    /// How a run ends that obeyed.
    pub outcome: &'static str,
    pub body: Value,
}

impl Cancel {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let states = &[State::Pending, State::Running, State::Waiting, State::Stuck];
        self.how.run(&self.which, verb("cancel", states, None, self.comment.as_ref()), environment).await
    }
}

impl Retry {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let states = &[State::Waiting, State::Stuck];
        self.how.run(&self.which, verb("retry", states, self.step.as_ref(), self.comment.as_ref()), environment).await
    }
}

impl Skip {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        self.how.run(&self.which, verb("skip", &[State::Stuck], self.step.as_ref(), Some(&self.comment)), environment).await
    }
}

impl Abandon {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        self.how.run(&self.which, verb("abandon", &[State::Stuck], None, Some(&self.comment)), environment).await
    }
}

fn verb(word: &'static str, states: &'static [State], step: Option<&String>, comment: Option<&String>) -> Verb {
    let mut body = json!({});
    for (key, value) in [("step", step), ("comment", comment)] {
        if let Some(value) = value {
            body[key] = json!(value);
        }
    }
    let outcome = match word {
        "cancel" => "cancelled",
        "abandon" => "abandoned",
        _ => "succeeded",
    };
    Verb { word, states, outcome, body }
}

impl How {
    async fn run(&self, which: &Which, verb: Verb, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let runs = which.runs(&session, &verb, &self.confirm).await?;
        super::many::each(&session, &runs, &verb, &self.wait).await
    }
}

/// Sends one verb to one run.
pub async fn send(session: &Session, run: &str, verb: &Verb) -> Result<Document, Stop> {
    let path = format!("/v1/provisioning-runs/{run}/{}", verb.word);
    Ok(session.client.post(path).body(verb.body.clone()).send().await?.body)
}
