//! How a run goes as plain lines: one for each event that says how something ended, or, where there are no events to be
//! had, for each step that has changed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::row::{self, Row, clock};
use crate::cli::runs::get::what_to_do;
use crate::cli::runs::source::News;
use crate::cli::table::plain;

#[derive(Default)]
pub struct Lines {
    begun: bool,
    shown: BTreeMap<(String, bool), Row>,
    turned: bool,
    state: String,
}

impl Lines {
    /// The lines that are to be added.
    pub fn of(&mut self, news: &News) -> String {
        let run = &news.run;
        let mut text = String::new();
        if !std::mem::replace(&mut self.begun, true) {
            let _ = writeln!(text, "Run {} {} v{}", plain(&run["id"]), plain(&run["saga"]), plain(&run["version"]));
        }
        let rows = row::told(run);
        let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        match &news.events {
            Some(events) => {
                for (i, event) in events.iter().enumerate() {
                    // What came in one piece has happened already: of failures that repeat each other the last one tells.
                    if !events.iter().skip(i + 1).any(|later| repeats(later, event)) {
                        self.event(&mut text, event, width);
                    }
                }
            }
            None => self.changes(&mut text, &rows, width),
        }
        self.shown = rows.into_iter().map(|row| (key(&row), row)).collect();
        let state = format!("{} {}", plain(&run["state"]), plain(&run["waiting_for"]));
        if self.state != state && run["terminal"] != true {
            if run["state"] == "stuck" {
                text.push_str("The run is stuck\n");
            }
            text.push_str(what_to_do(run).trim_start());
        }
        self.state = state;
        text
    }

    fn event(&mut self, text: &mut String, event: &Value, width: usize) {
        let (attempt, title) = (event["attempt"].as_u64().unwrap_or(1), plain(&event["error"]["title"]));
        let words = match event["type"].as_str().unwrap_or_default() {
            "step_succeeded" if attempt > 1 => format!("succeeded (try {attempt})"),
            "step_succeeded" => "succeeded".to_owned(),
            "step_failed" => format!("failed (try {attempt}): {title}"),
            "step_unknown" => format!("unknown (try {attempt}): {title}"),
            "undone" if attempt > 1 => format!("taken back (try {attempt})"),
            "undone" => "taken back".to_owned(),
            "undo_failed" => format!("not taken back (try {attempt}): {title}"),
            "skipped" => "skipped: done by hand".to_owned(),
            "turned" => return self.turn(text),
            "paused" => return text.push_str("The run is paused\n"),
            "pause_ended" => return text.push_str("The run goes on\n"),
            // Beginnings, and what only an operator understands.
            _ => return,
        };
        let at = event["at"].as_str().map_or("--:--:--", clock);
        let _ = writeln!(text, "{at}  {:width$}  {words}", plain(&event["step"]));
    }

    fn turn(&mut self, text: &mut String) {
        if !std::mem::replace(&mut self.turned, true) {
            text.push_str("The run takes back what it did\n");
        }
    }

    fn changes(&mut self, text: &mut String, rows: &[Row], width: usize) {
        let mut fresh: Vec<&Row> = rows.iter().filter(|row| row.tells() && self.shown.get(&key(row)) != Some(row)).collect();
        fresh.sort_by(|a, b| (a.undo, &a.at).cmp(&(b.undo, &b.at)));
        for row in fresh {
            if row.undo {
                self.turn(text);
            }
            text.push_str(format!("{}  {:width$}  {}", row.clock(), row.name, row.text()).trim_end());
            text.push('\n');
        }
    }
}

/// Whether an event says of the same step what the earlier one said.
fn repeats(later: &Value, event: &Value) -> bool {
    let fails = matches!(event["type"].as_str(), Some("step_failed" | "step_unknown" | "undo_failed"));
    fails && ["type", "step"].iter().all(|key| later[key] == event[key]) && later["error"]["title"] == event["error"]["title"]
}

fn key(row: &Row) -> (String, bool) {
    (row.name.clone(), row.undo)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::document::Document;

    #[test]
    fn failures_that_repeat_each_other_in_one_piece_are_told_once() {
        let run = Document::parse(json!({"id": "1", "saga": "s", "version": 1, "state": "running", "steps": []}).to_string()).unwrap();
        let failed = |step: &str, attempt: u64, title: &str| json!({"type": "step_failed", "step": step, "attempt": attempt, "at": "2026-11-22T19:30:00Z", "error": {"title": title}});
        let told = |events: Vec<Value>| {
            let mut lines = Lines { begun: true, state: "running -".to_owned(), ..Lines::default() };
            lines.of(&News { run: run.clone(), events: Some(events), is_last: false })
        };
        let events =
            vec![failed("a", 1, "away"), failed("b", 1, "away"), failed("a", 2, "away"), failed("a", 3, "full"), failed("a", 4, "full")];
        assert_eq!(
            told(events),
            "19:30:00  b  failed (try 1): away\n19:30:00  a  failed (try 2): away\n19:30:00  a  failed (try 4): full\n"
        );
        let undone = json!({"type": "undone", "step": "a", "attempt": 1, "at": "2026-11-22T19:30:00Z"});
        assert_eq!(told(vec![undone.clone(), undone]).lines().count(), 2, "only failures repeat each other");
    }
}
