//! `GET /v1/workspaces`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::ports::Page;
use domain::workspaces::read;

use super::{Filters, Workspace};
use crate::State;
use crate::caller::Authenticated;
use crate::pages;
use crate::problem::Problem;
use crate::query::Query;

/// My workspaces
///
/// The workspaces that the caller is a member of, those that are provisioning or failed included.
#[utoipa::path(get, path = "/v1/workspaces", operation_id = "listWorkspaces", tag = "Workspaces",
    params(pages::Paging, Filters),
    responses((status = 200, description = "A page of workspaces", body = [Workspace], headers(("Link" = String, description = "Leads to the next page, if there is one")),
            example = json!([]))))]
pub async fn list(Extracted(state): Extracted<State>, Authenticated(caller): Authenticated, mut query: Query) -> Result<Response, Problem> {
    let page = Page { limit: query.limit(pages::LIMIT_DEFAULT), after: query.after_id() };
    let filter = super::filter(&mut query);
    let listing = query.finish()?;
    let listed = read::mine(&state.berth, &caller, &filter, page).await?;
    Ok(pages::answer::<_, Workspace>(listed, &listing))
}
