//! `DELETE /v1/workspaces/{id}`.

use axum::Json;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse as _, Response};
use domain::labels::Labels;
use domain::ports::Ended;
use domain::workspaces::delete;
use saga::RunId;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::get::tag;
use super::{TenancyModel, Workspace, WorkspaceStatus, labels};
use crate::State;
use crate::caller::Authenticated;
use crate::freezes::Freeze;
use crate::if_match::{self, Conditional};
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;
use crate::timestamp::Timestamp;

/// A workspace that was deleted or restored, with the run that carries that to its logins and tokens.
#[derive(Serialize, ToSchema)]
pub struct WorkspaceChanged {
    id: Uuid,
    account_id: Uuid,
    #[schema(examples("Sales Europe"))]
    name: String,
    /// Unique among the account's live workspaces; a deleted one holds it no longer.
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
    /// What carries the change to logins and tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    apply: Option<ChangeCarried>,
}

/// The run that brings logins and tokens to what the workspace is now.
#[derive(Serialize, ToSchema)]
pub struct ChangeCarried {
    provisioning_run_id: Uuid,
}

impl From<&Ended> for WorkspaceChanged {
    fn from(ended: &Ended) -> Self {
        let workspace = Workspace::from(ended.workspace.clone());
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
            apply: ended.apply.map(|RunId(run)| ChangeCarried { provisioning_run_id: run }),
        }
    }
}

/// Delete a workspace
///
/// Nobody can use it from then on: it holds a freeze of source `deletion` in mode `blocked`, which a run of `apply-freezes`, named in
/// `apply`, carries to logins and tokens. Its slug is free at once, its name and its quota are not. Until `purge_at` it can be restored;
/// then everything it had is taken away but its audit log. Deleting what is deleted changes nothing and answers with what it is. Possible
/// while the workspace is frozen, but not by a `legal` or `security` freeze. Needs `administer` on the workspace, or on its account if it
/// has failed, and `If-Match`.
#[utoipa::path(delete, path = "/v1/workspaces/{id}", operation_id = "deleteWorkspace", tag = "Workspaces",
    params(("id" = Uuid, Path, description = "The workspace's id"), if_match::NeededIfMatchHeader),
    responses((status = 200, description = "The workspace as it is now", body = WorkspaceChanged,
            headers(("ETag" = String, description = "The row's revision")),
            example = json!({"id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "account_id": "7d0f2f0c-9a63-4c55-8d1b-0d3a5a1c77e0", "name": "Sales Europe",
                "slug": "sales-europe", "status": "deleted", "region": "local", "tenancy_model": "shared", "labels": {},
                "termination_protection": false, "freezes": [{"source": "deletion", "mode": "blocked", "reason": {"code": "deleted"},
                    "created_by": {"type": "user", "id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7f00"}, "created_at": "2026-11-23T08:00:00.323456Z"}],
                "created_at": "2026-11-22T19:30:00.123456Z", "updated_at": "2026-11-23T08:00:00.323456Z", "deleted_at": "2026-11-23T08:00:00.323456Z",
                "purge_at": "2026-12-23T08:00:00.323456Z", "apply": {"provisioning_run_id": "0197b7a2-52a5-7c3e-b9a4-6f1d2c3b4ae0"}})),
        (status = 403, description = "The right that this needs is missing"),
        (status = 404, description = "There is no such workspace, or you may not see it"),
        (status = 409, description = "A run is at work on the workspace, it is protected against deletion, or what it is rules this out"),
        (status = 412, description = "The workspace is not at a revision that `If-Match` names"),
        (status = 423, description = "A legal or security freeze holds the workspace"),
        (status = 428, description = "`If-Match` is missing")))]
pub async fn delete(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
    Conditional(if_match): Conditional,
) -> Result<Response, Problem> {
    let ended = delete::delete(&state.berth, &caller, id, if_match).await?;
    Ok((tag(ended.workspace.revision), Json(WorkspaceChanged::from(&ended))).into_response())
}
