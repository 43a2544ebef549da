//! `DELETE /v1/api-tokens/{id}`.

use axum::extract::State as Extracted;
use http::StatusCode;

use crate::State;
use crate::caller::Authenticated;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Revoke a long-lived token of yours
///
/// It is refused from now on.
#[utoipa::path(delete, path = "/v1/api-tokens/{id}", operation_id = "revokeApiToken", tag = "Tokens",
    params(("id" = uuid::Uuid, Path, description = "The token's id")),
    responses((status = 204, description = "It is revoked"),
        (status = 404, description = "You have no such token")))]
pub async fn revoke(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    domain::api_tokens::revoke(&state.berth, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
