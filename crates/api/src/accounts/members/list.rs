//! `GET /v1/accounts/{id}/members`.

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

/// Members of an account
///
/// Who has which role on the account, by id. Needs `read` on the account.
#[utoipa::path(get, path = "/v1/accounts/{id}/members", operation_id = "listAccountMembers", tag = "Accounts",
    params(("id" = uuid::Uuid, Path, description = "The account's id"), pages::Paging),
    responses((status = 200, description = "A page of members", body = [Member], headers(("Link" = String, description = "Leads to the next page, if there is one")),
            example = json!([])),
        (status = 404, description = "There is no such account, or you may not see it")))]
pub async fn list(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    mut query: Query,
) -> Result<Response, Problem> {
    let page = Page { limit: query.limit(pages::LIMIT_DEFAULT), after: query.after_id() };
    let listing = query.finish()?;
    let listed = domain::members::list(&state.berth, &caller, Scope::Account, id, page).await?;
    Ok(pages::answer::<_, Member>(listed, &listing))
}
