//! The hash that chains entries: how an entry gets its place, and how a reader proves that none was changed.
//!
//! Erasing a personal value (its `value` and `key`) leaves every hash as it was, because only the value's HMAC is hashed.

use hmac::{Hmac, KeyInit, Mac};
use saga::Time;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Draft, Entry, Personal};

const SCHEMA_VERSION: u32 = 1;
const DOMAIN_SEPARATOR: &[u8] = b"berth.audit.v1\n";

impl Personal {
    /// `value` under a key of its own. The key must be fresh randomness: a known one would let anyone guess at the value
    /// after its erasure.
    #[must_use]
    pub fn new(value: &str, key: [u8; 32]) -> Self {
        Self { hmac: hmac(&key, value), value: Some(value.to_owned()), key: Some(hex(&key)) }
    }

    /// The same without what could tell the value.
    #[must_use]
    pub fn erased(&self) -> Self {
        Self { value: None, key: None, hmac: self.hmac.clone() }
    }

    /// Whether `value` and `key`, where they are still there, give the HMAC that was hashed.
    fn holds(&self) -> bool {
        match (&self.value, &self.key) {
            (Some(value), Some(key)) => unhex(key).is_some_and(|key| hmac(&key, value) == self.hmac),
            (None, None) => true,
            _ => false,
        }
    }
}

/// The entry that `draft` becomes at `seq` of its account's chain, and its hash: `previous` of the entry after it.
///
/// `previous` is all zeros for the first entry; `seq` counts from 1.
#[must_use]
pub fn seal(draft: &Draft, seq: u64, occurred_at: Time, previous: &[u8; 32]) -> (Entry, [u8; 32]) {
    let draft = draft.clone();
    let mut entry = Entry {
        id: draft.id,
        account_id: draft.account_id,
        workspace_id: draft.workspace_id,
        seq,
        occurred_at,
        actor: draft.actor,
        credential_id: draft.credential_id,
        source_ip: draft.source_ip,
        user_agent: draft.user_agent,
        action: draft.action,
        schema_version: SCHEMA_VERSION,
        targets: draft.targets,
        outcome: draft.outcome,
        problem_type: draft.problem_type,
        request_id: draft.request_id,
        trace_id: draft.trace_id,
        run_id: draft.run_id,
        step: draft.step,
        before: draft.before,
        after: draft.after,
        reason: draft.reason,
        journal_sha256: draft.journal_sha256,
        previous: hex(previous),
        hash: String::new(),
    };
    let hash = hash_of(&entry, previous);
    entry.hash = hex(&hash);
    (entry, hash)
}

/// The first entry of a chain that is not as it was sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {seq}: {why}")]
pub struct FirstBad {
    pub seq: u64,
    pub why: &'static str,
}

/// Proves that one account's entries, in the order of the chain and without gaps, are as they were sealed.
///
/// Entries that begin at `seq` 1 are proven from the chain's start; a later beginning is taken on trust. Missing entries
/// at the end cannot be seen here.
///
/// # Errors
/// Names the first entry that was changed, moved or lost.
pub fn verify<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<(), FirstBad> {
    let mut last: Option<&Entry> = None;
    for entry in entries {
        let bad = |why| Err(FirstBad { seq: entry.seq, why });
        let expected = match last {
            Some(last) if last.account_id != entry.account_id => return bad("it belongs to another account's chain"),
            Some(last) if entry.seq != last.seq + 1 => return bad("the entry before it is missing, or it is out of order"),
            Some(last) => Some(last.hash.clone()),
            None if entry.seq == 0 => return bad("a chain begins at 1"),
            None if entry.seq == 1 => Some(hex(&[0; 32])),
            None => None,
        };
        if expected.is_some_and(|expected| expected != entry.previous) {
            return bad("`previous` is not the hash of the entry before it");
        }
        let Some(previous) = unhex(&entry.previous) else { return bad("`previous` is not 32 bytes in hex") };
        if !personal(entry).into_iter().filter_map(|(_, value)| value.as_ref()).all(Personal::holds) {
            return bad("a personal value does not match its HMAC");
        }
        if hex(&hash_of(entry, &previous)) != entry.hash {
            return bad("its content does not match its hash");
        }
        last = Some(entry);
    }
    Ok(())
}

/// The fields that hold values about a person, by their names on the wire.
fn personal(entry: &Entry) -> [(&'static str, &Option<Personal>); 3] {
    [("source_ip", &entry.source_ip), ("user_agent", &entry.user_agent), ("reason", &entry.reason)]
}

fn hash_of(entry: &Entry, previous: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update(DOMAIN_SEPARATOR)
        .chain_update(entry.account_id.as_bytes())
        .chain_update(entry.seq.to_be_bytes())
        .chain_update(previous)
        .chain_update(body_sha256(entry))
        .finalize()
        .into()
}

/// SHA-256 over the entry's body.
pub(super) fn body_sha256(entry: &Entry) -> [u8; 32] {
    Sha256::digest(body(entry)).into()
}

/// The RFC 8785 form of the entry without `previous` and `hash`, personal values as their HMACs.
fn body(entry: &Entry) -> Vec<u8> {
    let mut body = serde_json::to_value(entry).expect("an entry has string keys and finite numbers only");
    let fields = body.as_object_mut().expect("an entry is a JSON object");
    fields.remove("previous");
    fields.remove("hash");
    for (name, value) in personal(entry) {
        if let Some(value) = value {
            fields.insert(name.to_owned(), Value::String(value.hmac.clone()));
        }
    }
    serde_json_canonicalizer::to_vec(&body).expect("every JSON value has an RFC 8785 form")
}

fn hmac(key: &[u8; 32], value: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length").chain_update(value.as_bytes());
    hex(&mac.finalize().into_bytes())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
