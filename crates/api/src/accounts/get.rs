//! `GET /v1/accounts/{id}`.

use axum::Json;
use axum::extract::State as Extracted;

use super::Account;
use crate::State;
use crate::caller::Authenticated;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;

/// An account
///
/// Needs `read` on the account; one that is not active yet is seen by its creator and by those who read the platform.
#[utoipa::path(get, path = "/v1/accounts/{id}", operation_id = "getAccount", tag = "Accounts",
    params(("id" = uuid::Uuid, Path, description = "The account's id")),
    responses((status = 200, description = "The account", body = Account,
            example = json!({"id": "7d0f2f0c-9a63-4c55-8d1b-0d3a5a1c77e0", "name": "Acme", "slug": "acme", "status": "active",
                "created_by": {"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21"}, "created_at": "2026-11-22T19:30:00.123456Z"})),
        (status = 404, description = "There is no such account, or you may not see it")))]
pub async fn get(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
) -> Result<Json<Account>, Problem> {
    Ok(Json(domain::accounts::get(&state.berth, &caller, id).await?.into()))
}
