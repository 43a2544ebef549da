//! `GET /v1/api-tokens`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::ports::Page;

use super::ApiToken;
use crate::State;
use crate::caller::Authenticated;
use crate::pages;
use crate::problem::Problem;
use crate::query::Query;

/// Your long-lived tokens
///
/// By id: those that are not revoked, expired ones included.
#[utoipa::path(get, path = "/v1/api-tokens", operation_id = "listApiTokens", tag = "Tokens",
    params(pages::Paging),
    responses((status = 200, description = "A page of tokens", body = [ApiToken],
        headers(("Link" = String, description = "Leads to the next page, if there is one")), example = json!([]))))]
pub async fn list(Extracted(state): Extracted<State>, Authenticated(caller): Authenticated, mut query: Query) -> Result<Response, Problem> {
    let page = Page { limit: query.limit(pages::LIMIT_DEFAULT), after: query.after_id() };
    let listing = query.finish()?;
    let listed = domain::api_tokens::list(&state.berth, &caller, page).await?;
    Ok(pages::answer::<_, ApiToken>(listed, &listing))
}
