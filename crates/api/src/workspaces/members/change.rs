//! `PATCH /v1/workspaces/{id}/members/{principal_id}`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::model::Scope;

use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::members::{ChangeMember, Member, changed, read_role};
use crate::path::PathIds;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Change a member's role on a workspace
///
/// With 200 the new role holds. With 202 the permission system is still to be told; if the role was reduced, each request of the
/// member on the workspace is answered 503 until it has been. What has an owner keeps one. Needs `administer` on the workspace.
#[utoipa::path(patch, path = "/v1/workspaces/{id}/members/{principal_id}", operation_id = "changeWorkspaceMember", tag = "Workspaces",
    params(("id" = uuid::Uuid, Path, description = "The workspace's id"), ("principal_id" = uuid::Uuid, Path, description = "The member's id")),
    request_body(content = ChangeMember, example = json!({"role": "member"})),
    responses(
        (status = 200, description = "The role holds", body = Member,
            example = json!({"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21", "name": "ada", "role": "admin", "state": "active",
                "created_at": "2026-11-22T19:30:00.123456Z"})),
        (status = 202, description = "The role is recorded, and holds once the permission system has been told", body = Member,
            headers(("Retry-After" = u32, description = "Seconds until a look at the members is worthwhile")),
            example = json!({"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21", "name": "ada", "role": "admin", "state": "pending",
                "created_at": "2026-11-22T19:30:00.123456Z"})),
        (status = 403, description = "`administer` on the workspace is missing"),
        (status = 404, description = "There is no such workspace or member, or you may not see it"),
        (status = 409, description = "No owner would be left, or the workspace is not active"),
        (status = 423, description = "Freezes shut the workspace; removals and demotions are let through")))]
pub async fn change(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathIds(id, principal): PathIds,
    _: NoQuery,
    body: JsonBody,
) -> Result<Response, Problem> {
    let role = read_role(body)?;
    Ok(changed(domain::members::change_role(&state.berth, &caller, Scope::Workspace, id, principal, role).await?))
}
