//! Records as CSV (RFC 4180): one header, one line a record, cells that a record has not are empty.
//!
//! Null and a text without letters are told apart: null is an empty cell, such a text is `""`. The `csv` crate, which lays
//! the lines out, would write both alike, so that cells are quoted here.

use std::borrow::Cow;
use std::io;
use std::sync::LazyLock;

use ::csv::{QuoteStyle, Terminator, Writer, WriterBuilder};
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::columns::{COLUMNS, Cell, Kind};

/// Whoever reads one of these at a cell's beginning as a formula is told by a `'` that it is none.
const FORMULA: [u8; 6] = [b'=', b'+', b'-', b'@', b'\t', b'\r'];

/// For each kind of record: where the value of each column stands, if the record has it.
static LAYOUTS: LazyLock<Vec<Vec<Option<&str>>>> = LazyLock::new(|| {
    let path = |kind: &Kind, column: &str| kind.columns().iter().find(|(name, _)| *name == column).map(|(_, path)| *path);
    Kind::ALL.iter().map(|kind| COLUMNS.iter().map(|(column, _)| path(kind, column)).collect()).collect()
});

/// Writes records into bytes that are taken out now and then.
pub struct Table {
    writer: Writer<Vec<u8>>,
    is_safe: bool,
    cell: Vec<u8>,
}

fn writer() -> Writer<Vec<u8>> {
    WriterBuilder::new().quote_style(QuoteStyle::Never).terminator(Terminator::CRLF).from_writer(Vec::new())
}

impl Table {
    /// `is_safe`: texts that a spreadsheet would take for formulas are guarded.
    pub fn new(is_safe: bool) -> Self {
        Self { writer: writer(), is_safe, cell: Vec::new() }
    }

    pub fn header(&mut self) -> io::Result<()> {
        let names = COLUMNS.iter().map(|(name, _)| *name);
        Ok(self.writer.write_record(["record_type"].into_iter().chain(names))?)
    }

    /// A record, and for a run one more for each of its steps. Returns how many were written.
    pub fn record(&mut self, kind: Kind, json: &str) -> io::Result<u64> {
        let fields = Fields::of(json)?;
        self.line(kind, &fields, None)?;
        if kind != Kind::Run {
            return Ok(1);
        }
        let steps: Vec<&RawValue> = fields.get("steps").map_or(Ok(Vec::new()), serde_json::from_str)?;
        for step in &steps {
            self.line(Kind::RunStep, &Fields::of(step.get())?, fields.get("id"))?;
        }
        Ok(1 + steps.len() as u64)
    }

    /// `run`: the raw id of the run that a step is of.
    fn line(&mut self, kind: Kind, fields: &Fields<'_>, run: Option<&str>) -> io::Result<()> {
        self.writer.write_field(kind.word())?;
        for ((column, cell), path) in COLUMNS.iter().zip(&LAYOUTS[kind as usize]) {
            let raw = match path {
                Some(path) => fields.at(path)?,
                None if *column == "run_id" => run,
                None => None,
            };
            self.cell.clear();
            if let Some(raw) = raw {
                write(&mut self.cell, raw, *cell, self.is_safe)?;
            }
            self.writer.write_field(&self.cell)?;
        }
        Ok(self.writer.write_record(None::<&[u8]>)?)
    }

    /// What was written since the last time.
    pub fn take(&mut self) -> io::Result<Vec<u8>> {
        std::mem::replace(&mut self.writer, writer()).into_inner().map_err(|e| io::Error::other(e.to_string()))
    }
}

/// A JSON object whose values are not looked at yet.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    fn of(json: &'a str) -> io::Result<Self> {
        struct Shallow;
        impl<'de> Visitor<'de> for Shallow {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(32);
                while let Some(name) = map.next_key::<&'de str>()? {
                    fields.push((Cow::Borrowed(name), map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }
        Ok(serde_json::Deserializer::from_str(json).deserialize_map(Shallow)?)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, raw)| raw.get())
    }

    /// The raw value at `a/b/c`; `None` if there is none, or null on the way.
    fn at(&self, path: &str) -> io::Result<Option<&'a str>> {
        let Some((first, rest)) = path.split_once('/') else { return Ok(self.get(path)) };
        match self.get(first) {
            None | Some("null") => Ok(None),
            Some(raw) => Fields::of(raw)?.at(rest),
        }
    }
}

/// A raw JSON value as a cell.
fn write(out: &mut Vec<u8>, raw: &str, cell: Cell, is_safe: bool) -> io::Result<()> {
    if raw == "null" {
        return Ok(());
    }
    let text = match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
        Some(_) => Cow::Owned(serde_json::from_str::<String>(raw)?),
        None => Cow::Borrowed(raw),
    };
    let text = text.as_bytes();
    let is_guarded = is_safe && cell == Cell::Text && text.first().is_some_and(|first| FORMULA.contains(first));
    let is_quoted = text.is_empty() || text.iter().any(|b| matches!(b, b'"' | b',' | b'\r' | b'\n'));
    if is_quoted {
        out.push(b'"');
    }
    if is_guarded {
        out.push(b'\'');
    }
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    if is_quoted {
        out.push(b'"');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(kind: Kind, record: &serde_json::Value, is_safe: bool) -> String {
        let mut table = Table::new(is_safe);
        table.record(kind, &record.to_string()).unwrap();
        String::from_utf8(table.take().unwrap()).unwrap()
    }

    /// The cells of the first line as another program reads them.
    fn read(line: &str, column: &str) -> String {
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
        let record = reader.records().next().unwrap().unwrap();
        let at = COLUMNS.iter().position(|(name, _)| *name == column).unwrap() + 1;
        record[at].to_owned()
    }

    #[test]
    fn the_header_is_the_same_whatever_is_exported() {
        let mut table = Table::new(true);
        table.header().unwrap();
        let header = String::from_utf8(table.take().unwrap()).unwrap();
        assert!(header.starts_with("record_type,id,account_id,") && header.ends_with(",previous,hash\r\n"), "{header}");
        assert_eq!(header.split(',').count(), COLUMNS.len() + 1);
    }

    #[test]
    fn every_text_comes_back_as_it_was() {
        for text in
            ["a,b", "say \"x\"", "two\r\nlines", "\n", "é 🚢 مساحة", " spaces ", "\"", "'quoted'", "back\\slash", "tab\tin", "\u{1}"]
        {
            let line = written(Kind::Workspace, &json!({"id": "1", "name": text}), true);
            assert_eq!(read(&line, "name"), text, "{line}");
            assert!(line.ends_with("\r\n"));
        }
    }

    #[test]
    fn null_is_an_empty_cell_and_an_empty_text_is_quoted() {
        let line = |name: serde_json::Value| written(Kind::Member, &json!({"id": "1", "name": name}), true);
        assert!(!line(json!(null)).contains('"'));
        assert_eq!(line(json!("")), line(json!(null)).replacen("member,1,,,,,", "member,1,,,,,\"\"", 1));
    }

    #[test]
    fn formulas_are_guarded_in_texts_unless_a_machine_reads() {
        for text in ["=1+1", "+1", "-1", "@sum", "\tx", "\rx", "=\"a\",b"] {
            let record = json!({"id": "1", "name": text});
            assert_eq!(read(&written(Kind::Member, &record, true), "name"), format!("'{text}"));
            assert_eq!(read(&written(Kind::Member, &record, false), "name"), text);
        }
        for text in ["a=1", "1-1", "'=1", "", " =1"] {
            assert_eq!(read(&written(Kind::Member, &json!({"name": text}), true), "name"), text);
        }
        let entry = json!({"seq": -1, "before": -1, "after": {"=a": "=b"}, "occurred_at": "-2026", "user_agent": {"value": "=x"}});
        let line = written(Kind::AuditEntry, &entry, true);
        assert_eq!(read(&line, "seq"), "-1", "a number is no text");
        assert_eq!(read(&line, "occurred_at"), "-2026", "a time is no text");
        assert_eq!(read(&line, "after"), "{\"=a\":\"=b\"}");
        assert_eq!(read(&line, "user_agent"), "'=x");
    }

    #[test]
    fn values_within_values_and_steps_have_their_places() {
        let run = json!({"id": "r", "state": "failed", "progress": {"done": 1, "total": 2}, "reason": {"type": "t", "detail": null}, "steps": [
            {"name": "one", "compensation": {"error": {"type": "boom"}}}, {"name": "two", "compensation": null, "error": null}]});
        let text = written(Kind::Run, &run, true);
        let lines: Vec<_> = text.split_inclusive("\r\n").collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((read(lines[0], "steps_total").as_str(), read(lines[0], "error_type").as_str()), ("2", "t"));
        assert_eq!(read(lines[1], "compensation_error_type"), "boom");
        assert_eq!((read(lines[2], "name").as_str(), read(lines[2], "run_id").as_str()), ("two", "r"));
        assert!(lines[1].starts_with("run_step,"));
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        assert!(Table::new(true).record(Kind::AuditEntry, "[1]").is_err());
        assert!(Table::new(true).record(Kind::AuditEntry, "{\"id\": ").is_err());
    }
}
