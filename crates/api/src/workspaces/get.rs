//! `GET /v1/workspaces/{id}`.

use axum::Json;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse as _, Response};
use domain::labels::Labels;
use domain::workspaces::read::{self, View};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{TenancyModel, Workspace, WorkspaceStatus, labels};
use crate::State;
use crate::caller::Authenticated;
use crate::freezes::Freeze;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;
use crate::runs::Run;
use crate::timestamp::Timestamp;

/// A workspace with its latest run, and what the caller may do with it.
#[derive(Serialize, ToSchema)]
pub struct WorkspaceDetail {
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
    /// The latest run that owned the workspace; absent if it is kept no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    run: Option<Run>,
    /// What the caller may do, such as `read`, `audit`, `cancel`, `retry`.
    #[schema(examples("read"))]
    allowed_actions: Vec<&'static str>,
}

impl From<View> for WorkspaceDetail {
    fn from(view: View) -> Self {
        let workspace = Workspace::from(view.workspace);
        Self {
            id: workspace.id,
            account_id: workspace.account_id,
            name: workspace.name,
            slug: workspace.slug,
            status: workspace.status,
            region: workspace.region,
            tenancy_model: workspace.tenancy_model,
            labels: workspace.labels,
            termination_protection: workspace.termination_protection,
            freezes: workspace.freezes,
            created_at: workspace.created_at,
            updated_at: workspace.updated_at,
            deleted_at: workspace.deleted_at,
            purge_at: workspace.purge_at,
            run: view.run.map(Run::from),
            allowed_actions: view.allowed_actions,
        }
    }
}

/// The answer about one workspace: its body, and its revision as the `ETag`.
pub fn answer(view: View) -> Response {
    let tag = tag(view.workspace.revision);
    let mut response = Json(WorkspaceDetail::from(view)).into_response();
    response.headers_mut().extend(tag);
    response
}

/// The `ETag` of a workspace's row.
pub fn tag(revision: i64) -> HeaderMap {
    HeaderValue::from_str(&format!("\"{revision}\"")).map(|tag| HeaderMap::from_iter([(header::ETAG, tag)])).unwrap_or_default()
}

/// A workspace
///
/// The workspace, its latest run, and what the caller may do with it. Needs `read` on the workspace; while it is
/// provisioning or failed, on its account. The `ETag` names the row's revision.
#[utoipa::path(get, path = "/v1/workspaces/{id}", operation_id = "getWorkspace", tag = "Workspaces",
    params(("id" = Uuid, Path, description = "The workspace's id")),
    responses((status = 200, description = "The workspace", body = WorkspaceDetail, headers(("ETag" = String, description = "The row's revision")),
            example = json!({"id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "account_id": "7d0f2f0c-9a63-4c55-8d1b-0d3a5a1c77e0", "name": "Sales Europe",
                "slug": "sales-europe", "status": "active", "region": "local", "tenancy_model": "shared",
                "labels": {"cost-center": "4711"}, "termination_protection": false, "freezes": [], "created_at": "2026-11-22T19:30:00.123456Z",
                "updated_at": "2026-11-22T19:30:00.323456Z", "allowed_actions": ["read", "audit"]})),
        (status = 404, description = "There is no such workspace, or you may not see it"),
        (status = 423, description = "A freeze blocks it, and you do not administer it")))]
pub async fn get(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
) -> Result<Response, Problem> {
    Ok(answer(read::get(&state.berth, &caller, id).await?))
}
