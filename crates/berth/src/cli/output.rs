//! What a command prints: a table for people, or the API's own JSON for programs.

use std::io::Write as _;

use clap::ValueEnum;
use serde_json::Value;

use super::document::{self, Document};
use super::exit::Exit;
use super::stop::Stop;

/// The form of what is printed on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// Columns for people.
    #[default]
    Table,
    /// What the API answered, as one JSON document.
    Json,
    /// What the API answered, one JSON document per line.
    Ndjson,
}

impl Output {
    /// Prints one thing.
    pub fn item(self, item: &Document, table: impl FnOnce(&Value) -> String) -> Result<(), Stop> {
        match self {
            Self::Table => put(&table(item)),
            Self::Json => put(&(item.indented() + "\n")),
            Self::Ndjson => put(&(item.line() + "\n")),
        }
    }

    /// Prints a list of things.
    pub fn list(self, items: &[Document], table: impl FnOnce(&[Document]) -> String) -> Result<(), Stop> {
        match self {
            Self::Table => put(&table(items)),
            Self::Json => put(&(document::indented(items) + "\n")),
            Self::Ndjson => items.iter().try_for_each(|item| put(&(item.line() + "\n"))),
        }
    }

    pub fn is_table(self) -> bool {
        self == Self::Table
    }
}

/// Writes to standard output at once.
///
/// # Errors
/// `Stop::ReaderGone` if nobody reads any more.
pub fn put(text: &str) -> Result<(), Stop> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| match e.kind() {
        std::io::ErrorKind::BrokenPipe => Stop::ReaderGone,
        _ => Stop::new(Exit::Failed, format!("cannot write to standard output: {e}"), ""),
    })
}

/// Writes to standard error; if nobody reads it, there is nobody to tell.
pub fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
