//! `GET /v1/accounts/{id}/service-accounts/{service_account_id}/secrets`.

use axum::Json;
use axum::extract::State as Extracted;

use super::ClientSecret;
use crate::State;
use crate::caller::Authenticated;
use crate::path::PathIds;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Secrets of a service account
///
/// The oldest first, those that have expired included; never the secrets themselves. Needs `administer` on the account.
#[utoipa::path(get, path = "/v1/accounts/{id}/service-accounts/{service_account_id}/secrets", operation_id = "listClientSecrets", tag = "Tokens",
    params(("id" = uuid::Uuid, Path, description = "The account's id"),
        ("service_account_id" = uuid::Uuid, Path, description = "The service account's id")),
    responses((status = 200, description = "All of them", body = [ClientSecret], example = json!([])),
        (status = 403, description = "`administer` on the account is missing"),
        (status = 404, description = "There is no such account or service account, or you may not see it")))]
pub async fn secrets(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathIds(account, id): PathIds,
    _: NoQuery,
) -> Result<Json<Vec<ClientSecret>>, Problem> {
    let secrets = domain::service_accounts::secrets(&state.berth, &caller, account, id).await?;
    Ok(Json(secrets.into_iter().map(ClientSecret::from).collect()))
}
