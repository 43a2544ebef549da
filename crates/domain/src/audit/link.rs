//! What a reader needs of an entry that he may not see, to follow a chain across it.
//!
//! A workspace's export in NDJSON holds the workspace's own entries whole and the account's other entries as links, in the
//! order of the chain:
//!
//! ```text
//! {"type":"audit_entry","record":{"id":…,"seq":7,…,"previous":…,"hash":…}}
//! {"type":"audit_link","record":{"seq":8,"body_sha256":…,"hash":…}}
//! ```
//!
//! A link's `hash` is proven from `body_sha256` and the `hash` of the line before; the account is that of the entries.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Entry, chain};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub seq: u64,
    /// SHA-256 in hex over the entry's body, which tells nothing of it.
    pub body_sha256: String,
    pub hash: String,
}

impl Link {
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        Self { seq: entry.seq, body_sha256: chain::hex(&chain::body_sha256_of(entry)), hash: entry.hash.clone() }
    }

    /// The link of entry `seq` as it is stored. One that was tampered with gets a link that proves nothing: whoever follows
    /// the chain finds it there.
    #[must_use]
    pub fn of_stored(seq: u64, text: &str) -> Self {
        let fields: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        let hash = fields.get("hash").and_then(Value::as_str).unwrap_or_default().to_owned();
        let body = chain::body_sha256(fields).unwrap_or_else(|_| Sha256::digest(text).into());
        Self { seq, body_sha256: chain::hex(&body), hash }
    }
}

#[cfg(test)]
mod tests {
    use saga::Time;

    use super::*;
    use crate::audit::{Draft, Personal, seal};
    use crate::ids::PLATFORM;

    struct NoIds;

    impl crate::ports::Ids for NoIds {
        fn account(&self) -> uuid::Uuid {
            PLATFORM
        }
        fn within(&self, _: uuid::Uuid) -> uuid::Uuid {
            PLATFORM
        }
        fn free(&self) -> uuid::Uuid {
            PLATFORM
        }
        fn key(&self) -> [u8; 32] {
            [7; 32]
        }
    }

    #[test]
    fn a_link_proves_its_hash_without_the_entry() {
        let mut draft = Draft::by_berth(&NoIds, PLATFORM, None, "workspace.create");
        draft.user_agent = Some(Personal::new("curl", [9; 32]));
        let previous = [3; 32];
        let (entry, hash) = seal(&draft, 5, Time::from_micros(1), &previous);
        let link = Link::of(&entry);
        let body: Vec<u8> =
            link.body_sha256.as_bytes().chunks(2).map(|c| u8::from_str_radix(std::str::from_utf8(c).unwrap(), 16).unwrap()).collect();
        let expected = Sha256::new()
            .chain_update(b"berth.audit.v1\n")
            .chain_update(PLATFORM.as_bytes())
            .chain_update(5_u64.to_be_bytes())
            .chain_update(previous)
            .chain_update(body)
            .finalize();
        assert_eq!((link.seq, link.hash.as_str()), (5, chain::hex(&expected).as_str()));
        assert_eq!(hash, expected.as_slice());
        assert_eq!(
            Link::of(&Entry { user_agent: entry.user_agent.as_ref().map(Personal::erased), ..entry.clone() }),
            link,
            "erasure changes no link"
        );
    }

    #[test]
    fn a_stored_entry_gives_the_same_link_unless_it_was_tampered_with() {
        let mut draft = Draft::by_berth(&NoIds, PLATFORM, None, "workspace.create");
        draft.user_agent = Some(Personal::new("curl", [9; 32]));
        let (entry, _) = seal(&draft, 5, Time::from_micros(1), &[3; 32]);
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(Link::of_stored(5, &text), Link::of(&entry));
        for changed in [text.replace("curl", "wget"), text.replace("workspace.create", "workspace.delete"), "no entry".to_owned()] {
            assert_ne!(Link::of_stored(5, &changed).body_sha256, Link::of(&entry).body_sha256, "{changed}");
        }
    }
}
