//! `berth runs list`.

use clap::Args;
use serde_json::Value;

use super::Filters;
use crate::cli::document::Document;
use crate::cli::most::Most;
use crate::cli::session::Ask;
use crate::cli::stop::Stop;
use crate::cli::table::{plain, rows, time};
use crate::config::Environment;

#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    most: Most,
    #[command(flatten)]
    ask: Ask,
}

impl List {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let listed = self.filters.find(&session.client, &self.filters.states, self.most.limit()).await?;
        session.output.list(&listed.items, table)?;
        self.most.tell(&listed, session.output);
        Ok(())
    }
}

/// Runs for a person.
pub fn table(runs: &[Document]) -> String {
    rows(
        ["RUN", "SAGA", "STATE", "STEPS", "WORKSPACE", "CREATED", "WHY"],
        runs.iter().map(|run| {
            [
                plain(&run["id"]),
                plain(&run["saga"]),
                plain(&run["state"]),
                progress(run),
                plain(&run["workspace_id"]),
                time(&run["created_at"]),
                why(run),
            ]
        }),
        "No runs.",
    )
}

pub fn progress(run: &Value) -> String {
    format!("{}/{}", plain(&run["progress"]["done"]), plain(&run["progress"]["total"]))
}

/// Why a run is where it is: what it waits for, or the reason of its end.
pub fn why(run: &Value) -> String {
    if let Some([_, ..]) = run["paused_by"].as_array().map(Vec::as_slice) {
        return format!("paused: {}", plain(&run["paused_by"]));
    }
    match (&run["waiting_for"], &run["reason"]) {
        (Value::String(what), _) => format!("waits for {}", plain(&Value::from(what.as_str()))),
        (_, reason @ Value::Object(_)) => plain(&reason["title"]),
        _ => "-".to_owned(),
    }
}
