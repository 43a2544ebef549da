//! How things are spelled in tables: the engine's enums as they are on the wire, digests in hex.

use domain::{Principal, PrincipalKind};
use serde::Serialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer as _};
use serde_json::Value;

use crate::db::{Cells, Error, Row};

/// The one word that a plain enum serializes to.
pub(crate) fn spell(word: impl Serialize) -> String {
    match serde_json::to_value(word) {
        Ok(Value::String(word)) => word,
        other => unreachable!("a plain enum serializes to a string, not {other:?}"),
    }
}

pub(crate) fn read<T: DeserializeOwned>(word: &str) -> Option<T> {
    let word: StrDeserializer<'_, serde::de::value::Error> = word.into_deserializer();
    T::deserialize(word).ok()
}

/// The principal in the columns `{prefix}_kind` and `{prefix}_id`.
pub(crate) fn principal(row: &Row, prefix: &str) -> Result<Principal, Error> {
    Ok(Principal {
        kind: row.word(format!("{prefix}_kind").as_str(), PrincipalKind::parse)?,
        id: row.get(format!("{prefix}_id").as_str())?,
    })
}

/// The principal in the next two of a row's cells: its kind, and its id.
pub(crate) fn next_principal(cells: &mut Cells<'_>) -> Result<Principal, Error> {
    Ok(Principal { kind: cells.word(PrincipalKind::parse)?, id: cells.get()? })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        text.extend([digit(byte >> 4), digit(byte & 0xf)]);
        text
    })
}
