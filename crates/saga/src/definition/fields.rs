//! Reads the entries of a map by name: unknown and repeated keys are refused, values are parsed where they stand.

use std::time::Duration;

use super::tree::{At, Key, Node, Raw, Wrong};

/// A map whose keys are all among those allowed, each there once.
pub(super) struct Fields<'a> {
    /// Where the map begins: a missing key is reported here.
    pub at: At,
    entries: &'a [(Key, Node)],
}

impl<'a> Fields<'a> {
    /// `what` names the map in messages, such as "a step".
    pub fn of(node: &'a Node, what: &str, allowed: &[&str]) -> Result<Self, Wrong> {
        let Raw::Map(entries) = &node.raw else {
            return Wrong::new(node.at, format!("{what} is a map with {}, but {} stands here", list(allowed), node.kind()));
        };
        for (i, (key, _)) in entries.iter().enumerate() {
            if !allowed.contains(&key.name.as_str()) {
                return Wrong::new(key.at, format!("unknown key `{}`: {what} has {}", key.name, list(allowed)));
            }
            if entries[..i].iter().any(|(k, _)| k.name == key.name) {
                return Wrong::new(key.at, format!("the key `{}` stands here a second time: remove one", key.name));
            }
        }
        Ok(Self { at: node.at, entries })
    }

    pub fn get(&self, name: &str) -> Option<&'a Node> {
        self.entry(name).map(|(_, node)| node)
    }

    pub fn key_at(&self, name: &str) -> Option<At> {
        self.entry(name).map(|(key, _)| key.at)
    }

    fn entry(&self, name: &str) -> Option<&'a (Key, Node)> {
        self.entries.iter().find(|(key, _)| key.name == name)
    }

    pub fn need(&self, name: &str, example: &str) -> Result<&'a Node, Wrong> {
        self.get(name)
            .map_or_else(|| Wrong::new(self.at, format!("the key `{name}` is missing: write for example `{name}: {example}`")), Ok)
    }
}

fn list(keys: &[&str]) -> String {
    keys.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")
}

/// `[a-z][a-z0-9-]*`.
pub(super) fn name(node: &Node, key: &str) -> Result<String, Wrong> {
    let fits = |t: &str| {
        t.starts_with(|c: char| c.is_ascii_lowercase()) && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    match &node.raw {
        Raw::Text(text) if fits(text) => Ok(text.clone()),
        _ => Wrong::new(
            node.at,
            format!(
                "`{key}` must be a name of lower-case letters, digits and hyphens that begins with a letter, but {} stands here",
                node.kind()
            ),
        ),
    }
}

/// A whole number and a unit, longer than nothing.
pub(super) fn duration(node: &Node, key: &str) -> Result<Duration, Wrong> {
    let parsed = match &node.raw {
        Raw::Text(text) => parse_duration(text),
        _ => None,
    };
    match parsed {
        Some(d) if !d.is_zero() => Ok(d),
        _ => Wrong::new(
            node.at,
            format!(
                "`{key}` must be a duration longer than nothing such as `200ms`, `5s`, `30m`, `24h` or `7d`, but {} stands here",
                node.kind()
            ),
        ),
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let millis = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// A whole number from 1.
pub(super) fn count(node: &Node, key: &str, or: &str) -> Result<u32, Wrong> {
    match &node.raw {
        Raw::Number(n) => n.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n >= 1),
        _ => None,
    }
    .map_or_else(|| Wrong::new(node.at, format!("`{key}` must be a whole number from 1{or}, but {} stands here", node.kind())), Ok)
}
