//! How a run is shown while it goes: live on a terminal, as plain lines elsewhere, as JSON for programs.

mod live;
mod row;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

use serde_json::Value;

use self::live::Live;
use self::row::Row;
use super::get::what_to_do;
use super::list::progress;
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

    pub fn show(&mut self, run: &Value) -> Result<(), Stop> {
        match self {
            Self::Live(live) => live.show(run),
            Self::Lines(lines) => say(&lines.of(run)),
            Self::Versions => put(&format!("{run}\n"))?,
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
    format!("Run {} {}: {} steps\n", plain(&run["id"]), plain(&run["state"]), progress(run))
}

/// What has changed since the last version, a line each.
#[derive(Default)]
pub struct Lines {
    begun: bool,
    shown: BTreeMap<(String, bool), Row>,
    turned: bool,
    state: String,
}

impl Lines {
    /// The lines that a version adds.
    pub fn of(&mut self, run: &Value) -> String {
        let mut text = String::new();
        if !self.begun {
            let _ = writeln!(text, "Run {} {} v{}", plain(&run["id"]), plain(&run["saga"]), plain(&run["version"]));
            self.begun = true;
        }
        let rows = row::told(run);
        let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let key = |row: &Row| (row.name.clone(), row.undo);
        let mut fresh: Vec<&Row> = rows.iter().filter(|row| row.tells() && self.shown.get(&key(row)) != Some(row)).collect();
        fresh.sort_by(|a, b| (a.undo, &a.at).cmp(&(b.undo, &b.at)));
        for row in fresh {
            if row.undo && !std::mem::replace(&mut self.turned, true) {
                text.push_str("The run takes back what it did\n");
            }
            text.push_str(format!("{}  {:width$}  {}", row.clock(), row.name, row.text()).trim_end());
            text.push('\n');
        }
        self.shown = rows.into_iter().map(|row| (key(&row), row)).collect();
        let state = format!("{} {}", plain(&run["state"]), plain(&run["waiting_for"]));
        if self.state != state {
            if run["state"] == "stuck" {
                text.push_str("The run is stuck\n");
            }
            if run["terminal"] != true {
                text.push_str(what_to_do(run).trim_start());
            }
            self.state = state;
        }
        text
    }
}
