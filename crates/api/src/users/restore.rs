//! `POST /v1/users/{id}/restore`.

use axum::extract::State as Extracted;
use axum::response::Response;

use super::{Admission, AdmissionRequest, answered, ordered};
use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::idempotency::Idempotent;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Let a revoked user in again
///
/// With tokens that are issued from now on: those from before stay refused. A user who is not revoked is left as they are. Needs
/// `administer` on the platform.
#[utoipa::path(post, path = "/v1/users/{id}/restore", operation_id = "restoreUser", tag = "Users",
    params(("id" = uuid::Uuid, Path, description = "The user's id")),
    request_body(content = AdmissionRequest, example = json!({"comment": "came back"})),
    responses((status = 200, description = "The user is let in", body = Admission,
            headers(("Idempotency-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same key")),
            example = json!({"id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21", "revoked_at": null,
                "tokens_not_before": "2026-11-22T19:30:00.123456Z"})),
        (status = 403, description = "The right that this needs is missing"),
        (status = 404, description = "There is no such user"),
        (status = 409, description = "A request with the same Idempotency-Key is still being served")))]
pub async fn restore(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
    idempotent: Idempotent,
    body: JsonBody,
) -> Result<Response, Problem> {
    let (comment, replay) = ordered(idempotent, body)?;
    Ok(answered(domain::users::restore(&state.berth, &caller, id, comment.as_deref(), replay).await?))
}
