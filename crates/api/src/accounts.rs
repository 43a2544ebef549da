//! Accounts on the wire.

pub mod audit;
pub mod create;
pub mod get;
pub mod list;
pub mod members;
pub mod settings;

use domain::model;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::me::PrincipalBody;
use crate::timestamp::Timestamp;

/// A tenant that owns workspaces.
#[derive(Serialize, ToSchema)]
pub struct Account {
    id: Uuid,
    #[schema(examples("Acme"))]
    name: String,
    /// A label made from the name; not unique.
    #[schema(examples("acme"))]
    slug: String,
    #[schema(inline)]
    status: AccountStatus,
    created_by: PrincipalBody,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountStatus {
    Provisioning,
    Active,
    Failed,
}

impl From<model::Account> for Account {
    fn from(account: model::Account) -> Self {
        Self {
            id: account.id,
            name: account.name,
            slug: account.slug,
            status: match account.status {
                model::AccountStatus::Provisioning => AccountStatus::Provisioning,
                model::AccountStatus::Active => AccountStatus::Active,
                model::AccountStatus::Failed => AccountStatus::Failed,
            },
            created_by: account.created_by.into(),
            created_at: account.created_at.into(),
        }
    }
}
