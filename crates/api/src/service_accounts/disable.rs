//! `DELETE /v1/accounts/{id}/service-accounts/{service_account_id}`.

use axum::extract::State as Extracted;
use http::StatusCode;

use crate::State;
use crate::caller::Authenticated;
use crate::path::PathIds;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Disable a service account
///
/// For good: it gets no token any more, and every token that it has is refused from now on. Its row and its name stay, because the
/// audit log speaks of it. Needs `administer` on the account.
#[utoipa::path(delete, path = "/v1/accounts/{id}/service-accounts/{service_account_id}", operation_id = "disableServiceAccount", tag = "Tokens",
    params(("id" = uuid::Uuid, Path, description = "The account's id"),
        ("service_account_id" = uuid::Uuid, Path, description = "The service account's id")),
    responses((status = 204, description = "It is disabled"),
        (status = 403, description = "`administer` on the account is missing"),
        (status = 404, description = "There is no such account or service account, or you may not see it")))]
pub async fn disable(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathIds(account, id): PathIds,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    domain::service_accounts::disable(&state.berth, &caller, account, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
