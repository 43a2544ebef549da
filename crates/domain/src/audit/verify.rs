//! Proves that a chain is as it was written, record by record and in constant memory.
//!
//! A record is a whole entry, or a [`Link`](super::Link) for one whose content the reader may not see: a workspace's export
//! holds both. What is read is proven as it stands in the text, so that not even a field that nobody knows can be
//! slipped in. What cannot be seen here: entries missing at the end, unless somebody remembers a later one
//! ([`Verifier::expecting`]), and a chain that was rewritten whole.

mod strict;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::Entry;
use super::chain::{body_sha256, fields, hash_of, hex, unhex};

/// The first entry of a chain that is not as it was sealed, or is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq}: {why}")]
pub struct FirstBad {
    pub seq: u64,
    pub why: Cow<'static, str>,
}

fn bad(seq: u64, why: impl Into<Cow<'static, str>>) -> FirstBad {
    FirstBad { seq, why: why.into() }
}

/// An entry's place in its chain: `SEQ:HASH`. Whoever keeps one can prove later that the history up to it was not rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub seq: u64,
    pub hash: [u8; 32],
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex(&self.hash))
    }
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "a place in a chain is SEQ:HASH, the hash in 64 lower-case hex digits";
        let (seq, hash) = text.split_once(':').ok_or(EXPECTED)?;
        Ok(Self { seq: seq.parse().map_err(|_| EXPECTED)?, hash: unhex(hash).ok_or(EXPECTED)? })
    }
}

/// What was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Entries whose content was proven.
    pub entries: u64,
    /// Entries of which only the link was there.
    pub links: u64,
    pub first: Option<u64>,
    pub last: Option<Place>,
    /// The lines said what they are, as an export's do.
    pub is_export: bool,
    /// The export's own last line was there.
    pub is_ended: bool,
}

/// Takes a chain's records in order; the first that is wrong ends it.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    /// Those whose chain it may be; the first record tells which.
    accounts: Vec<Uuid>,
    is_excerpt: bool,
    expected: Option<Place>,
    is_met: bool,
    before: Option<Place>,
    done: Done,
}

#[derive(Debug, Clone, Copy, Default)]
struct Done {
    entries: u64,
    links: u64,
    first: Option<u64>,
    last: Option<Place>,
    is_export: bool,
    is_ended: bool,
}

/// A line of an export, taken apart.
enum Record {
    /// Whether the line says what it is.
    Entry(Map<String, Value>, bool),
    Link(Map<String, Value>, bool),
    End,
    /// Of another section.
    Other,
}

impl Verifier {
    /// For a whole chain, from its first entry on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the first record's `seq` and `previous` on trust: for a part of a chain.
    #[must_use]
    pub fn of_excerpt() -> Self {
        Self { is_excerpt: true, ..Self::default() }
    }

    /// Goes on behind an entry that is known to be right.
    #[must_use]
    pub fn after(place: Place) -> Self {
        Self { before: Some(place), ..Self::default() }
    }

    /// Whose chain it may be, as [`account_in`] tells of each line: needed where links stand before the first whole entry.
    #[must_use]
    pub fn among(mut self, accounts: Vec<Uuid>) -> Self {
        self.accounts = accounts;
        self
    }

    /// Demands that the chain holds this entry: proves that the history up to it was not rewritten or cut off.
    #[must_use]
    pub fn expecting(mut self, place: Place) -> Self {
        self.expected = Some(place);
        self
    }

    /// The `seq` that the next record must have; `None` where an excerpt begins.
    #[must_use]
    pub fn due(&self) -> Option<u64> {
        match self.done.last.or(self.before) {
            Some(place) => Some(place.seq.saturating_add(1)),
            None if self.is_excerpt => None,
            None => Some(1),
        }
    }

    /// # Errors
    /// Names the first entry that was changed, moved or lost.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), FirstBad> {
        self.whole(fields(entry))
    }

    /// A line of an NDJSON export or of a list of entries; lines of other sections are passed over.
    ///
    /// # Errors
    /// As [`Verifier::entry`]; a line that cannot be read stands for the entry that is due.
    pub fn line(&mut self, line: &[u8]) -> Result<(), FirstBad> {
        match record(line) {
            Ok(Record::Entry(fields, named)) => {
                self.done.is_export |= named;
                self.whole(fields)
            }
            Ok(Record::Link(fields, named)) => {
                self.done.is_export |= named;
                self.link(&fields)
            }
            Ok(Record::End) => {
                self.done.is_ended = true;
                Ok(())
            }
            Ok(Record::Other) => {
                self.done.is_export = true;
                Ok(())
            }
            Err(why) => Err(bad(self.due().unwrap_or_default(), why)),
        }
    }

    /// # Errors
    /// The entry that was demanded is not there.
    pub fn finish(self) -> Result<Verified, FirstBad> {
        if let Some(expected) = self.expected.filter(|_| !self.is_met) {
            return Err(match self.due() {
                Some(due) if due <= expected.seq => {
                    bad(due, format!("it is missing: the chain ends before entry {}, which was known", expected.seq))
                }
                _ => bad(expected.seq, "it was known, and is not among these"),
            });
        }
        let Done { entries, links, first, last, is_export, is_ended } = self.done;
        Ok(Verified { entries, links, first, last, is_export, is_ended })
    }

    fn whole(&mut self, fields: Map<String, Value>) -> Result<(), FirstBad> {
        let seq = self.in_order(&fields)?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (previous, hash) = (text("previous"), text("hash"));
        let before = self.done.last.or(self.before).map(|place| place.hash).or((!self.is_excerpt).then_some([0; 32]));
        let Some(stated) = unhex(&previous) else { return Err(bad(seq, "`previous` is not 32 bytes in hex")) };
        if before.is_some_and(|before| before != stated) {
            return Err(bad(seq, "`previous` is not the hash of the entry before it"));
        }
        let account = text("account_id").parse().map_err(|_| bad(seq, "`account_id` is not a uuid"))?;
        let body = body_sha256(fields).map_err(|why| bad(seq, why))?;
        if self.accounts.is_empty() {
            self.accounts.push(account);
        }
        let is_right = hex(&hash_of(account, seq, &stated, &body)) == hash;
        if !self.accounts.contains(&account) {
            return Err(bad(seq, if is_right { "it belongs to another account's chain" } else { "its content does not match its hash" }));
        }
        if !is_right {
            return Err(bad(seq, "its content does not match its hash"));
        }
        self.accounts = vec![account];
        self.done.entries += 1;
        self.stands(seq, &hash)
    }

    fn link(&mut self, fields: &Map<String, Value>) -> Result<(), FirstBad> {
        let seq = self.in_order(fields)?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let Some(body) = unhex(text("body_sha256")) else { return Err(bad(seq, "`body_sha256` is not 32 bytes in hex")) };
        if fields.len() != 3 {
            return Err(bad(seq, "its link holds more than `seq`, `body_sha256` and `hash`"));
        }
        let before = self.done.last.or(self.before).map(|place| place.hash).or((!self.is_excerpt).then_some([0; 32]));
        // A link where an excerpt begins says nothing that could be proven: its `previous` is not known.
        if let Some(before) = before {
            if self.accounts.is_empty() {
                return Err(bad(seq, "nothing here says whose chain its link belongs to"));
            }
            self.accounts.retain(|account| hex(&hash_of(*account, seq, &before, &body)) == text("hash"));
            if self.accounts.is_empty() {
                return Err(bad(seq, "its link does not match its hash"));
            }
        }
        self.done.links += 1;
        self.stands(seq, text("hash"))
    }

    /// The record's `seq`, if it is the one that is due.
    fn in_order(&self, fields: &Map<String, Value>) -> Result<u64, FirstBad> {
        let due = self.due();
        let Some(seq) = fields.get("seq").and_then(Value::as_u64) else {
            return Err(bad(due.unwrap_or_default(), "its `seq` is not a number"));
        };
        match due {
            Some(due) if seq > due => Err(bad(due, format!("it is missing, or stands elsewhere; entry {seq} is in its place"))),
            Some(due) if seq < due => Err(bad(seq, format!("it stands where entry {due} belongs"))),
            None if seq == 0 => Err(bad(0, "a chain begins at 1")),
            _ => Ok(seq),
        }
    }

    fn stands(&mut self, seq: u64, hash: &str) -> Result<(), FirstBad> {
        let Some(hash) = unhex(hash) else { return Err(bad(seq, "`hash` is not 32 bytes in hex")) };
        if let Some(expected) = self.expected.filter(|expected| expected.seq == seq) {
            if expected.hash != hash {
                return Err(bad(seq, "it is not the entry that was known: the history was rewritten"));
            }
            self.is_met = true;
        }
        self.done.first.get_or_insert(seq);
        self.done.last = Some(Place { seq, hash });
        Ok(())
    }
}

/// Whose chain the entry on this line belongs to, or whose workspace is on it.
#[must_use]
pub fn account_in(line: &[u8]) -> Option<Uuid> {
    let fields = strict::object(line).ok()?;
    let record = fields.get("record").and_then(Value::as_object).unwrap_or(&fields);
    record.get("account_id")?.as_str()?.parse().ok()
}

/// Records of an export say what they are, and stand under `record`; entries of a list are lines themselves.
fn record(line: &[u8]) -> Result<Record, String> {
    let mut fields = strict::object(line)?;
    let kind = fields.get("type").and_then(Value::as_str).map(str::to_owned);
    let record = match fields.remove("record") {
        Some(Value::Object(record)) if kind.is_some() => record,
        _ => Map::new(),
    };
    match kind.as_deref() {
        Some("audit_entry") => Ok(Record::Entry(record, true)),
        Some("audit_link") => Ok(Record::Link(record, true)),
        Some("end") => Ok(Record::End),
        Some(_) => Ok(Record::Other),
        None if fields.contains_key("previous") => Ok(Record::Entry(fields, false)),
        None if fields.contains_key("body_sha256") => Ok(Record::Link(fields, false)),
        None => Err("what stands in its place is no audit entry".to_owned()),
    }
}

/// Proves that one account's entries, in the order of the chain and without gaps, are as they were sealed; from the chain's
/// start if they begin at `seq` 1, otherwise from where they begin.
///
/// # Errors
/// Names the first entry that was changed, moved or lost.
pub fn verify<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<(), FirstBad> {
    let mut entries = entries.into_iter().peekable();
    let begins = entries.peek().map_or(1, |entry| entry.seq);
    let mut verifier = if begins == 1 { Verifier::new() } else { Verifier::of_excerpt() };
    entries.try_for_each(|entry| verifier.entry(entry))
}

#[cfg(test)]
mod tests;
