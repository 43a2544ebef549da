//! How things are spelled in tables: the engine's enums as they are on the wire, digests in hex.

use domain::{Principal, PrincipalKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::db::{Error, Row};

/// The one word that a plain enum serializes to.
pub(crate) fn spell(word: impl Serialize) -> String {
    match serde_json::to_value(word) {
        Ok(Value::String(word)) => word,
        other => unreachable!("a plain enum serializes to a string, not {other:?}"),
    }
}

pub(crate) fn read<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(Value::String(word.to_owned())).ok()
}

/// The principal in the columns `{prefix}_kind` and `{prefix}_id`.
pub(crate) fn principal(row: &Row, prefix: &str) -> Result<Principal, Error> {
    Ok(Principal { kind: row.word(&format!("{prefix}_kind"), PrincipalKind::parse)?, id: row.get(&format!("{prefix}_id"))? })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        text.extend([digit(byte >> 4), digit(byte & 0xf)]);
        text
    })
}
