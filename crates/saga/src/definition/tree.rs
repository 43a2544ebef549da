//! A YAML document as a tree in which every key and value knows its line and column.
//!
//! The loader needs positions for rules that no type can express, and repeated keys side by side; a derived
//! `Deserialize` gives neither. Aliases and merge keys are refused: nothing in a definition file is computed.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, Spanned};

/// A place in the file, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub line: u64,
    pub column: u64,
}

/// A rule that the file breaks, and where.
#[derive(Debug)]
pub(super) struct Wrong {
    pub at: At,
    pub message: String,
}

impl Wrong {
    pub fn new<T>(at: At, message: impl Into<String>) -> Result<T, Self> {
        Err(Self { at, message: message.into() })
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub at: At,
    pub raw: Raw,
}

#[derive(Debug)]
pub(super) enum Raw {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug)]
pub(super) struct Key {
    pub at: At,
    pub name: String,
}

/// Reads the one document of `text`.
pub(super) fn parse(text: &str) -> Result<Node, Wrong> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        reject_unsupported_tags: true,
        strict_booleans: true,
        emit_comments: false,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| {
        let at = e.location().map_or(At { line: 1, column: 1 }, |l| At { line: l.line(), column: l.column() });
        let message = match e.without_snippet() {
            serde_saphyr::Error::MultipleDocuments { .. } => {
                "a definition file holds one document: remove this `---` and what follows".to_owned()
            }
            other => {
                // The position is the caller's to print, once.
                let rendered = other.to_string();
                let cut = [" at line ", " (defined at"].iter().filter_map(|c| rendered.find(c)).min().unwrap_or(rendered.len());
                rendered[..cut].trim_start_matches("error: ").to_owned()
            }
        };
        Wrong { at, message }
    })
}

impl Node {
    /// What stands here, for "… stands here" in a message.
    pub fn kind(&self) -> String {
        match &self.raw {
            Raw::Null => "nothing".to_owned(),
            Raw::Bool(b) => format!("`{b}`"),
            Raw::Number(n) => format!("`{n}`"),
            Raw::Text(t) => format!("`{t}`"),
            Raw::List(_) => "a list".to_owned(),
            Raw::Map(_) => "a map".to_owned(),
        }
    }

    /// The value as JSON, for a step's `with`.
    pub fn json(&self) -> Result<Value, Wrong> {
        Ok(match &self.raw {
            Raw::Null => Value::Null,
            Raw::Bool(b) => Value::Bool(*b),
            Raw::Number(n) => Value::Number(n.clone()),
            Raw::Text(t) => Value::String(t.clone()),
            Raw::List(items) => Value::Array(items.iter().map(Node::json).collect::<Result<_, _>>()?),
            Raw::Map(entries) => {
                let mut map = Map::new();
                for (key, node) in entries {
                    if map.insert(key.name.clone(), node.json()?).is_some() {
                        return Wrong::new(key.at, format!("the key `{}` stands here a second time: remove one", key.name));
                    }
                }
                Value::Object(map)
            }
        })
    }
}

fn at<T, E: serde::de::Error>(spanned: &Spanned<T>) -> Result<At, E> {
    if spanned.referenced != spanned.defined {
        return Err(E::custom("an alias stands here: write the value out, nothing in a definition is computed"));
    }
    Ok(At { line: spanned.referenced.line(), column: spanned.referenced.column() })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Raw>::deserialize(deserializer)?;
        Ok(Self { at: at(&spanned)?, raw: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self { at: at(&spanned)?, name: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Raw, E> {
        Number::from_f64(value).map(Raw::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
