//! `POST /v1/workspaces/{id}/members`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::model::Scope;

use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::idempotency::{Idempotent, respond};
use crate::members::{AddMember, Member, added, read_new};
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Add a member to a workspace
///
/// Gives a user or a service account a role on the workspace. Workspaces have all four roles. The role holds once `state` is `active`: at once with 201,
/// soon with 202. Needs `administer` on the workspace.
#[utoipa::path(post, path = "/v1/workspaces/{id}/members", operation_id = "addWorkspaceMember", tag = "Workspaces",
    params(("id" = uuid::Uuid, Path, description = "The workspace's id")),
    request_body(content = AddMember, example = json!({"type": "user", "name": "ada", "role": "admin"})),
    responses(
        (status = 201, description = "The role holds", body = Member,
            headers(("Idempotency-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same key")),
            example = json!({"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21", "name": "ada", "role": "admin", "state": "active",
                "created_at": "2026-11-22T19:30:00.123456Z"})),
        (status = 202, description = "The role is recorded, and holds once the permission system has been told", body = Member,
            headers(("Retry-After" = u32, description = "Seconds until a look at the members is worthwhile"),
                ("Idempotency-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same key")),
            example = json!({"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21", "name": "ada", "role": "admin", "state": "pending",
                "created_at": "2026-11-22T19:30:00.123456Z"})),
        (status = 403, description = "`administer` on the workspace is missing"),
        (status = 404, description = "There is no such workspace, or you may not see it"),
        (status = 409, description = "The principal is a member already, the workspace is not active, or a request with the same Idempotency-Key is still being served"),
        (status = 423, description = "Freezes shut the workspace; removals and demotions are let through")))]
pub async fn add(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
    idempotent: Idempotent,
    body: JsonBody,
) -> Result<Response, Problem> {
    let raw = body.raw.clone();
    let new = read_new(body)?;
    let reply = domain::members::add(&state.berth, &caller, Scope::Workspace, id, new, idempotent.replay(&raw, added)).await?;
    Ok(respond(reply, added))
}
