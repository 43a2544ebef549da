//! `GET /v1/workspaces/{id}`.

use axum::Json;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse as _, Response};
use domain::workspaces::read::{self, View};
use http::{HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{TenancyModel, WorkspaceStatus};
use crate::State;
use crate::caller::Authenticated;
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
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// The latest run; absent if it is kept no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    run: Option<Run>,
    /// What the caller may do, such as `read`, `audit`, `cancel`, `retry`.
    #[schema(examples("read"))]
    allowed_actions: Vec<&'static str>,
}

impl From<View> for WorkspaceDetail {
    fn from(view: View) -> Self {
        let workspace = view.workspace;
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
            run: view.run.map(Run::from),
            allowed_actions: view.allowed_actions,
        }
    }
}

/// A workspace
///
/// The workspace, its latest run, and what the caller may do with it. Needs `read` on the workspace; while it is
/// provisioning or failed, on its account. The `ETag` names the row's revision.
#[utoipa::path(get, path = "/v1/workspaces/{id}", operation_id = "getWorkspace", tag = "Workspaces",
    params(("id" = Uuid, Path, description = "The workspace's id")),
    responses((status = 200, description = "The workspace", body = WorkspaceDetail, headers(("ETag" = String, description = "The row's revision")),
            example = json!({"id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "account_id": "7d0f2f0c-9a63-4c55-8d1b-0d3a5a1c77e0", "name": "Sales Europe",
                "slug": "sales-europe", "status": "active", "region": "local", "tenancy_model": "shared", "created_at": "2026-11-22T19:30:00.123456Z",
                "updated_at": "2026-11-22T19:30:00.323456Z", "allowed_actions": ["read", "audit"]})),
        (status = 404, description = "There is no such workspace, or you may not see it")))]
pub async fn get(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
) -> Result<Response, Problem> {
    let view = read::get(&state.berth, &caller, id).await?;
    let tag = HeaderValue::from_str(&format!("\"{}\"", view.workspace.revision));
    let mut response = Json(WorkspaceDetail::from(view)).into_response();
    if let Ok(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}
