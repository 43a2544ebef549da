//! `GET /v1/workspaces/by-account/{account_id}`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::model;
use domain::ports::Page;
use domain::workspaces::read;
use utoipa::{IntoParams, ToSchema};

use super::{Filters, Statuses, Workspace};
use crate::State;
use crate::caller::Authenticated;
use crate::pages;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::Query;

/// As for the caller's own workspaces, and `deleted`.
const STATUSES: &Statuses =
    &[super::STATUSES[0], super::STATUSES[1], super::STATUSES[2], super::STATUSES[3], ("deleted", model::WorkspaceStatus::Deleted, None)];

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `filter` takes")]
pub struct ListedStatus {
    /// Only workspaces of this status. Deleted ones are listed only if they are asked for, and for who administers them.
    #[param(inline, nullable = false, required = false)]
    status: Option<StatusWord>,
}

#[derive(ToSchema)]
#[schema(as = AccountStatusWord, rename_all = "snake_case")]
#[expect(dead_code, reason = "documents `STATUSES`")]
pub enum StatusWord {
    Provisioning,
    Active,
    Frozen,
    Failed,
    Deleted,
}

/// Workspaces of an account
///
/// Those that the caller may read. Needs `read` on the account; who administers it sees all of its workspaces, others see
/// those that they are members of.
#[utoipa::path(get, path = "/v1/workspaces/by-account/{account_id}", operation_id = "listWorkspacesByAccount", tag = "Workspaces",
    params(("account_id" = uuid::Uuid, Path, description = "The account's id"), pages::Paging, ListedStatus, Filters),
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
    let filter = super::filter(&mut query, STATUSES);
    let listing = query.finish()?;
    let listed = read::by_account(&state.berth, &caller, account, &filter, page).await?;
    Ok(pages::answer::<_, Workspace>(listed, &listing))
}
