//! `PUT /v1/pauses/{kind}/{id}`.

use axum::Json;
use axum::extract::State as Extracted;
use domain::ports::PauseAnswer;
use http::StatusCode;
use utoipa::ToSchema;

use super::{PathScope, PauseBody, PauseKind};
use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::problem::Problem;
use crate::query::NoQuery;

/// How to pause.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `set` takes")]
pub struct PauseRequest {
    /// Whether compensations wait as well; they go on unless this says so.
    #[schema(nullable = false, default = false)]
    undo: Option<bool>,
    /// Why; kept with the pause and in the audit log.
    #[schema(
        min_length = 1,
        max_length = 1000,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$",
        examples("disk is being replaced")
    )]
    comment: String,
}

/// Pause a backend, a saga or an account
///
/// Nothing new starts there: attempts that are at work finish, then their runs wait with their deadlines standing still, and name
/// the pause in `paused_by`. On a paused backend only the steps that need it wait. Compensations go on unless `undo` is true. A pause
/// that there is already is replaced; asking for the same again changes nothing. Workers hear of it within seconds. Needs
/// `administer` on the platform.
#[utoipa::path(put, path = "/v1/pauses/{kind}/{id}", operation_id = "setPause", tag = "Pauses",
    params(("kind" = inline(PauseKind), Path, description = "What is paused"),
        ("id" = String, Path, description = "A backend's name, a saga's name, or an account's id", example = "local")),
    request_body(content = PauseRequest, example = json!({"comment": "disk is being replaced"})),
    responses(
        (status = 200, description = "It was paused already; this is the pause as it is now", body = PauseBody,
            example = json!({"scope": "backend:local", "kind": "backend", "id": "local", "undo": true, "comment": "disk is being replaced",
                "created_by": {"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21"}, "created_at": "2026-11-22T19:30:00.123456Z"})),
        (status = 201, description = "It is paused", body = PauseBody,
            example = json!({"scope": "backend:local", "kind": "backend", "id": "local", "undo": false, "comment": "disk is being replaced",
                "created_by": {"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21"}, "created_at": "2026-11-22T19:30:00.123456Z"})),
        (status = 403, description = "The right that this needs is missing"),
        (status = 404, description = "There is no such backend, saga or account")))]
pub async fn set(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathScope(scope): PathScope,
    _: NoQuery,
    body: JsonBody,
) -> Result<(StatusCode, Json<PauseBody>), Problem> {
    let mut fields = body.fields();
    let undo = fields.flag("undo").unwrap_or(false);
    let comment = fields.required_text("comment");
    fields.finish()?;
    let (status, pause) = match domain::pauses::set(&state.berth, &caller, scope, undo, &comment).await? {
        PauseAnswer::Set(pause) => (StatusCode::CREATED, pause),
        PauseAnswer::Changed(pause) | PauseAnswer::Unchanged(pause) => (StatusCode::OK, pause),
    };
    Ok((status, Json(pause.into())))
}
