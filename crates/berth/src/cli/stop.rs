//! Why a command ends early: a problem that the server answered with, or something on this side; told to a person, or
//! as JSON to a program.

use serde_json::Value;

use super::advice;
use super::document::Document;
use super::exit::Exit;
use super::output::Output;
use super::table::{plain, printable};

/// The end of a command before it has done what it was asked.
#[derive(Debug)]
pub enum Stop {
    /// The server refused: its problem document, as it came, and the server's address.
    Problem { problem: Document, url: String },
    /// Something on this side of the wire.
    Local { exit: Exit, title: String, detail: String },
    /// All has been said already; only the exit code remains.
    Told(Exit),
    /// Whoever read standard output has gone (`| head`): no failure.
    ReaderGone,
}

impl Stop {
    /// `detail` says what to do.
    pub fn new(exit: Exit, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Local { exit, title: title.into(), detail: detail.into() }
    }

    pub fn usage(title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Exit::Usage, title, detail)
    }

    pub fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted", "What the server has accepted goes on.")
    }

    /// The code of the server's problem, if it is one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem { problem, .. } => problem["code"].as_str(),
            _ => None,
        }
    }

    pub fn title(&self) -> String {
        match self {
            Self::Problem { problem, .. } => plain(&problem["title"]),
            Self::Local { title, .. } => title.clone(),
            Self::Told(_) | Self::ReaderGone => String::new(),
        }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::Problem { problem, .. } => Exit::of_status(problem["status"].as_u64().and_then(|s| u16::try_from(s).ok()).unwrap_or(500)),
            Self::Local { exit, .. } | Self::Told(exit) => *exit,
            Self::ReaderGone => Exit::Done,
        }
    }

    /// Prints on standard error what there is to say.
    pub fn print(&self, output: Output) {
        let text = match (self, output) {
            (Self::Told(_) | Self::ReaderGone, _) => return,
            (Self::Problem { problem, .. }, Output::Json) => problem.indented() + "\n",
            (Self::Problem { problem, .. }, Output::Ndjson) => problem.line() + "\n",
            (Self::Local { exit, title, detail }, Output::Json | Output::Ndjson) => {
                let words = [("type", "about:blank"), ("title", title), ("detail", detail), ("code", exit.word())];
                let problem = Document::from(words.map(|(name, word)| (name, word.into())));
                if output == Output::Json { problem.indented() + "\n" } else { problem.line() + "\n" }
            }
            (Self::Problem { problem, url }, Output::Table) => told(problem, url),
            (Self::Local { title, detail, .. }, Output::Table) if detail.is_empty() => format!("berth: {title}\n"),
            (Self::Local { title, detail, .. }, Output::Table) => format!("berth: {title}\n  {detail}\n"),
        };
        super::output::say(&text);
    }

    /// The title and detail in one line, for lists of results.
    pub fn line(&self) -> String {
        match self {
            Self::Problem { problem, .. } => format!("{}: {}", plain(&problem["title"]), plain(&problem["detail"])),
            Self::Local { title, detail, .. } if !detail.is_empty() => format!("{title}: {detail}"),
            Self::Local { title, .. } => title.clone(),
            Self::Told(_) | Self::ReaderGone => String::new(),
        }
    }
}

/// Many a detail begins with its title, which has been told already.
fn without_title<'a>(detail: &'a str, title: &str) -> &'a str {
    let rest = detail.strip_prefix(title).and_then(|rest| rest.strip_prefix('.')).map(str::trim_start);
    rest.filter(|rest| !rest.is_empty()).unwrap_or(detail)
}

/// A problem for a person: title, detail, everything that is wrong, what to do, and the request's id.
fn told(problem: &Value, url: &str) -> String {
    use std::fmt::Write as _;
    let mut text = format!("berth: {} ({} {})\n", plain(&problem["title"]), plain(&problem["status"]), plain(&problem["code"]));
    let mut line = |words: &str| {
        let _ = writeln!(text, "  {}", printable(words));
    };
    let detail = plain(&problem["detail"]);
    line(without_title(&detail, &plain(&problem["title"])));
    let errors = problem["errors"].as_array().map_or(&[][..], Vec::as_slice);
    if errors.len() > 1 {
        for e in errors {
            line(&format!("- {}: {}", plain(&e["pointer"]), plain(&e["detail"])));
        }
    }
    for advice in advice::of(problem) {
        line(&advice);
    }
    if let Some(kind) = problem["type"].as_str().filter(|kind| kind.starts_with('/')) {
        line(&format!("More: {url}{kind}"));
    }
    if problem["request_id"].is_string() {
        line(&format!("Request: {}", plain(&problem["request_id"])));
    }
    text
}
