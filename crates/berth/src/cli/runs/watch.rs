//! `berth runs watch`, and whatever else waits for a run's end.

use std::fmt::Write as _;

use clap::Args;
use serde_json::Value;

use super::display::Display;
use super::source::Source;
use crate::cli::document::Document;
use crate::cli::exit::Exit;
use crate::cli::names;
use crate::cli::output::{Output, put};
use crate::cli::session::{Ask, InAccount, Session};
use crate::cli::stop::Stop;
use crate::cli::table::plain;
use crate::config::{Environment, Period};

#[derive(Debug, Args)]
pub struct Watch {
    /// The run's id, or a workspace's name for the run that `workspaces get` shows of it.
    #[arg(value_name = "RUN")]
    run: String,
    /// Watches no longer than this: `30s`, `10m`, `1h`. The run goes on.
    #[arg(long, value_name = "SPAN")]
    timeout: Option<Period>,
    #[command(flatten)]
    account: InAccount,
    #[command(flatten)]
    ask: Ask,
}

impl Watch {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let id = names::run(&session.client, &self.run, self.account.account.as_deref()).await?;
        let ended = to_its_end(&session, &id, self.timeout).await?;
        if session.output == Output::Json {
            put(&(ended.indented() + "\n"))?;
        }
        verdict(&ended, "succeeded")
    }
}

/// Shows a run until it has ended; answers with the run as it ended.
///
/// # Errors
/// The run cannot be read, or has not ended in time.
pub async fn to_its_end(session: &Session, run: &str, timeout: Option<Period>) -> Result<Document, Stop> {
    let follow = follow(session, run);
    let Some(most) = timeout else { return follow.await };
    tokio::time::timeout(most.0, follow).await.unwrap_or_else(|_| {
        Err(Stop::new(
            Exit::RunFailed,
            format!("the run has not ended within {most}"),
            format!("It goes on: `berth runs watch {run}` shows how."),
        ))
    })
}

async fn follow(session: &Session, run: &str) -> Result<Document, Stop> {
    let mut display = Display::new(session.output);
    let mut source = Source::new(&session.client, run);
    loop {
        let news = source.next().await?;
        display.show(&news)?;
        if news.is_last {
            display.end(&news.run);
            return Ok(news.run);
        }
    }
}

/// What a run's end means for who asked for it.
///
/// # Errors
/// It ended in another way than was wanted.
pub fn verdict(run: &Value, wanted: &str) -> Result<(), Stop> {
    if run["outcome"] == wanted {
        return Ok(());
    }
    let (outcome, reason) = (plain(&run["outcome"]), &run["reason"]);
    let mut title = format!("the run {} {outcome}", plain(&run["id"]));
    if let Some(step) = reason["step"].as_str() {
        let _ = write!(title, " at {step}");
    }
    if reason["title"].is_string() {
        let _ = write!(title, ": {}", plain(&reason["title"]));
    }
    let detail = match reason["detail"].as_str() {
        Some(detail) => format!("{detail}\n  {}", after(&outcome, &plain(&run["id"]))),
        None => after(&outcome, &plain(&run["id"])),
    };
    Err(Stop::new(Exit::RunFailed, title, detail))
}

fn after(outcome: &str, run: &str) -> String {
    match outcome {
        "failed" | "cancelled" => format!("Everything that it made was taken back; `berth runs retry {run}` tries again by a new run."),
        "abandoned" => format!("What it left is listed by `berth runs get {run}`."),
        _ => String::new(),
    }
}
