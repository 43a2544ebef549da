//! `GET /v1/accounts/{id}/settings`.

use axum::Json;
use axum::extract::State as Extracted;

use super::AccountSettings;
use crate::State;
use crate::caller::Authenticated;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Settings of an account
///
/// Needs `read` on the account.
#[utoipa::path(get, path = "/v1/accounts/{id}/settings", operation_id = "getAccountSettings", tag = "Accounts",
    params(("id" = uuid::Uuid, Path, description = "The account's id")),
    responses((status = 200, description = "The settings", body = AccountSettings, example = json!({"default_region": "local"})),
        (status = 404, description = "There is no such account, or you may not see it")))]
pub async fn get(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
) -> Result<Json<AccountSettings>, Problem> {
    Ok(Json(domain::account_settings::get(&state.berth, &caller, id).await?.into()))
}
