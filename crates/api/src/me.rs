//! `GET /v1/me`: who the caller is.

use axum::Json;
use axum::extract::State as Extracted;
use domain::Principal;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::State;
use crate::caller::Authenticated;
use crate::problem::Problem;
use crate::query::NoQuery;

/// A user or a service account.
#[derive(Serialize, ToSchema)]
#[schema(as = Principal)]
pub struct PrincipalBody {
    #[schema(inline)]
    r#type: PrincipalType,
    id: Uuid,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalType {
    User,
    ServiceAccount,
}

impl From<domain::PrincipalKind> for PrincipalType {
    fn from(kind: domain::PrincipalKind) -> Self {
        match kind {
            domain::PrincipalKind::User => Self::User,
            domain::PrincipalKind::ServiceAccount => Self::ServiceAccount,
        }
    }
}

impl From<Principal> for PrincipalBody {
    fn from(principal: Principal) -> Self {
        Self { r#type: principal.kind.into(), id: principal.id }
    }
}

/// The caller.
#[derive(Serialize, ToSchema)]
pub struct Me {
    #[schema(inline)]
    r#type: PrincipalType,
    id: Uuid,
    name: String,
    /// The account that a service account belongs to.
    account_id: Option<Uuid>,
    /// The user on whose behalf the service account acts in this request.
    on_behalf_of: Option<PrincipalBody>,
    /// The caller's rights on the platform; where it acts on behalf of a user, those that both have.
    #[schema(examples("read"))]
    platform_permissions: Vec<&'static str>,
}

/// The caller
///
/// Tells whom the token stands for, and what the caller may do on the platform as a whole.
#[utoipa::path(get, path = "/v1/me", operation_id = "getMe", tag = "Service",
    responses((status = 200, description = "The caller", body = Me,
        example = json!({"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21", "name": "ada", "account_id": null, "on_behalf_of": null,
            "platform_permissions": ["administer", "read"]}))))]
pub async fn me(Extracted(state): Extracted<State>, Authenticated(caller): Authenticated, _: NoQuery) -> Result<Json<Me>, Problem> {
    let me = domain::me::me(&state.berth, &caller).await?;
    Ok(Json(Me {
        r#type: me.principal.principal.kind.into(),
        id: me.principal.principal.id,
        name: me.principal.name,
        account_id: me.principal.account_id,
        on_behalf_of: me.on_behalf_of.map(|user| user.principal.into()),
        platform_permissions: me.platform_permissions,
    }))
}
