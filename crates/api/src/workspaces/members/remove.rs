//! `DELETE /v1/workspaces/{id}/members/{principal_id}`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::model::Scope;

use crate::State;
use crate::caller::Authenticated;
use crate::members::{RemovedMember, removed};
use crate::path::PathIds;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Remove a member from a workspace
///
/// With 200 the permission system has taken the role away. With 202 it is still to be told, and each request of the former member
/// on the workspace is answered 503 until it has been. What has an owner keeps one. Needs `administer` on the workspace.
#[utoipa::path(delete, path = "/v1/workspaces/{id}/members/{principal_id}", operation_id = "removeWorkspaceMember", tag = "Workspaces",
    params(("id" = uuid::Uuid, Path, description = "The workspace's id"), ("principal_id" = uuid::Uuid, Path, description = "The member's id")),
    responses(
        (status = 200, description = "The role is gone", body = RemovedMember,
            example = json!({"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21", "state": "removed"})),
        (status = 202, description = "The removal is recorded, and the permission system is still to be told", body = RemovedMember,
            headers(("Retry-After" = u32, description = "Seconds until the removal may be in force")),
            example = json!({"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21", "state": "pending"})),
        (status = 403, description = "`administer` on the workspace is missing"),
        (status = 404, description = "There is no such workspace or member, or you may not see it"),
        (status = 409, description = "No owner would be left, or the workspace is not active")))]
pub async fn remove(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathIds(id, principal): PathIds,
    _: NoQuery,
) -> Result<Response, Problem> {
    Ok(removed(domain::members::remove(&state.berth, &caller, Scope::Workspace, id, principal).await?))
}
