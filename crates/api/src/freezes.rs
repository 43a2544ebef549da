//! Freezes on the wire.

use domain::model;
use serde::Serialize;
use utoipa::ToSchema;

use crate::me::PrincipalBody;
use crate::timestamp::Timestamp;

/// A reason for which a workspace is shut. A workspace is frozen while one is in force.
#[derive(Serialize, ToSchema)]
pub struct Freeze {
    #[schema(inline)]
    source: FreezeSource,
    #[schema(inline)]
    mode: FreezeMode,
    reason: FreezeReason,
    created_by: PrincipalBody,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// From then on it is in force no more; absent if it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    expires_at: Option<Timestamp>,
}

/// Who shuts the workspace; each source has at most one freeze, and lifts only its own.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FreezeSource {
    AccountAdmin,
    Billing,
    Platform,
    Security,
    Legal,
    Deletion,
}

/// `read_only` stops changes; `blocked` stops reads as well, but for administrators.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FreezeMode {
    ReadOnly,
    Blocked,
}

/// Why; gives no right.
#[derive(Serialize, ToSchema)]
pub struct FreezeReason {
    #[schema(examples("unpaid_invoice"))]
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, examples("Second reminder of 1 November"))]
    note: Option<String>,
}

impl From<model::Freeze> for Freeze {
    fn from(freeze: model::Freeze) -> Self {
        Self {
            source: match freeze.source {
                model::FreezeSource::AccountAdmin => FreezeSource::AccountAdmin,
                model::FreezeSource::Billing => FreezeSource::Billing,
                model::FreezeSource::Platform => FreezeSource::Platform,
                model::FreezeSource::Security => FreezeSource::Security,
                model::FreezeSource::Legal => FreezeSource::Legal,
                model::FreezeSource::Deletion => FreezeSource::Deletion,
            },
            mode: match freeze.mode {
                model::FreezeMode::ReadOnly => FreezeMode::ReadOnly,
                model::FreezeMode::Blocked => FreezeMode::Blocked,
            },
            reason: FreezeReason { code: freeze.code, note: freeze.note },
            created_by: freeze.created_by.into(),
            created_at: freeze.created_at.into(),
            expires_at: freeze.expires_at.map(Timestamp::from),
        }
    }
}
