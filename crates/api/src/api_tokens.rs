//! Long-lived tokens on the wire.

pub mod create;
pub mod list;
pub mod revoke;

use domain::ports;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::timestamp::Timestamp;

/// A long-lived token, without the token.
#[derive(Serialize, ToSchema)]
pub struct ApiToken {
    id: Uuid,
    #[schema(examples("nightly export"))]
    name: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// To within ten minutes.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

impl From<ports::ApiToken> for ApiToken {
    fn from(stored: ports::ApiToken) -> Self {
        Self {
            id: stored.id,
            name: stored.name,
            created_at: stored.created_at.into(),
            expires_at: stored.expires_at.into(),
            last_used_at: stored.last_used_at.map(Timestamp),
        }
    }
}
