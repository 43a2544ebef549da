//! Rows that one statement takes at once, column by column.
//!
//! On PostgreSQL each column is an array and a parameter of its own (`unnest($2::smallint[], $3::uuid[], …) as u(bucket, id, …)`);
//! on SQLite all of them are one JSON text, a row an array (`json_each($2)`, `value->>0`). Times, ids and bytes are on SQLite
//! what [`super::Bind`] makes of them, ids and bytes in hex: `unhex(value->>1)`. JSON is a text on both, to be cast.

use std::ops::Range;

use saga::Time;
use serde_json::Value;
use sqlx::Arguments as _;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;
use uuid::Uuid;

use super::value::{REPLACEMENT, timestamp};
use super::{Arguments, Bind};
use crate::words;

/// How many rows the shortest statement of [`crate::doubled`] takes, and the longest.
const SHORTEST: usize = 8;
const PIECE: usize = 64;

/// Columns of equal length, in the order of their parameters.
#[derive(Default)]
pub struct Columns(Vec<Cells>);

enum Cells {
    Flags(Vec<bool>),
    Smalls(Vec<i16>),
    Numbers(Vec<i64>),
    Ids(Vec<Option<Uuid>>),
    Times(Vec<Option<Time>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Vec<u8>>),
}

impl Columns {
    #[must_use]
    pub fn flags(mut self, cells: impl IntoIterator<Item = bool>) -> Self {
        self.0.push(Cells::Flags(cells.into_iter().collect()));
        self
    }

    #[must_use]
    pub fn numbers(mut self, cells: impl IntoIterator<Item = i64>) -> Self {
        self.0.push(Cells::Numbers(cells.into_iter().collect()));
        self
    }

    #[must_use]
    pub fn ids(mut self, cells: impl IntoIterator<Item = Uuid>) -> Self {
        self.0.push(Cells::Ids(cells.into_iter().map(Some).collect()));
        self
    }

    #[must_use]
    pub fn optional_ids(mut self, cells: impl IntoIterator<Item = Option<Uuid>>) -> Self {
        self.0.push(Cells::Ids(cells.into_iter().collect()));
        self
    }

    /// Ids of rows of tenant tables: their buckets, and they.
    #[must_use]
    pub fn keys(mut self, ids: impl IntoIterator<Item = Uuid>) -> Self {
        let ids: Vec<Uuid> = ids.into_iter().collect();
        self.0.push(Cells::Smalls(ids.iter().map(|id| domain::ids::bucket(*id)).collect()));
        self.ids(ids)
    }

    #[must_use]
    pub fn times(mut self, cells: impl IntoIterator<Item = Option<Time>>) -> Self {
        self.0.push(Cells::Times(cells.into_iter().collect()));
        self
    }

    #[must_use]
    pub fn texts(self, cells: impl IntoIterator<Item = String>) -> Self {
        self.optional_texts(cells.into_iter().map(Some))
    }

    #[must_use]
    pub fn optional_texts(mut self, cells: impl IntoIterator<Item = Option<String>>) -> Self {
        let without_nul = |text: String| if text.contains('\0') { text.replace('\0', REPLACEMENT) } else { text };
        self.0.push(Cells::Texts(cells.into_iter().map(|text| text.map(without_nul)).collect()));
        self
    }

    /// JSON texts, whole.
    #[must_use]
    pub fn jsons(mut self, cells: impl IntoIterator<Item = Option<String>>) -> Self {
        self.0.push(Cells::Texts(cells.into_iter().map(|text| text.map(without_escaped_nul)).collect()));
        self
    }

    #[must_use]
    pub fn bytes(mut self, cells: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.0.push(Cells::Bytes(cells.into_iter().collect()));
        self
    }

    fn rows(&self) -> usize {
        self.0.first().map_or(0, Cells::len)
    }

    /// The rows in pieces for statements that have a parameter for each cell.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let rows = self.rows();
        (0..rows).step_by(PIECE).map(move |from| Piece { columns: self, rows: from..(from + PIECE).min(rows), and: None })
    }
}

/// Rows whose cells are bound one by one, row by row: SQLite reads them as they are, where it has to parse a JSON text again for
/// each cell. What their statement has parameters for beyond them is null.
pub struct Piece<'c> {
    columns: &'c Columns,
    rows: Range<usize>,
    and: Option<Time>,
}

impl Piece<'_> {
    /// Bound once, behind the rows.
    #[must_use]
    pub fn and(mut self, time: Time) -> Self {
        self.and = Some(time);
        self
    }

    /// Which of the statements takes them: how often the shortest is doubled.
    #[must_use]
    pub fn doublings(&self) -> usize {
        self.rows.len().div_ceil(SHORTEST).next_power_of_two().ilog2() as usize
    }

    fn nulls(&self) -> usize {
        ((SHORTEST << self.doublings()) - self.rows.len()) * self.columns.0.len()
    }
}

impl Bind for Piece<'_> {
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
        let Arguments::Sqlite(to) = to else { return Err("PostgreSQL takes whole columns".into()) };
        let (cells, nulls) = (&self.columns.0, self.nulls());
        to.reserve(self.rows.len() * cells.len() + nulls, 0);
        self.rows.flat_map(|row| cells.iter().map(move |cells| (cells, row))).try_for_each(|(cells, row)| cells.bind(row, to))?;
        (0..nulls).try_for_each(|_| to.add(None::<i64>))?;
        self.and.map_or(Ok(()), |time| to.add(time.micros()))
    }
}

/// A NUL in a JSON text is `\u0000`, unless that backslash is itself escaped.
fn without_escaped_nul(text: String) -> String {
    if !text.contains("\\u0000") {
        return text;
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        kept.push_str(before);
        if let Some(after) = escape.strip_prefix("\\u0000") {
            kept.push_str(REPLACEMENT);
            rest = after;
        } else {
            // A backslash, and what it escapes.
            let end = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
            kept.push_str(&escape[..end]);
            rest = &escape[end..];
        }
    }
    kept.push_str(rest);
    kept
}

impl Cells {
    fn len(&self) -> usize {
        match self {
            Self::Flags(cells) => cells.len(),
            Self::Smalls(cells) => cells.len(),
            Self::Numbers(cells) => cells.len(),
            Self::Ids(cells) => cells.len(),
            Self::Times(cells) => cells.len(),
            Self::Texts(cells) => cells.len(),
            Self::Bytes(cells) => cells.len(),
        }
    }

    fn bind(&self, row: usize, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
        match self {
            Self::Flags(cells) => to.add(i64::from(cells[row])),
            Self::Smalls(cells) => to.add(i64::from(cells[row])),
            Self::Numbers(cells) => to.add(cells[row]),
            Self::Ids(cells) => to.add(cells[row]),
            Self::Times(cells) => to.add(cells[row].map(Time::micros)),
            Self::Texts(cells) => to.add(cells[row].as_deref()),
            Self::Bytes(cells) => to.add(cells[row].as_slice()),
        }
    }

    fn json(&self, row: usize) -> Value {
        match self {
            Self::Flags(cells) => Value::from(i64::from(cells[row])),
            Self::Smalls(cells) => Value::from(cells[row]),
            Self::Numbers(cells) => Value::from(cells[row]),
            Self::Ids(cells) => cells[row].map(|id| id.simple().to_string()).into(),
            Self::Times(cells) => cells[row].map(Time::micros).into(),
            Self::Texts(cells) => cells[row].as_deref().into(),
            Self::Bytes(cells) => words::hex(&cells[row]).into(),
        }
    }
}

impl Bind for Columns {
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
        debug_assert!(self.0.iter().all(|cells| cells.len() == self.rows()), "columns of different lengths");
        match to {
            Arguments::Postgres(to) => self.0.into_iter().try_for_each(|cells| match cells {
                Cells::Flags(cells) => to.add(cells),
                Cells::Smalls(cells) => to.add(cells),
                Cells::Numbers(cells) => to.add(cells),
                Cells::Ids(cells) => to.add(cells),
                Cells::Times(cells) => to.add(cells.into_iter().map(|t| t.map(timestamp)).collect::<Vec<_>>()),
                Cells::Texts(cells) => to.add(cells),
                Cells::Bytes(cells) => to.add(cells),
            }),
            Arguments::Sqlite(to) => {
                let row = |row| self.0.iter().map(|cells| cells.json(row)).collect::<Value>();
                to.add((0..self.rows()).map(row).collect::<Value>().to_string())
            }
        }
    }
}

/// A JSON text as a single value, to be cast.
pub struct JsonText(pub Option<String>);

impl Bind for JsonText {
    fn add(self, to: &mut Arguments) -> Result<(), BoxDynError> {
        self.0.map(without_escaped_nul).add(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_escaped_nul_is_replaced() {
        let cleaned = |value: Value| serde_json::from_str::<Value>(&without_escaped_nul(value.to_string())).unwrap();
        for (text, expected) in [
            ("a\0b", "a\u{FFFD}b"),
            ("\0", "\u{FFFD}"),
            ("\\u0000", "\\u0000"),
            ("\\\0", "\\\u{FFFD}"),
            ("\\\\u0000\0", "\\\\u0000\u{FFFD}"),
            ("ü\u{1}\"\0", "ü\u{1}\"\u{FFFD}"),
        ] {
            assert_eq!(cleaned(Value::from(text)), Value::from(expected), "{text:?}");
        }
    }
}
