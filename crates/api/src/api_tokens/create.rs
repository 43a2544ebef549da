//! `POST /v1/api-tokens`.

use axum::Json;
use axum::extract::{Extension, State as Extracted};
use axum::response::{IntoResponse as _, Response};
use domain::api_tokens::Made;
use domain::berth::Reply;
use domain::ports::{self, Answer};
use domain::secrets::Secret;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::idempotency::{Idempotent, respond};
use crate::problem::{Code, Problem};
use crate::query::NoQuery;
use crate::service_accounts::add_secret::SecretStatus;
use crate::timestamp::Timestamp;
use crate::tokens::{Claims, TokenKind};

/// The token to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `create` takes")]
pub struct CreateApiToken {
    /// What it is for; need not be unique.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*[^\s\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069][^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*$",
        examples("nightly export")
    )]
    name: String,
    /// At most 366 days from now. Left out: in 90 days.
    #[schema(nullable = false, format = DateTime)]
    expires_at: Option<String>,
}

/// A token as it was made. Nobody can read it again.
#[derive(Serialize, ToSchema)]
pub struct MadeApiToken {
    id: Uuid,
    name: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// Send it as `Authorization: Bearer`; null in the answer to a repeated request.
    #[schema(examples("berth_token_0197b7a2…"))]
    token: Option<String>,
    #[schema(inline)]
    secret_status: SecretStatus,
}

impl MadeApiToken {
    /// With the token, or without where it was shown before.
    fn of(about: &ports::ApiToken, token: Option<&Secret>) -> Self {
        Self {
            id: about.id,
            name: about.name.clone(),
            created_at: about.created_at.into(),
            expires_at: about.expires_at.into(),
            token: token.map(|token| token.expose().to_owned()),
            secret_status: if token.is_some() { SecretStatus::Shown } else { SecretStatus::AlreadyShown },
        }
    }
}

/// How a repeated request is answered: a token is never stored.
fn again(about: &ports::ApiToken) -> Answer {
    Answer { status: 201, location: None, body: json!(MadeApiToken::of(about, None)) }
}

/// Make a long-lived token
///
/// For automation that cannot get tokens with a service account's secret. It is the caller's own, may do what the caller may, and is
/// shown once. A token of this kind makes no others, so that one that leaked ends when it expires or is revoked.
#[utoipa::path(post, path = "/v1/api-tokens", operation_id = "createApiToken", tag = "Tokens",
    request_body(content = CreateApiToken, example = json!({"name": "nightly export"})),
    responses(
        (status = 201, description = "It is good at once", body = MadeApiToken,
            headers(("Idempotency-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same key")),
            example = json!({"id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "name": "nightly export", "created_at": "2026-11-22T19:30:00.123456Z",
                "expires_at": "2027-02-20T19:30:00.123456Z", "token": null, "secret_status": "already_shown"})),
        (status = 403, description = "The request comes with a token of this kind, or with one for a workspace"),
        (status = 409, description = "You have as many as you may, or a request with the same Idempotency-Key is still being served")))]
pub async fn create(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    Extension(claims): Extension<Claims>,
    _: NoQuery,
    idempotent: Idempotent,
    body: JsonBody,
) -> Result<Response, Problem> {
    if claims.kind == TokenKind::Api {
        return Err(Problem::of(Code::TokenScope));
    }
    let raw = body.raw.clone();
    let mut fields = body.fields();
    let (name, expires_at) = (fields.required_text("name"), fields.time("expires_at"));
    fields.finish()?;
    let replay = idempotent.replay(&raw, again);
    match domain::api_tokens::create(&state.berth, &caller, &name, expires_at, replay).await? {
        Reply::Replayed(answer) => Ok(respond(Reply::<ports::ApiToken>::Replayed(answer), again)),
        Reply::Fresh(Made { about, token }) => Ok((StatusCode::CREATED, Json(MadeApiToken::of(&about, Some(&token)))).into_response()),
    }
}
