//! `berth audit follow`: entries have numbers without gaps, in the order in which they were committed, so that following
//! them is asking for those after the last one seen.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{Filters, entries};
use crate::cli::document::Document;
use crate::cli::output::{Output, put};
use crate::cli::session::Ask;
use crate::cli::stop::Stop;
use crate::config::Environment;

/// How long a look waits for the next.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct Follow {
    #[command(flatten)]
    filters: Filters,
    /// Begins after the entry of this number; without it with the last ten entries.
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    #[command(flatten)]
    ask: Ask,
}

impl Follow {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let log = self.filters.log(&session.client, session.output.is_table()).await?;
        let show = |entry: &Document| match session.output {
            Output::Table => put(&entries::line(entry, &log.actors)),
            Output::Json => put(&(entry.indented() + "\n")),
            Output::Ndjson => put(&(entry.line() + "\n")),
        };
        let mut after = self.after;
        if after.is_none() {
            let latest = log.request().pages(Some(10)).await?.items;
            latest.iter().rev().try_for_each(show)?;
            after = latest.first().and_then(|entry| seq(entry)).or(Some(0));
        }
        loop {
            let request = log.request().query("after_seq", after.unwrap_or(0));
            let fresh = request.query("order", "asc").pages(None).await?.items;
            fresh.iter().try_for_each(show)?;
            after = fresh.last().and_then(|entry| seq(entry)).or(after);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn seq(entry: &Value) -> Option<u64> {
    entry["seq"].as_u64()
}
