//! `GET /v1/workspaces`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::ports::Page;
use domain::workspaces::read;
use utoipa::{IntoParams, ToSchema};

use super::{Filters, STATUSES, Workspace};
use crate::State;
use crate::caller::Authenticated;
use crate::pages;
use crate::problem::Problem;
use crate::query::Query;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `filter` takes")]
pub struct ListedStatus {
    /// Only workspaces of this status.
    #[param(inline, nullable = false, required = false)]
    status: Option<StatusWord>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents `STATUSES`")]
pub enum StatusWord {
    Provisioning,
    Active,
    Frozen,
    Failed,
}

/// My workspaces
///
/// The workspaces that the caller is a member of, those that are provisioning or failed included, deleted ones not.
#[utoipa::path(get, path = "/v1/workspaces", operation_id = "listWorkspaces", tag = "Workspaces",
    params(pages::Paging, ListedStatus, Filters),
    responses((status = 200, description = "A page of workspaces", body = [Workspace], headers(("Link" = String, description = "Leads to the next page, if there is one")),
            example = json!([]))))]
pub async fn list(Extracted(state): Extracted<State>, Authenticated(caller): Authenticated, mut query: Query) -> Result<Response, Problem> {
    let page = Page { limit: query.limit(pages::LIMIT_DEFAULT), after: query.after_id() };
    let filter = super::filter(&mut query, STATUSES);
    let listing = query.finish()?;
    let listed = read::mine(&state.berth, &caller, &filter, page).await?;
    Ok(pages::answer::<_, Workspace>(listed, &listing))
}
