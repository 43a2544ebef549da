//! Workspaces on the wire.

pub mod audit;
pub mod by_account;
pub mod by_name;
pub mod create;
pub mod delete;
pub mod environments;
pub mod export;
pub mod get;
pub mod labels;
pub mod list;
pub mod members;
pub mod pillars;
pub mod restore;
pub mod status;
pub mod update;

use domain::labels::Labels;
use domain::model;
use domain::ports::WorkspaceFilter;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::freezes::Freeze;
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
    #[schema(schema_with = labels::labels)]
    labels: Labels,
    /// While it is set the workspace cannot be deleted.
    termination_protection: bool,
    /// The freezes in force.
    freezes: Vec<Freeze>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// Of a deleted workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    deleted_at: Option<Timestamp>,
    /// Of a deleted workspace: from then on it is purged, and cannot be restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, nullable = false)]
    purge_at: Option<Timestamp>,
}

/// `frozen` is an active workspace while a freeze is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceStatus {
    Provisioning,
    Active,
    Frozen,
    Failed,
    Deleted,
}

impl From<&model::Workspace> for WorkspaceStatus {
    fn from(workspace: &model::Workspace) -> Self {
        match workspace.status {
            model::WorkspaceStatus::Provisioning => Self::Provisioning,
            model::WorkspaceStatus::Active if !workspace.freezes.is_empty() => Self::Frozen,
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
            status: (&workspace).into(),
            id: workspace.id,
            account_id: workspace.account_id,
            name: workspace.name,
            slug: workspace.slug,
            region: workspace.region,
            tenancy_model: workspace.tenancy_model.into(),
            labels: workspace.labels,
            termination_protection: workspace.termination_protection,
            freezes: workspace.freezes.into_iter().map(Freeze::from).collect(),
            created_at: workspace.created_at.into(),
            updated_at: workspace.updated_at.into(),
            deleted_at: workspace.deleted_at.map(Timestamp::from),
            purge_at: workspace.purge_at.map(Timestamp::from),
        }
    }
}

/// The filters of lists of workspaces, but for their status.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `filter` takes")]
pub struct Filters {
    /// Only workspaces of this region.
    #[param(min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", nullable = false, required = false)]
    region: Option<String>,
    /// Only workspaces whose name holds this text, whatever the case.
    #[param(min_length = 1, max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", nullable = false, required = false)]
    name_contains: Option<String>,
    #[param(schema_with = labels::filters, nullable = false, required = false)]
    label: Option<Vec<String>>,
    /// Only workspaces created after this time.
    #[param(value_type = String, format = DateTime, nullable = false, required = false)]
    created_after: Option<String>,
    /// Only workspaces created before this time.
    #[param(value_type = String, format = DateTime, nullable = false, required = false)]
    created_before: Option<String>,
}

/// The statuses that a list takes, as they are spelled.
type Statuses = [(&'static str, model::WorkspaceStatus, Option<bool>)];

/// Of the caller's own workspaces.
const STATUSES: &Statuses = &[
    ("provisioning", model::WorkspaceStatus::Provisioning, None),
    ("active", model::WorkspaceStatus::Active, Some(false)),
    ("frozen", model::WorkspaceStatus::Active, Some(true)),
    ("failed", model::WorkspaceStatus::Failed, None),
];

fn filter(query: &mut Query, statuses: &Statuses) -> WorkspaceFilter {
    let words: Vec<_> = statuses.iter().map(|(word, ..)| format!("`{word}`")).collect();
    let chosen = query.parsed("status", &format!("one of {}", words.join(", ")), |t| statuses.iter().find(|(word, ..)| *word == t));
    WorkspaceFilter {
        status: chosen.map(|(_, status, _)| *status),
        frozen: chosen.and_then(|(.., frozen)| *frozen),
        labels: query.each("label", labels::FILTERS_MAX, "a label's key, or `key:value`", labels::filter),
        region: query.text("region"),
        name_contains: query.text("name_contains"),
        created_after: query.time("created_after"),
        created_before: query.time("created_before"),
    }
}
