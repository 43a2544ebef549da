//! Idempotency keys, and the answers that are stored under them.

use serde_json::Value;
use uuid::Uuid;

use crate::Principal;

/// A request's `Idempotency-Key` with all that scopes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The nil uuid for requests about no account.
    pub account_id: Uuid,
    pub principal: Principal,
    pub on_behalf_of: Option<Principal>,
    pub method: String,
    /// The concrete path.
    pub path: String,
    pub key: String,
    /// SHA-256 over query and body.
    pub fingerprint: Vec<u8>,
}

/// A 2xx answer as it is replayed.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub body: Value,
}

/// The key and the answer that the mutation will give if it commits: both are stored in the mutation's transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Idempotency {
    pub key: IdempotencyKey,
    pub answer: Answer,
}

/// How the key took a mutation.
#[derive(Debug, Clone, PartialEq)]
pub enum Written<T> {
    Done(T),
    Replayed(Answer),
    /// Same key, other query or body.
    KeyReused,
    /// Another request with this key was still at work after 5 s.
    KeyBusy,
}
