//! One step of a run as it stands: the step itself, or its taking back once that has begun.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::table::plain;

/// How a step looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Pending,
    Running,
    Waiting,
    Done,
    Failed,
    Undoing,
    Undone,
    Stuck,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub mark: Mark,
    state: String,
    pub undo: bool,
    attempts: u64,
    error: Option<String>,
    next: Option<String>,
    /// When it came to this.
    pub at: Option<String>,
}

/// The steps of a run in their order, each as it stands now.
pub fn of(run: &Value) -> Vec<Row> {
    let latest = |step: &Value| row(step, step["compensation"].is_object());
    run["steps"].as_array().into_iter().flatten().map(latest).collect()
}

/// All that has become of the steps: what they came to, then how they were taken back.
pub fn told(run: &Value) -> Vec<Row> {
    let steps = run["steps"].as_array().map_or(&[][..], Vec::as_slice);
    let undone = steps.iter().filter(|step| step["compensation"].is_object());
    steps.iter().map(|step| row(step, false)).chain(undone.map(|step| row(step, true))).collect()
}

fn row(step: &Value, undo: bool) -> Row {
    let latest = if undo { &step["compensation"] } else { step };
    let state = latest["state"].as_str().unwrap_or_default().to_owned();
    let mark = match (undo, state.as_str()) {
        (false, "pending") => Mark::Pending,
        (false, "running") => Mark::Running,
        (false, "waiting") => Mark::Waiting,
        (false, "failed") => Mark::Failed,
        (false, _) => Mark::Done,
        (true, "stuck") => Mark::Stuck,
        (true, "undone" | "skipped") => Mark::Undone,
        (true, _) => Mark::Undoing,
    };
    let text = |key: &str| latest[key].as_str().map(str::to_owned);
    Row {
        name: plain(&step["name"]),
        mark,
        undo,
        attempts: latest["attempts"].as_u64().unwrap_or(0),
        error: latest["error"]["title"].as_str().map(|_| plain(&latest["error"]["title"])),
        next: text("next_attempt_at"),
        at: text("ended_at").or_else(|| text("started_at")),
        state,
    }
}

impl Row {
    /// Whether it says something that a plain line is worth: beginnings are not.
    pub fn tells(&self) -> bool {
        !matches!(self.state.as_str(), "pending" | "running")
    }

    /// What it came to, in words.
    pub fn text(&self) -> String {
        let words = match (self.undo, self.state.as_str()) {
            (false, "pending") => "",
            (false, "skipped") => "skipped: done by hand",
            (true, "running") => "taking back",
            (true, "waiting") => "taking back, waits",
            (true, "stuck") => "cannot be taken back: stuck",
            (true, "undone") => "taken back",
            (true, "skipped") => "taken back by hand",
            (_, state) => state,
        };
        let mut text = words.to_owned();
        if self.attempts > 1 || (self.attempts == 1 && self.error.is_some()) {
            let _ = write!(text, " (try {})", self.attempts);
        }
        if let Some(error) = self.error.as_ref().filter(|_| !matches!(self.mark, Mark::Done | Mark::Undone)) {
            let _ = write!(text, ": {error}");
        }
        if let Some(next) = &self.next {
            let _ = write!(text, "; again at {}", clock(next));
        }
        text
    }

    /// The time of day when it came to this, in UTC.
    pub fn clock(&self) -> &str {
        self.at.as_deref().map_or("--:--:--", clock)
    }
}

/// The time of day of a time.
pub fn clock(at: &str) -> &str {
    at.get(11..19).unwrap_or(at)
}
