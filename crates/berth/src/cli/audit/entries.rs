//! Audit entries for people: one line each.

use serde_json::Value;

use super::actors::Actors;
use crate::cli::document::Document;
use crate::cli::table::{plain, rows, time};

/// Entries under a line of headings.
pub fn table(entries: &[Document], actors: &Actors) -> String {
    rows(
        ["SEQ", "TIME", "WHO", "ACTION", "OUTCOME", "TARGET", "REASON"],
        entries.iter().map(|entry| {
            [
                plain(&entry["seq"]),
                time(&entry["occurred_at"]),
                actors.who(entry),
                plain(&entry["action"]),
                plain(&entry["outcome"]),
                target(entry),
                plain(&entry["reason"]["value"]),
            ]
        }),
        "No entries.",
    )
}

/// An entry as a line of its own, for a list that has no end.
pub fn line(entry: &Value, actors: &Actors) -> String {
    let mut line = format!(
        "{:>6}  {}  {:<24}  {:<24}  {:<10}  {}",
        plain(&entry["seq"]),
        time(&entry["occurred_at"]),
        actors.who(entry),
        plain(&entry["action"]),
        plain(&entry["outcome"]),
        target(entry)
    );
    if entry["reason"]["value"].is_string() {
        line.push_str("  ");
        line.push_str(&plain(&entry["reason"]["value"]));
    }
    line.push('\n');
    line
}

fn target(entry: &Value) -> String {
    let targets = entry["targets"].as_array().map_or(&[][..], Vec::as_slice);
    match targets {
        [] => "-".to_owned(),
        [first, ..] => format!("{} {}", plain(&first["type"]), plain(&first["id"])),
    }
}
