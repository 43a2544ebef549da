//! `DELETE /v1/accounts/{id}/service-accounts/{service_account_id}/secrets/{secret_id}`.

use axum::extract::State as Extracted;
use http::StatusCode;

use crate::State;
use crate::caller::Authenticated;
use crate::path::PathThreeIds;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Delete a secret of a service account
///
/// No token is got with it from now on. Tokens that were got with it live on for their quarter of an hour; to end them at once,
/// disable the service account. Needs `administer` on the account.
#[utoipa::path(delete, path = "/v1/accounts/{id}/service-accounts/{service_account_id}/secrets/{secret_id}", operation_id = "deleteClientSecret", tag = "Tokens",
    params(("id" = uuid::Uuid, Path, description = "The account's id"),
        ("service_account_id" = uuid::Uuid, Path, description = "The service account's id"),
        ("secret_id" = uuid::Uuid, Path, description = "The secret's id")),
    responses((status = 204, description = "It is deleted"),
        (status = 403, description = "`administer` on the account is missing"),
        (status = 404, description = "There is no such account, service account or secret, or you may not see it")))]
pub async fn delete_secret(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathThreeIds(account, id, secret): PathThreeIds,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    domain::service_accounts::delete_secret(&state.berth, &caller, account, id, secret).await?;
    Ok(StatusCode::NO_CONTENT)
}
