//! Tables for people: columns without borders, so that a line can be searched, cut and copied.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// A value as a cell: texts as they are, nothing as `-`.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => printable(text),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => printable(&other.to_string()),
    }
}

/// A time to the second; what is no time stays as it is.
pub fn time(value: &Value) -> String {
    let text = plain(value);
    match text.split_once('.') {
        Some((seconds, rest)) if rest.ends_with('Z') => format!("{seconds}Z"),
        _ => text,
    }
}

/// Text that another person wrote, made safe for a terminal: no control characters, nothing that turns the line round.
pub fn printable(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| {
            if c == '\n' || c == '\t' {
                ' '
            } else if c.is_control() || turns(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// Rows under a line of headings; `nothing` where there are none.
pub fn rows<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>, nothing: &str) -> String {
    let mut table = bare();
    table.set_header(headings);
    let mut any = false;
    for row in rows {
        any = true;
        table.add_row(row);
    }
    if any { trimmed(&table) } else { format!("{nothing}\n") }
}

/// One thing as lines of `name  value`.
pub fn card(lines: impl IntoIterator<Item = (impl Into<String>, String)>) -> String {
    let mut table = bare();
    for (name, value) in lines {
        table.add_row([name.into(), value]);
    }
    trimmed(&table)
}

fn bare() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// Cells are padded on both sides; lines begin at the margin and end where their text ends.
fn trimmed(table: &Table) -> String {
    let mut text = String::new();
    for line in table.to_string().lines() {
        text.push_str(line.strip_prefix(' ').unwrap_or(line).trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_line_up_and_lines_end_where_their_text_ends() {
        let text = rows(["NAME", "STATUS"], [["数据".to_owned(), "active".to_owned()], ["b".to_owned(), "-".to_owned()]], "none");
        assert_eq!(text, "NAME  STATUS\n数据  active\nb     -\n");
        assert_eq!(rows(["NAME"], [], "No workspaces."), "No workspaces.\n");
        assert_eq!(card([("Id", "1".to_owned()), ("Status", "active".to_owned())]), "Id      1\nStatus  active\n");
    }

    #[test]
    fn what_others_wrote_cannot_drive_the_terminal() {
        assert_eq!(plain(&json!("a\u{1b}[2Jb\u{202e}c\nd")), "a\u{fffd}[2Jb\u{fffd}c d");
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(time(&json!("2026-11-22T19:30:00.123456Z")), "2026-11-22T19:30:00Z");
        assert_eq!(time(&json!("2026-11-22T19:30:00Z")), "2026-11-22T19:30:00Z");
        assert_eq!(time(&Value::Null), "-");
    }
}
