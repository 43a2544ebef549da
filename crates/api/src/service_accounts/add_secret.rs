//! `POST /v1/accounts/{id}/service-accounts/{service_account_id}/secrets`.

use axum::Json;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse as _, Response};
use domain::berth::Reply;
use domain::ports::{self, Answer};
use domain::secrets::Secret;
use domain::service_accounts::Made;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::idempotency::{Idempotent, respond};
use crate::path::PathIds;
use crate::problem::Problem;
use crate::query::NoQuery;
use crate::timestamp::Timestamp;

/// The secret to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `add_secret` takes")]
pub struct AddClientSecret {
    /// From then on no token is got with it. Left out: never.
    #[schema(nullable = false, format = DateTime, examples("2099-01-31T12:00:00Z"))]
    expires_at: Option<String>,
}

/// A secret as it was made. Nobody can read the secret again.
#[derive(Serialize, ToSchema)]
pub struct MadeClientSecret {
    id: Uuid,
    service_account_id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Keep it as one keeps a password; null in the answer to a repeated request.
    #[schema(examples("berth_secret_0197b7a2…"))]
    client_secret: Option<String>,
    #[schema(inline)]
    secret_status: SecretStatus,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretStatus {
    Shown,
    AlreadyShown,
}

impl MadeClientSecret {
    /// With the secret, or without where it was shown before.
    fn of(about: &ports::ClientSecret, secret: Option<&Secret>) -> Self {
        Self {
            id: about.id,
            service_account_id: about.service_account_id,
            created_at: about.created_at.into(),
            expires_at: about.expires_at.map(Timestamp),
            client_secret: secret.map(|secret| secret.expose().to_owned()),
            secret_status: if secret.is_some() { SecretStatus::Shown } else { SecretStatus::AlreadyShown },
        }
    }
}

/// How a repeated request is answered: a secret is never stored.
fn again(about: &ports::ClientSecret) -> Answer {
    Answer { status: 201, location: None, body: json!(MadeClientSecret::of(about, None)) }
}

/// Make a secret for a service account
///
/// The secret is shown once. A service account has at most two that are in force, so that one can take the place of the other while
/// both are good: make the second, hand it out, delete the first. Needs `administer` on the account.
#[utoipa::path(post, path = "/v1/accounts/{id}/service-accounts/{service_account_id}/secrets", operation_id = "addClientSecret", tag = "Tokens",
    params(("id" = uuid::Uuid, Path, description = "The account's id"),
        ("service_account_id" = uuid::Uuid, Path, description = "The service account's id")),
    request_body(content = AddClientSecret, example = json!({"expires_at": "2099-01-31T12:00:00Z"})),
    responses(
        (status = 201, description = "It is good at once", body = MadeClientSecret,
            headers(("Idempotency-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same key")),
            example = json!({"id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "service_account_id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe1",
                "created_at": "2026-11-22T19:30:00.123456Z", "expires_at": null, "client_secret": null, "secret_status": "already_shown"})),
        (status = 403, description = "`administer` on the account is missing"),
        (status = 404, description = "There is no such account or service account, or you may not see it"),
        (status = 409, description = "It has two secrets, it is disabled, or a request with the same Idempotency-Key is still being served")))]
pub async fn add_secret(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathIds(account, id): PathIds,
    _: NoQuery,
    idempotent: Idempotent,
    body: JsonBody,
) -> Result<Response, Problem> {
    let raw = body.raw.clone();
    let mut fields = body.fields();
    let expires_at = fields.time("expires_at");
    fields.finish()?;
    let replay = idempotent.replay(&raw, again);
    match domain::service_accounts::add_secret(&state.berth, &caller, account, id, expires_at, replay).await? {
        Reply::Replayed(answer) => Ok(respond(Reply::<ports::ClientSecret>::Replayed(answer), again)),
        Reply::Fresh(Made { about, secret }) => {
            Ok((StatusCode::CREATED, Json(MadeClientSecret::of(&about, Some(&secret)))).into_response())
        }
    }
}
