//! `POST /v1/users/{id}/revoke`.

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

/// Revoke a user
///
/// From the answer on no token of theirs is accepted, whoever issued it and of whatever kind: logins, long-lived tokens, tokens for one
/// workspace, and those of service accounts that act for them. Their memberships stay, and so do runs that they began. A user who is revoked
/// already stays so. Needs `administer` on the platform; who has it cannot revoke themselves while nobody else has it who is let in.
#[utoipa::path(post, path = "/v1/users/{id}/revoke", operation_id = "revokeUser", tag = "Users",
    params(("id" = uuid::Uuid, Path, description = "The user's id")),
    request_body(content = AdmissionRequest, example = json!({"comment": "left the company"})),
    responses((status = 200, description = "The user is shut out", body = Admission,
            headers(("Idempotency-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same key")),
            example = json!({"id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21", "revoked_at": "2026-11-22T19:30:00.123456Z",
                "tokens_not_before": "2026-11-22T19:30:00.123456Z"})),
        (status = 403, description = "The right that this needs is missing"),
        (status = 404, description = "There is no such user"),
        (status = 409, description = "You are the only operator who is let in, or a request with the same Idempotency-Key is still being served")))]
pub async fn revoke(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
    idempotent: Idempotent,
    body: JsonBody,
) -> Result<Response, Problem> {
    let (comment, replay) = ordered(idempotent, body)?;
    Ok(answered(domain::users::revoke(&state.berth, &caller, id, comment.as_deref(), replay).await?))
}
