//! The live display: one line for the run, one for each step, redrawn in place.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

use super::row::{self, Mark, Row};
use super::summary;
use crate::cli::output::say;
use crate::cli::runs::get::what_to_do;
use crate::cli::table::plain;

const TICK: Duration = Duration::from_millis(120);

/// Whether the terminal can move its cursor.
#[expect(clippy::disallowed_methods, reason = "the terminal's kind is no setting of ours; the display's library reads it as well")]
pub fn possible() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

pub struct Live {
    screen: MultiProgress,
    head: Option<ProgressBar>,
    steps: Vec<(ProgressBar, Option<Row>)>,
    state: String,
}

impl Default for Live {
    fn default() -> Self {
        Self { screen: MultiProgress::new(), head: None, steps: Vec::new(), state: String::new() }
    }
}

/// A style of ours; a mistake in the text is shown as the library's own.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Live {
    pub fn show(&mut self, run: &Value) {
        let head = self.head.get_or_insert_with(|| {
            let head = self.screen.add(ProgressBar::new(run["progress"]["total"].as_u64().unwrap_or(0)));
            head.set_style(style("{spinner} {prefix:.bold} {bar:20.green} {pos}/{len} {elapsed} {msg}"));
            head.set_prefix(plain(&run["saga"]));
            head.enable_steady_tick(TICK);
            head
        });
        head.set_position(run["progress"]["done"].as_u64().unwrap_or(0));
        let waits = run["waiting_for"].as_str().map_or_else(String::new, |what| format!(" for {what}"));
        head.set_message(format!("{}{waits}", plain(&run["state"])));

        let rows = row::of(run);
        let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        for (i, row) in rows.into_iter().enumerate() {
            if self.steps.len() == i {
                self.steps.push((self.screen.add(ProgressBar::no_length()), None));
            }
            let Some((bar, shown)) = self.steps.get_mut(i) else { continue };
            if shown.as_ref() == Some(&row) {
                continue;
            }
            bar.set_style(style(mark(row.mark)));
            bar.set_prefix(format!("{:width$}", row.name));
            bar.set_message(row.text());
            if matches!(row.mark, Mark::Running | Mark::Undoing) {
                bar.enable_steady_tick(TICK);
            } else {
                bar.disable_steady_tick();
            }
            bar.tick();
            *shown = Some(row);
        }
        let state = plain(&run["state"]) + &waits;
        if self.state != state {
            let words = if run["terminal"] == true { String::new() } else { what_to_do(run) };
            if !words.is_empty() {
                let _ = self.screen.println(words.trim());
            }
            self.state = state;
        }
    }

    /// Leaves the last picture, and a line that says how it ended.
    pub fn end(&mut self, run: &Value) {
        for (bar, _) in &self.steps {
            bar.abandon();
        }
        if let Some(head) = &self.head {
            head.finish_and_clear();
        }
        say(&summary(run));
    }
}

/// Who stops watching keeps the last picture.
impl Drop for Live {
    fn drop(&mut self) {
        self.steps.iter().map(|(bar, _)| bar).chain(&self.head).filter(|bar| !bar.is_finished()).for_each(ProgressBar::abandon);
    }
}

fn mark(mark: Mark) -> &'static str {
    match mark {
        Mark::Pending => "  · {prefix:.dim} {msg:.dim}",
        Mark::Running => "  {spinner:.cyan} {prefix} {msg:.cyan}",
        Mark::Waiting => "  … {prefix:.yellow} {msg:.yellow}",
        Mark::Done => "  ✓ {prefix} {msg:.green}",
        Mark::Failed => "  ✗ {prefix:.red} {msg:.red}",
        Mark::Undoing => "  {spinner:.yellow} {prefix} {msg:.yellow}",
        Mark::Undone => "  ↩ {prefix} {msg:.dim}",
        Mark::Stuck => "  ! {prefix:.red.bold} {msg:.red.bold}",
    }
}
