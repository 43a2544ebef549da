//! `GET /v1/workspaces/{id}/audit`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::audit::read;

use crate::State;
use crate::audit::{Asked, AuditEntry, Filters};
use crate::caller::Authenticated;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::Query;

/// Audit entries of a workspace
///
/// Who did what, newest first unless `order=asc`. A past page never changes. Needs `read` on the workspace; once it is purged,
/// `read_workspaces` on its account.
#[utoipa::path(get, path = "/v1/workspaces/{id}/audit", operation_id = "listAuditEntries", tag = "Workspaces",
    params(("id" = uuid::Uuid, Path, description = "The workspace's id"), Filters),
    responses((status = 200, description = "A page of entries", body = [AuditEntry], headers(("Link" = String, description = "Leads to the next page, if there is one")),
            example = json!([])),
        (status = 404, description = "There is no such workspace, or you may not see it"),
        (status = 423, description = "A freeze blocks the workspace, and you do not administer it")))]
pub async fn audit(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    query: Query,
) -> Result<Response, Problem> {
    let asked = Asked::read(query)?;
    let found = read::of_workspace(&state.berth, &caller, id, &asked.filter, asked.page).await?;
    Ok(asked.answer(found))
}
