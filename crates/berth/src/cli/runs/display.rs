//! How a run is shown while it goes: live on a terminal, as plain lines elsewhere, as JSON for programs.

mod lines;
mod live;
mod row;

use std::io::IsTerminal as _;

use serde_json::Value;

use self::lines::Lines;
use self::live::Live;
use super::list::progress;
use super::source::News;
use crate::cli::output::{Output, put, say};
use crate::cli::stop::Stop;
use crate::cli::table::plain;

/// Shows versions of one run.
pub enum Display {
    Live(Box<Live>),
    Lines(Lines),
    /// Each version is a line of JSON.
    Versions,
    Quiet,
}

impl Display {
    /// Live where standard error is a terminal that can move its cursor.
    pub fn new(output: Output) -> Self {
        match output {
            Output::Json => Self::Quiet,
            Output::Ndjson => Self::Versions,
            Output::Table if std::io::stderr().is_terminal() && live::possible() => Self::Live(Box::default()),
            Output::Table => Self::Lines(Lines::default()),
        }
    }

    pub fn show(&mut self, news: &News) -> Result<(), Stop> {
        match self {
            Self::Live(live) => live.show(&news.run),
            Self::Lines(lines) => say(&lines.of(news)),
            Self::Versions => put(&(news.run.line() + "\n"))?,
            Self::Quiet => {}
        }
        Ok(())
    }

    pub fn end(&mut self, run: &Value) {
        match self {
            Self::Live(live) => live.end(run),
            Self::Lines(_) => say(&summary(run)),
            Self::Versions | Self::Quiet => {}
        }
    }
}

/// The line that is left when a run has ended.
fn summary(run: &Value) -> String {
    // How many steps of what was taken back had been done tells nobody anything.
    let steps = if run["state"] == "succeeded" { format!(": {} steps", progress(run)) } else { String::new() };
    format!("Run {} {}{steps}\n", plain(&run["id"]), plain(&run["state"]))
}
