//! Writes an export's records in its format.

use std::io;

use domain::model::{ExportFormat, ExportSection};

use super::columns::Kind;
use super::csv::Table;

/// Collects the text of an export; [`Renderer::take`] takes out what is there so far.
pub struct Renderer {
    format: ExportFormat,
    table: Table,
    text: Vec<u8>,
    rows: u64,
    /// A section has begun.
    is_open: bool,
    /// The section has a record.
    has_record: bool,
}

impl Renderer {
    pub fn new(format: ExportFormat, csv_safe: bool) -> Self {
        Self { format, table: Table::new(csv_safe), text: Vec::new(), rows: 0, is_open: false, has_record: false }
    }

    /// How many records were written.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What comes before all records.
    pub fn open(&mut self) {
        match self.format {
            ExportFormat::Csv => self.table.header(),
            ExportFormat::Json => self.text.push(b'{'),
            ExportFormat::Ndjson => {}
        }
    }

    pub fn section(&mut self, section: ExportSection) {
        if self.format == ExportFormat::Json {
            self.end_section();
            self.extend(&["\"", section.as_str(), "\":["]);
            (self.is_open, self.has_record) = (true, false);
        }
    }

    fn end_section(&mut self) {
        if self.is_open {
            self.extend(&["],\n"]);
        }
    }

    /// `json`: the text of an object, without line breaks between its members.
    pub fn record(&mut self, kind: Kind, json: &str) -> io::Result<()> {
        let written = match self.format {
            ExportFormat::Csv => self.table.record(kind, json)?,
            ExportFormat::Json => {
                let between = if self.has_record { ",\n" } else { "\n" };
                self.has_record = true;
                self.extend(&[between, json]);
                1
            }
            ExportFormat::Ndjson => {
                self.extend(&["{\"type\":\"", kind.word(), "\",\"record\":", json, "}\n"]);
                1
            }
        };
        self.rows += written;
        Ok(())
    }

    /// What comes after all records. `sha256`: of all bytes before it, in hex.
    pub fn close(&mut self, sha256: &str) {
        let rows = self.rows.to_string();
        match self.format {
            ExportFormat::Csv => {}
            ExportFormat::Json => {
                self.end_section();
                self.extend(&["\"end\":{\"complete\":true,\"rows\":", &rows, "}}\n"]);
            }
            ExportFormat::Ndjson => self.extend(&["{\"type\":\"end\",\"rows\":", &rows, ",\"sha256\":\"", sha256, "\"}\n"]),
        }
    }

    pub fn take(&mut self) -> Vec<u8> {
        match self.format {
            ExportFormat::Csv => self.table.take(),
            ExportFormat::Json | ExportFormat::Ndjson => std::mem::take(&mut self.text),
        }
    }

    fn extend(&mut self, parts: &[&str]) {
        for part in parts {
            self.text.extend_from_slice(part.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(format: ExportFormat) -> String {
        let mut renderer = Renderer::new(format, true);
        renderer.open();
        renderer.section(ExportSection::Environments);
        renderer.record(Kind::Environment, "{\"id\":1}").unwrap();
        renderer.record(Kind::Environment, "{\"id\":2}").unwrap();
        renderer.section(ExportSection::Connections);
        renderer.close("abc");
        assert_eq!(renderer.rows(), 2);
        String::from_utf8(renderer.take()).unwrap()
    }

    #[test]
    fn json_is_one_object_with_an_array_for_each_section_and_its_end() {
        let text = rendered(ExportFormat::Json);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            serde_json::json!({"environments": [{"id": 1}, {"id": 2}], "connections": [], "end": {"complete": true, "rows": 2}})
        );
        assert!(text.find("environments") < text.find("connections"), "in the order that was asked for");
    }

    #[test]
    fn ndjson_is_a_line_for_each_record_and_its_end() {
        assert_eq!(
            rendered(ExportFormat::Ndjson),
            "{\"type\":\"environment\",\"record\":{\"id\":1}}\n{\"type\":\"environment\",\"record\":{\"id\":2}}\n\
             {\"type\":\"end\",\"rows\":2,\"sha256\":\"abc\"}\n"
        );
    }

    #[test]
    fn an_export_without_sections_is_still_one_of_its_format() {
        for (format, expected) in [
            (ExportFormat::Json, "{\"end\":{\"complete\":true,\"rows\":0}}\n"),
            (ExportFormat::Ndjson, "{\"type\":\"end\",\"rows\":0,\"sha256\":\"\"}\n"),
        ] {
            let mut renderer = Renderer::new(format, true);
            renderer.open();
            renderer.close("");
            assert_eq!(String::from_utf8(renderer.take()).unwrap(), expected);
        }
    }
}
