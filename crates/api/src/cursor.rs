//! Opaque keyset cursors: where the next page starts, bound to the list and its filters.
//!
//! base64url of a version byte, eight bytes of a hash over path and filters, and the key. A cursor gives no right:
//! rights and filters are applied to every page again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

const VERSION: u8 = 1;

/// The key after which a page starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Id(Uuid),
    Seq(u64),
}

/// What a list's cursors are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding([u8; 8]);

impl Binding {
    /// Over the concrete path and the filters, whatever their order in the query.
    #[must_use]
    pub fn new(path: &str, filters: &[(String, String)]) -> Self {
        let mut filters: Vec<_> = filters.iter().collect();
        filters.sort();
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text.as_bytes());
        };
        part(path);
        for (name, value) in filters {
            part(name);
            part(value);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut bound = [0; 8];
        bound.copy_from_slice(&digest[..8]);
        Self(bound)
    }
}

#[must_use]
pub fn encode(key: Key, binding: Binding) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(binding.0);
    match key {
        Key::Id(id) => bytes.extend(id.as_bytes()),
        Key::Seq(seq) => bytes.extend(seq.to_be_bytes()),
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `None` for what [`encode`] did not make for this binding.
#[must_use]
pub fn decode(text: &str, binding: Binding) -> Option<Key> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let key = bytes.strip_prefix(&[VERSION])?.strip_prefix(&binding.0)?;
    match key.len() {
        16 => Uuid::from_slice(key).ok().map(Key::Id),
        8 => Some(Key::Seq(u64::from_be_bytes(key.try_into().ok()?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn a_cursor_comes_back_as_the_key_it_was_made_of() {
        let binding = Binding::new("/v1/workspaces", &[]);
        for key in [Key::Id(Uuid::from_u128(42)), Key::Seq(u64::MAX)] {
            assert_eq!(decode(&encode(key, binding), binding), Some(key));
        }
    }

    #[test]
    fn a_cursor_serves_no_other_list_and_no_other_filter() {
        let made = Binding::new("/v1/workspaces", &filters(&[("region", "eu"), ("status", "active")]));
        let cursor = encode(Key::Id(Uuid::nil()), made);
        let same = Binding::new("/v1/workspaces", &filters(&[("status", "active"), ("region", "eu")]));
        assert!(decode(&cursor, same).is_some(), "the order of the parameters does not matter");
        for other in [
            Binding::new("/v1/accounts", &filters(&[("region", "eu"), ("status", "active")])),
            Binding::new("/v1/workspaces", &filters(&[("region", "us"), ("status", "active")])),
            Binding::new("/v1/workspaces", &filters(&[("region", "eustatus"), ("", "active")])),
            Binding::new("/v1/workspaces", &[]),
        ] {
            assert_eq!(decode(&cursor, other), None);
        }
    }

    #[test]
    fn nonsense_is_no_cursor() {
        let binding = Binding::new("/v1/workspaces", &[]);
        for text in ["", "AQ", "%%%", "é", &"A".repeat(10_000)] {
            assert_eq!(decode(text, binding), None, "{text:.20}");
        }
        let mut other_version = URL_SAFE_NO_PAD.decode(encode(Key::Seq(1), binding)).unwrap();
        other_version[0] = 2;
        assert_eq!(decode(&URL_SAFE_NO_PAD.encode(other_version), binding), None);
    }
}
