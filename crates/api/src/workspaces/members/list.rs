//! `GET /v1/workspaces/{id}/members`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::model::Scope;
use domain::ports::Page;

use crate::State;
use crate::caller::Authenticated;
use crate::members::Member;
use crate::pages;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::Query;

/// Members of a workspace
///
/// Who has which role on the workspace, by id. Roles on its account are not listed here. Needs `read` on the workspace.
#[utoipa::path(get, path = "/v1/workspaces/{id}/members", operation_id = "listWorkspaceMembers", tag = "Workspaces",
    params(("id" = uuid::Uuid, Path, description = "The workspace's id"), pages::Paging),
    responses((status = 200, description = "A page of members", body = [Member], headers(("Link" = String, description = "Leads to the next page, if there is one")),
            example = json!([])),
        (status = 404, description = "There is no such workspace, or you may not see it")))]
pub async fn list(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    mut query: Query,
) -> Result<Response, Problem> {
    let page = Page { limit: query.limit(pages::LIMIT_DEFAULT), after: query.after_id() };
    let listing = query.finish()?;
    let listed = domain::members::list(&state.berth, &caller, Scope::Workspace, id, page).await?;
    Ok(pages::answer::<_, Member>(listed, &listing))
}
