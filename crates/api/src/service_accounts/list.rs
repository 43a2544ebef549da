//! `GET /v1/accounts/{id}/service-accounts`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::ports::Page;

use super::ServiceAccount;
use crate::State;
use crate::caller::Authenticated;
use crate::pages;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::Query;

/// Service accounts of an account
///
/// By id, those that are disabled included. Needs `administer` on the account.
#[utoipa::path(get, path = "/v1/accounts/{id}/service-accounts", operation_id = "listServiceAccounts", tag = "Tokens",
    params(("id" = uuid::Uuid, Path, description = "The account's id"), pages::Paging),
    responses((status = 200, description = "A page of service accounts", body = [ServiceAccount],
            headers(("Link" = String, description = "Leads to the next page, if there is one")), example = json!([])),
        (status = 403, description = "`administer` on the account is missing"),
        (status = 404, description = "There is no such account, or you may not see it")))]
pub async fn list(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(account): PathId,
    mut query: Query,
) -> Result<Response, Problem> {
    let page = Page { limit: query.limit(pages::LIMIT_DEFAULT), after: query.after_id() };
    let listing = query.finish()?;
    let listed = domain::service_accounts::list(&state.berth, &caller, account, page).await?;
    Ok(pages::answer::<_, ServiceAccount>(listed, &listing))
}
