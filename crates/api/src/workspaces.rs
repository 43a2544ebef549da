//! Workspaces on the wire.

pub mod audit;
pub mod by_account;
pub mod create;
pub mod environments;
pub mod get;
pub mod list;
pub mod pillars;

use domain::model;
use domain::ports::WorkspaceFilter;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::query::Query;
use crate::timestamp::Timestamp;

/// An isolation boundary in an account.
#[derive(Serialize, ToSchema)]
pub struct Workspace {
    id: Uuid,
    account_id: Uuid,
    #[schema(examples("Sales Europe"))]
    name: String,
    /// Unique among the account's live workspaces.
    #[schema(examples("sales-europe"))]
    slug: String,
    #[schema(inline)]
    status: WorkspaceStatus,
    #[schema(examples("local"))]
    region: String,
    #[schema(inline)]
    tenancy_model: TenancyModel,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceStatus {
    Provisioning,
    Active,
    Failed,
    Deleted,
}

impl From<model::WorkspaceStatus> for WorkspaceStatus {
    fn from(status: model::WorkspaceStatus) -> Self {
        match status {
            model::WorkspaceStatus::Provisioning => Self::Provisioning,
            model::WorkspaceStatus::Active => Self::Active,
            model::WorkspaceStatus::Failed => Self::Failed,
            // That a deleted workspace's leftovers are being dropped is nobody's business but the operator's.
            model::WorkspaceStatus::Deleted | model::WorkspaceStatus::Purging => Self::Deleted,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TenancyModel {
    Shared,
    Dedicated,
}

impl From<model::TenancyModel> for TenancyModel {
    fn from(tenancy: model::TenancyModel) -> Self {
        match tenancy {
            model::TenancyModel::Shared => Self::Shared,
            model::TenancyModel::Dedicated => Self::Dedicated,
        }
    }
}

impl From<model::Workspace> for Workspace {
    fn from(workspace: model::Workspace) -> Self {
        Self {
            id: workspace.id,
            account_id: workspace.account_id,
            name: workspace.name,
            slug: workspace.slug,
            status: workspace.status.into(),
            region: workspace.region,
            tenancy_model: workspace.tenancy_model.into(),
            created_at: workspace.created_at.into(),
            updated_at: workspace.updated_at.into(),
        }
    }
}

/// The filters of lists of workspaces.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `filter` takes")]
pub struct Filters {
    /// Only workspaces of this status.
    #[param(inline, nullable = false, required = false)]
    status: Option<FilterStatus>,
    /// Only workspaces of this region.
    #[param(min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", nullable = false, required = false)]
    region: Option<String>,
    /// Only workspaces whose name holds this text, whatever the case.
    #[param(min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", nullable = false, required = false)]
    name_contains: Option<String>,
    /// Only workspaces created after this time.
    #[param(value_type = String, format = DateTime, nullable = false, required = false)]
    created_after: Option<String>,
    /// Only workspaces created before this time.
    #[param(value_type = String, format = DateTime, nullable = false, required = false)]
    created_before: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `filter` takes")]
pub enum FilterStatus {
    Provisioning,
    Active,
    Failed,
}

fn filter(query: &mut Query) -> WorkspaceFilter {
    use model::WorkspaceStatus::{Active, Failed, Provisioning};
    WorkspaceFilter {
        status: query.parsed("status", "one of `provisioning`, `active`, `failed`", |t| {
            model::WorkspaceStatus::parse(t).filter(|s| [Provisioning, Active, Failed].contains(s))
        }),
        region: query.text("region"),
        name_contains: query.text("name_contains"),
        created_after: query.time("created_after"),
        created_before: query.time("created_before"),
    }
}
