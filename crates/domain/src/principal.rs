//! Who acts.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    User,
    ServiceAccount,
}

impl PrincipalKind {
    /// The object type in the permission schema, and the value in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServiceAccount => "service_account",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "user" => Some(Self::User),
            "service_account" => Some(Self::ServiceAccount),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Principal {
    #[serde(rename = "type")]
    pub kind: PrincipalKind,
    pub id: Uuid,
}

/// An authenticated request's principal, and what the audit log wants to know of the request.
#[derive(Debug, Clone)]
pub struct Caller {
    pub principal: Principal,
    /// The user for whom a service account acts: both must hold a right, and both are audited.
    pub on_behalf_of: Option<Principal>,
    /// The only workspace that the token is good for: on everything else the caller has no right, whoever it is.
    pub workspace: Option<Uuid>,
    /// The id (`jti`) of the token, never the token.
    pub credential_id: Option<String>,
    pub source_ip: Option<IpAddr>,
    pub user_agent: Option<String>,
    pub request_id: String,
    /// W3C `traceparent` of the request's span.
    pub traceparent: Option<String>,
}

impl Caller {
    /// All who must hold a right for this request to have it.
    pub fn principals(&self) -> impl Iterator<Item = Principal> + use<> {
        [Some(self.principal), self.on_behalf_of].into_iter().flatten()
    }
}
