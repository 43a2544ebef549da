//! `PATCH /v1/accounts/{id}/settings`.

use axum::Json;
use axum::extract::State as Extracted;
use utoipa::ToSchema;

use super::AccountSettings;
use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;

/// What is to be another.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `change` takes")]
#[schema(min_properties = 1)]
pub struct ChangeAccountSettings {
    /// One of the names that `GET /v1/regions` lists; null takes the setting away.
    #[schema(examples("local"))]
    default_region: Option<String>,
}

/// Change an account's settings
///
/// Needs `administer` on the account.
#[utoipa::path(patch, path = "/v1/accounts/{id}/settings", operation_id = "changeAccountSettings", tag = "Accounts",
    params(("id" = uuid::Uuid, Path, description = "The account's id")),
    request_body(content = ChangeAccountSettings, example = json!({"default_region": "local"})),
    responses((status = 200, description = "The settings as they are now", body = AccountSettings, example = json!({"default_region": "local"})),
        (status = 403, description = "`administer` on the account is missing"),
        (status = 404, description = "There is no such account, or you may not see it")))]
pub async fn change(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
    body: JsonBody,
) -> Result<Json<AccountSettings>, Problem> {
    let mut fields = body.fields();
    fields.require_any();
    let region = fields.text_or_null("default_region");
    fields.finish()?;
    Ok(Json(domain::account_settings::set_default_region(&state.berth, &caller, id, region).await?.into()))
}
