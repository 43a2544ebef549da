//! `GET /v1/tokens/self`: what the token of this request is.

use axum::Json;
use axum::extract::{Extension, State as Extracted};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::State;
use crate::caller::Authenticated;
use crate::me::PrincipalBody;
use crate::problem::Problem;
use crate::query::NoQuery;
use crate::timestamp::Timestamp;
use crate::tokens::{Claims, TokenKind};

/// A token.
#[derive(Serialize, ToSchema)]
pub struct OwnToken {
    /// As the audit log names it.
    id: Option<String>,
    /// `login`: a person's, or one that was made by hand. `application`: got with a service account's credentials. `workspace`: for one
    /// workspace only. `api`: long-lived.
    #[schema(inline)]
    kind: TokenKind,
    principal: PrincipalBody,
    /// For whom the principal acts with it, in each request.
    on_behalf_of: Option<PrincipalBody>,
    /// The only workspace that it is good for; null: it is not bound to one.
    workspace_id: Option<Uuid>,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// This token
///
/// Tells what the token of this request is: of which kind, whose, for which workspace and until when.
#[utoipa::path(get, path = "/v1/tokens/self", operation_id = "getOwnToken", tag = "Tokens",
    responses((status = 200, description = "The token", body = OwnToken,
        example = json!({"id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "kind": "application",
            "principal": {"type": "service_account", "id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe1"}, "on_behalf_of": null, "workspace_id": null,
            "expires_at": "2026-11-22T19:45:00Z"}))))]
pub async fn own(
    _: Extracted<State>,
    _: Authenticated,
    Extension(claims): Extension<Claims>,
    _: NoQuery,
) -> Result<Json<OwnToken>, Problem> {
    Ok(Json(OwnToken {
        id: claims.token_id,
        kind: claims.kind,
        principal: claims.principal.into(),
        on_behalf_of: claims.on_behalf_of.map(PrincipalBody::from),
        workspace_id: claims.workspace,
        expires_at: claims.expires_at.into(),
    }))
}
