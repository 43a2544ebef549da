//! The audit log's entries and the hash that chains them.
//!
//! `hash = SHA-256("berth.audit.v1\n" ‖ account (16 bytes) ‖ seq (u64 BE) ‖ previous (32) ‖ SHA-256(body))`, where
//! `body` is the RFC 8785 form of the entry without `previous` and `hash`, each personal value replaced by
//! hex HMAC-SHA-256(key, value). The key stands beside the value and is erased with it, so that erasure breaks no chain.

mod chain;
pub mod denials;
mod draft;
mod link;
pub mod read;
mod verify;

pub use chain::seal;
pub use link::Link;
pub use verify::{FirstBad, Place, Verified, Verifier, account_in, verify};

use saga::{RunId, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::Principal;

/// A value about a person. Erased: `value` and `key` are gone, `hmac` stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Personal {
    pub value: Option<String>,
    /// 32 bytes in hex.
    pub key: Option<String>,
    /// HMAC-SHA-256(key, value) in hex.
    pub hmac: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Actor {
    #[serde(flatten)]
    pub principal: Principal,
    pub on_behalf_of: Option<Principal>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: Uuid,
}

/// An entry before it has its place in the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub id: Uuid,
    /// Whose chain; the nil uuid is the platform's.
    pub account_id: Uuid,
    pub workspace_id: Option<Uuid>,
    pub actor: Option<Actor>,
    pub credential_id: Option<String>,
    pub source_ip: Option<Personal>,
    pub user_agent: Option<Personal>,
    /// Such as `workspace.create`.
    pub action: String,
    pub targets: Vec<Target>,
    /// `accepted`, `succeeded`, `failed`, `denied`, …
    pub outcome: String,
    pub problem_type: Option<String>,
    pub request_id: Option<String>,
    pub trace_id: Option<String>,
    pub run_id: Option<RunId>,
    pub step: Option<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub reason: Option<Personal>,
    /// SHA-256 in hex over a run's journal, in the entry that closes it.
    pub journal_sha256: Option<String>,
}

/// An entry in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub id: Uuid,
    pub account_id: Uuid,
    pub workspace_id: Option<Uuid>,
    pub seq: u64,
    pub occurred_at: Time,
    pub actor: Option<Actor>,
    pub credential_id: Option<String>,
    pub source_ip: Option<Personal>,
    pub user_agent: Option<Personal>,
    pub action: String,
    /// 1.
    pub schema_version: u32,
    pub targets: Vec<Target>,
    pub outcome: String,
    pub problem_type: Option<String>,
    pub request_id: Option<String>,
    pub trace_id: Option<String>,
    pub run_id: Option<RunId>,
    pub step: Option<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub reason: Option<Personal>,
    pub journal_sha256: Option<String>,
    /// Hash of the entry before, in hex; 64 zeros for the first.
    pub previous: String,
    pub hash: String,
}
