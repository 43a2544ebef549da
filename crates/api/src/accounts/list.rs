//! `GET /v1/accounts`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::ports::Page;

use super::Account;
use crate::State;
use crate::caller::Authenticated;
use crate::pages;
use crate::problem::Problem;
use crate::query::Query;

/// Accounts
///
/// The accounts that the caller created or is a member of; all of them for those who may read the platform.
#[utoipa::path(get, path = "/v1/accounts", operation_id = "listAccounts", tag = "Accounts",
    params(pages::Paging),
    responses((status = 200, description = "A page of accounts", body = [Account], headers(("Link" = String, description = "Leads to the next page, if there is one")),
            example = json!([]))))]
pub async fn list(Extracted(state): Extracted<State>, Authenticated(caller): Authenticated, mut query: Query) -> Result<Response, Problem> {
    let page = Page { limit: query.limit(pages::LIMIT_DEFAULT), after: query.after_id() };
    let listing = query.finish()?;
    let listed = domain::accounts::list(&state.berth, &caller, page).await?;
    Ok(pages::answer::<_, Account>(listed, &listing))
}
