//! `POST /v1/accounts/{id}/service-accounts`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::ports::{self, Answer};
use serde_json::json;
use utoipa::ToSchema;

use super::ServiceAccount;
use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::idempotency::{Idempotent, respond};
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;

/// The service account to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `create` takes")]
pub struct CreateServiceAccount {
    /// Unique in the account, those that are disabled included.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*[^\s\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069][^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*$",
        examples("deploy")
    )]
    name: String,
}

fn answer(made: &ports::ServiceAccount) -> Answer {
    Answer { status: 201, location: None, body: json!(ServiceAccount::from(made.clone())) }
}

/// Create a service account
///
/// It may do nothing yet: make it a member of the account or of workspaces, and give it a secret. Needs `administer` on the account.
#[utoipa::path(post, path = "/v1/accounts/{id}/service-accounts", operation_id = "createServiceAccount", tag = "Tokens",
    params(("id" = uuid::Uuid, Path, description = "The account's id")),
    request_body(content = CreateServiceAccount, example = json!({"name": "deploy"})),
    responses(
        (status = 201, description = "It is there", body = ServiceAccount,
            headers(("Idempotency-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same key")),
            example = json!({"id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "account_id": "7d0f2f0c-9a63-4c55-8d1b-0d3a5a1c77e0", "name": "deploy",
                "status": "active", "created_by": {"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21"},
                "created_at": "2026-11-22T19:30:00.123456Z", "disabled_at": null})),
        (status = 403, description = "`administer` on the account is missing"),
        (status = 404, description = "There is no such account, or you may not see it"),
        (status = 409, description = "The name is taken, the account is not active, or a request with the same Idempotency-Key is still being served")))]
pub async fn create(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(account): PathId,
    _: NoQuery,
    idempotent: Idempotent,
    body: JsonBody,
) -> Result<Response, Problem> {
    let raw = body.raw.clone();
    let mut fields = body.fields();
    let name = fields.required_text("name");
    fields.finish()?;
    let again = idempotent.replay(&raw, answer);
    let reply = domain::service_accounts::create(&state.berth, &caller, account, &name, again).await?;
    Ok(respond(reply, answer))
}
