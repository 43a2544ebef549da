use serde_json::json;

use super::*;

fn written(kind: Kind, record: &serde_json::Value, is_safe: bool) -> String {
    let mut table = Table::new(is_safe);
    table.record(kind, &record.to_string()).unwrap();
    String::from_utf8(table.take()).unwrap()
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
    table.header();
    let header = String::from_utf8(table.take()).unwrap();
    assert!(header.starts_with("record_type,id,account_id,") && header.ends_with(",previous,hash\r\n"), "{header}");
    assert_eq!(header.split(',').count(), COLUMNS.len() + 1);
}

#[test]
fn every_text_comes_back_as_it_was() {
    for text in ["a,b", "say \"x\"", "two\r\nlines", "\n", "é 🚢 مساحة", " spaces ", "\"", "'quoted'", "back\\slash", "tab\tin", "\u{1}"]
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

/// Whoever reads the files of a format version reads them with a program: no byte of them changes.
#[test]
fn a_file_is_to_the_byte_what_it_always_was() {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        r#type: &'a str,
        #[serde(borrow)]
        record: &'a RawValue,
    }
    for (is_safe, expected) in [(true, include_str!("safe.csv")), (false, include_str!("machine.csv"))] {
        let mut table = Table::new(is_safe);
        table.header();
        let mut written = String::new();
        for line in include_str!("records.ndjson").lines() {
            let line: Line<'_> = serde_json::from_str(line).unwrap();
            let kind = Kind::ALL.into_iter().find(|kind| kind.word() == line.r#type).unwrap();
            table.record(kind, line.record.get()).unwrap();
            written.push_str(&String::from_utf8(table.take()).unwrap());
        }
        for (at, (written, expected)) in written.split("\r\n").zip(expected.split("\r\n")).enumerate() {
            assert_eq!(written, expected, "line {at}");
        }
        assert_eq!(written.len(), expected.len());
    }
}

#[test]
fn what_is_no_object_is_an_error() {
    assert!(Table::new(true).record(Kind::AuditEntry, "[1]").is_err());
    assert!(Table::new(true).record(Kind::AuditEntry, "{\"id\": ").is_err());
}
