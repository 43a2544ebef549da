//! Service accounts and their secrets on the wire.

pub mod add_secret;
pub mod create;
pub mod delete_secret;
pub mod disable;
pub mod list;
pub mod secrets;

use domain::ports;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::me::PrincipalBody;
use crate::timestamp::Timestamp;

/// A program's principal. It belongs to an account, and may do what its roles allow.
#[derive(Serialize, ToSchema)]
pub struct ServiceAccount {
    /// Its `client_id`, and its id where it is made a member.
    id: Uuid,
    account_id: Uuid,
    #[schema(examples("deploy"))]
    name: String,
    #[schema(inline)]
    status: ServiceAccountStatus,
    created_by: PrincipalBody,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    disabled_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceAccountStatus {
    Active,
    Disabled,
}

impl From<ports::ServiceAccount> for ServiceAccount {
    fn from(stored: ports::ServiceAccount) -> Self {
        Self {
            id: stored.id,
            account_id: stored.account_id,
            name: stored.name,
            status: if stored.disabled_at.is_some() { ServiceAccountStatus::Disabled } else { ServiceAccountStatus::Active },
            created_by: stored.created_by.into(),
            created_at: stored.created_at.into(),
            disabled_at: stored.disabled_at.map(Timestamp),
        }
    }
}

/// One of a service account's secrets, without the secret.
#[derive(Serialize, ToSchema)]
pub struct ClientSecret {
    id: Uuid,
    service_account_id: Uuid,
    created_by: PrincipalBody,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// From then on no token is got with it; null: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When a token was last got with it, to within ten minutes.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

impl From<ports::ClientSecret> for ClientSecret {
    fn from(stored: ports::ClientSecret) -> Self {
        Self {
            id: stored.id,
            service_account_id: stored.service_account_id,
            created_by: stored.created_by.into(),
            created_at: stored.created_at.into(),
            expires_at: stored.expires_at.map(Timestamp),
            last_used_at: stored.last_used_at.map(Timestamp),
        }
    }
}
