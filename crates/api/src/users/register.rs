//! `POST /v1/users`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::ports::{Answer, OutsideIdentity};
use domain::users::Registered;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::idempotency::{Idempotent, respond};
use crate::problem::Problem;
use crate::query::NoQuery;

/// A user, and as whom an outside issuer knows them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `register` takes")]
pub struct RegisterUser {
    /// The user's; whoever has it is meant, and nobody yet is made.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*[^\s\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069][^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*$",
        examples("ada")
    )]
    name: String,
    /// To the letter as its tokens name it in `iss`.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$", examples("https://id.example.com"))]
    issuer: String,
    /// What its tokens say of this user in `sub`, or in the claim that the settings name instead.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$", examples("248289761001"))]
    subject: String,
}

/// A user with an identity.
#[derive(Serialize, ToSchema)]
pub struct RegisteredUser {
    id: Uuid,
    name: String,
    issuer: String,
    subject: String,
}

fn answer(registered: &Registered) -> Answer {
    let OutsideIdentity { issuer, subject } = registered.identity.clone();
    let body = RegisteredUser { id: registered.user, name: registered.name.clone(), issuer, subject };
    Answer { status: 200, location: None, body: json!(body) }
}

/// Register a user of an outside issuer
///
/// Makes the user of this name, if there is none, and accepts from now on what the issuer vouches for as theirs, if the settings trust it.
/// Not needed where the settings let users be made just in time. Needs `administer` on the platform.
#[utoipa::path(post, path = "/v1/users", operation_id = "registerUser", tag = "Users",
    request_body(content = RegisterUser, example = json!({"name": "ada", "issuer": "https://id.example.com", "subject": "248289761001"})),
    responses((status = 200, description = "The user is registered", body = RegisteredUser,
            headers(("Idempotency-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same key")),
            example = json!({"id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21", "name": "ada", "issuer": "https://id.example.com", "subject": "248289761001"})),
        (status = 403, description = "The right that this needs is missing"),
        (status = 409, description = "Another user has this identity, or a request with the same Idempotency-Key is still being served")))]
pub async fn register(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    _: NoQuery,
    idempotent: Idempotent,
    body: JsonBody,
) -> Result<Response, Problem> {
    let raw = body.raw.clone();
    let mut fields = body.fields();
    let (name, issuer, subject) = (fields.required_text("name"), fields.required_text("issuer"), fields.required_text("subject"));
    fields.finish()?;
    let (identity, replay) = (OutsideIdentity { issuer, subject }, idempotent.replay(&raw, answer));
    Ok(respond(domain::users::register(&state.berth, &caller, &name, identity, replay).await?, answer))
}
