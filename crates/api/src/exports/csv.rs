//! Records as CSV (RFC 4180): one header, one line a record, cells that a record has not are empty.
//!
//! Null and a text without letters are told apart: null is an empty cell, such a text is `""`. A record is gone through once
//! and its values are copied from where they stand: most of what an export costs is spent here.

use std::borrow::Cow;
use std::io;
use std::sync::LazyLock;

use memchr::{memchr, memchr_iter, memchr2, memchr3};
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::columns::{COLUMNS, Cell, Kind};

/// Whoever reads one of these at a cell's beginning as a formula is told by a `'` that it is none.
const FORMULA: [u8; 6] = [b'=', b'+', b'-', b'@', b'\t', b'\r'];
/// As many as a line has at most.
static COMMAS: [u8; COLUMNS.len()] = [b','; COLUMNS.len()];
static LAYOUTS: LazyLock<Vec<Layout>> = LazyLock::new(|| Kind::ALL.into_iter().map(Layout::of).collect());

/// Where the values of a kind's records stand, and where they go to.
struct Layout {
    /// The columns that the kind has, each with the commas that are before it.
    cells: Vec<(usize, Cell)>,
    /// The commas behind the last of them.
    rest: usize,
    /// What is looked for in the JSON. Slots are the columns' places in `cells`; what is no cell has one behind them.
    fields: Vec<Field>,
    slots: usize,
    /// Of a step: its run.
    run: Option<usize>,
    /// Of a run: its id, and its steps.
    steps: Option<(usize, usize)>,
}

struct Field {
    name: &'static str,
    slot: usize,
    /// Of an object whose own fields are looked for.
    within: Vec<Field>,
}

impl Layout {
    fn of(kind: Kind) -> Self {
        let paths = kind.columns();
        let has = |name: &str| (kind == Kind::RunStep && name == "run_id") || paths.iter().any(|(column, _)| *column == name);
        let (mut cells, mut names, mut rest) = (Vec::new(), Vec::<&str>::new(), 0);
        for (name, cell) in COLUMNS {
            rest += 1;
            if has(name) {
                cells.push((rest, *cell));
                names.push(*name);
                rest = 0;
            }
        }
        let slot_of = |wanted: &str| names.iter().position(|name| *name == wanted);
        let (mut fields, mut slots) = (Vec::new(), cells.len());
        // In the order of the records, in which most fields are then found where they are expected.
        for (column, path) in paths {
            let slot = slot_of(column).unwrap_or_else(|| unreachable!("{column} is a column"));
            add(&mut fields, path, slot, &mut slots);
        }
        let steps = (kind == Kind::Run).then(|| {
            fields.push(Field { name: "steps", slot: slots, within: Vec::new() });
            slots += 1;
            slot_of("id").map(|id| (id, slots - 1))
        });
        let run = (kind == Kind::RunStep).then(|| slot_of("run_id"));
        Self { cells, rest, fields, slots, run: run.flatten(), steps: steps.flatten() }
    }
}

fn add(fields: &mut Vec<Field>, path: &'static str, slot: usize, slots: &mut usize) {
    let Some((first, rest)) = path.split_once('/') else { return fields.push(Field { name: path, slot, within: Vec::new() }) };
    let at = fields.iter().position(|field| field.name == first).unwrap_or_else(|| {
        fields.push(Field { name: first, slot: *slots, within: Vec::new() });
        *slots += 1;
        fields.len() - 1
    });
    add(&mut fields[at].within, rest, slot, slots);
}

/// Writes records into bytes that are taken out now and then.
pub struct Table {
    text: Vec<u8>,
    is_safe: bool,
}

impl Table {
    /// `is_safe`: texts that a spreadsheet would take for formulas are guarded.
    pub fn new(is_safe: bool) -> Self {
        Self { text: Vec::new(), is_safe }
    }

    pub fn header(&mut self) {
        self.text.extend_from_slice(b"record_type");
        for (name, _) in COLUMNS {
            self.text.push(b',');
            self.text.extend_from_slice(name.as_bytes());
        }
        self.text.extend_from_slice(b"\r\n");
    }

    /// A record, and for a run one more for each of its steps. Returns how many were written.
    pub fn record(&mut self, kind: Kind, json: &str) -> io::Result<u64> {
        let layout = &LAYOUTS[kind as usize];
        let values = values(layout, json)?;
        self.line(kind, layout, &values)?;
        let Some((id, steps)) = layout.steps else { return Ok(1) };
        let steps: Vec<&RawValue> = values[steps].map_or(Ok(Vec::new()), serde_json::from_str)?;
        let layout = &LAYOUTS[Kind::RunStep as usize];
        for step in &steps {
            let mut of_step = self::values(layout, step.get())?;
            if let Some(run) = layout.run {
                of_step[run] = values[id];
            }
            self.line(Kind::RunStep, layout, &of_step)?;
        }
        Ok(1 + steps.len() as u64)
    }

    fn line(&mut self, kind: Kind, layout: &Layout, values: &[Option<&str>]) -> io::Result<()> {
        self.text.extend_from_slice(kind.word().as_bytes());
        for ((commas, cell), raw) in layout.cells.iter().zip(values) {
            self.text.extend_from_slice(&COMMAS[..*commas]);
            if let Some(raw) = raw {
                write(&mut self.text, raw, *cell == Cell::Text && self.is_safe)?;
            }
        }
        self.text.extend_from_slice(&COMMAS[..layout.rest]);
        self.text.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// What was written since the last time.
    pub fn take(&mut self) -> Vec<u8> {
        let next = Vec::with_capacity(self.text.len());
        std::mem::replace(&mut self.text, next)
    }
}

/// The raw values of a record, by slot.
fn values<'a>(layout: &Layout, json: &'a str) -> io::Result<Vec<Option<&'a str>>> {
    let mut values = vec![None; layout.slots];
    fill(&layout.fields, json, &mut values)?;
    Ok(values)
}

/// Of a field that is there twice the first one counts. What is null has no fields.
fn fill<'a>(fields: &[Field], json: &'a str, values: &mut [Option<&'a str>]) -> io::Result<()> {
    serde_json::Deserializer::from_str(json).deserialize_map(Object { fields, values: &mut *values })?;
    for field in fields.iter().filter(|field| !field.within.is_empty()) {
        if let Some(raw) = values[field.slot].filter(|raw| *raw != "null") {
            fill(&field.within, raw, values)?;
        }
    }
    Ok(())
}

/// A JSON object whose values are not looked at.
struct Object<'f, 'v, 'a> {
    fields: &'f [Field],
    values: &'v mut [Option<&'a str>],
}

impl<'a> Visitor<'a> for Object<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let mut expected = 0;
        while let Some(name) = map.next_key::<&'a str>()? {
            let is_named = |field: &Field| field.name == name;
            let at = match self.fields.get(expected) {
                Some(field) if is_named(field) => Some(expected),
                _ => self.fields.iter().position(is_named),
            };
            if let Some(at) = at {
                let raw: &'a RawValue = map.next_value()?;
                self.values[self.fields[at].slot].get_or_insert(raw.get());
                expected = at + 1;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// A raw JSON value as a cell.
fn write(out: &mut Vec<u8>, raw: &str, is_guarded: bool) -> io::Result<()> {
    if raw == "null" {
        return Ok(());
    }
    let (text, is_quoted) = match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => match memchr2(b'\\', b',', inner.as_bytes()) {
            None => (Cow::Borrowed(inner), inner.is_empty()),
            // Without an escape there is neither a quote nor a line break in it.
            Some(_) if memchr(b'\\', inner.as_bytes()).is_none() => (Cow::Borrowed(inner), true),
            Some(_) => {
                let text: String = serde_json::from_str(raw)?;
                let is_quoted = is_special(&text);
                (Cow::Owned(text), is_quoted)
            }
        },
        None => (Cow::Borrowed(raw), is_special(raw)),
    };
    let text = text.as_bytes();
    let is_guarded = is_guarded && text.first().is_some_and(|first| FORMULA.contains(first));
    if is_quoted {
        out.push(b'"');
    }
    if is_guarded {
        out.push(b'\'');
    }
    if is_quoted {
        let mut written = 0;
        for quote in memchr_iter(b'"', text) {
            out.extend_from_slice(&text[written..=quote]);
            written = quote;
        }
        out.extend_from_slice(&text[written..]);
        out.push(b'"');
    } else {
        out.extend_from_slice(text);
    }
    Ok(())
}

/// Whether the text cannot stand in a cell as it is.
fn is_special(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.is_empty() || memchr3(b'"', b',', b'\n', bytes).is_some() || memchr(b'\r', bytes).is_some()
}

#[cfg(test)]
mod tests;
