//! `GET /v1/workspaces/by-account/{account_id}`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::ports::Page;
use domain::workspaces::read;

use super::{Filters, Workspace};
use crate::State;
use crate::caller::Authenticated;
use crate::pages;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::Query;

/// Workspaces of an account
///
/// Those that the caller may read. Needs `read` on the account; who administers it sees all of its workspaces, others see
/// those that they are members of.
#[utoipa::path(get, path = "/v1/workspaces/by-account/{account_id}", operation_id = "listWorkspacesByAccount", tag = "Workspaces",
    params(("account_id" = uuid::Uuid, Path, description = "The account's id"), pages::Paging, Filters),
    responses((status = 200, description = "A page of workspaces", body = [Workspace], headers(("Link" = String, description = "Leads to the next page, if there is one")),
            example = json!([])),
        (status = 404, description = "There is no such account, or you may not see it")))]
pub async fn by_account(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(account): PathId,
    mut query: Query,
) -> Result<Response, Problem> {
    let page = Page { limit: query.limit(pages::LIMIT_DEFAULT), after: query.after_id() };
    let filter = super::filter(&mut query);
    let listing = query.finish()?;
    let listed = read::by_account(&state.berth, &caller, account, &filter, page).await?;
    Ok(pages::answer::<_, Workspace>(listed, &listing))
}
