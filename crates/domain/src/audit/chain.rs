//! The hash that chains entries: how an entry gets its place, and what of it is hashed.
//!
//! Erasing a personal value (its `value` and `key`) leaves every hash as it was, because only the value's HMAC is hashed.

use hmac::{Hmac, KeyInit, Mac};
use saga::Time;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Draft, Entry, Personal};

const SCHEMA_VERSION: u32 = 1;
const DOMAIN_SEPARATOR: &[u8] = b"berth.audit.v1\n";
/// The fields that hold values about a person, by their names on the wire.
const PERSONAL: [&str; 3] = ["source_ip", "user_agent", "reason"];

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
    let hash = hash_of(entry.account_id, seq, previous, &body_sha256_of(&entry));
    entry.hash = hex(&hash);
    (entry, hash)
}

/// The hash that an entry with this body has behind `previous`.
pub(super) fn hash_of(account: Uuid, seq: u64, previous: &[u8; 32], body_sha256: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update(DOMAIN_SEPARATOR)
        .chain_update(account.as_bytes())
        .chain_update(seq.to_be_bytes())
        .chain_update(previous)
        .chain_update(body_sha256)
        .finalize()
        .into()
}

/// The entry as its reader gets it.
pub(super) fn fields(entry: &Entry) -> Map<String, Value> {
    match serde_json::to_value(entry) {
        Ok(Value::Object(fields)) => fields,
        other => unreachable!("an entry has string keys and finite numbers only: {other:?}"),
    }
}

/// SHA-256 of a sealed entry's body.
pub(super) fn body_sha256_of(entry: &Entry) -> [u8; 32] {
    body_sha256(fields(entry)).unwrap_or_else(|why| unreachable!("a sealed entry has a body: {why}"))
}

/// SHA-256 of the body: the RFC 8785 form of all fields without `previous` and `hash`, personal values as their HMACs.
///
/// It is made from the fields as they stand, those that this version does not know included, so that nothing can be added
/// to an entry or taken from it unnoticed, and entries of a later version verify as well.
pub(super) fn body_sha256(fields: Map<String, Value>) -> Result<[u8; 32], &'static str> {
    Ok(Sha256::digest(body(fields)?).into())
}

fn body(mut fields: Map<String, Value>) -> Result<Vec<u8>, &'static str> {
    fields.remove("previous");
    fields.remove("hash");
    for name in PERSONAL {
        let Some(value) = fields.get_mut(name).filter(|value| !value.is_null()) else { continue };
        let personal = exactly_personal(value).ok_or("a personal value is not `value`, `key` and `hmac`")?;
        if !personal.holds() {
            return Err("a personal value does not match its HMAC");
        }
        *value = Value::String(personal.hmac);
    }
    serde_json_canonicalizer::to_vec(&Value::Object(fields)).map_err(|_| "it has no RFC 8785 form")
}

/// Nothing may stand beside the three members: it would not be hashed.
fn exactly_personal(value: &Value) -> Option<Personal> {
    (value.as_object()?.len() == 3).then(|| Personal::deserialize(value).ok()).flatten()
}

fn hmac(key: &[u8; 32], value: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length").chain_update(value.as_bytes());
    hex(&mac.finalize().into_bytes())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

/// 32 bytes from their one spelling, in lower case: another one is a change.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |d: u8| match d {
            b'0'..=b'9' => Some(d - b'0'),
            b'a'..=b'f' => Some(d - b'a' + 10),
            _ => None,
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
pub(super) mod tests;
