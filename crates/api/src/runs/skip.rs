//! `POST /v1/provisioning-runs/{id}/skip`.

use axum::extract::State as Extracted;
use axum::response::Response;
use saga::Verb;

use super::verb::{self, Shape, SkipRequest, VerbAccepted};
use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::idempotency::Idempotent;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Skip a stuck step
///
/// Counts a stuck step, or the taking back of one, as done, because a person did it by hand. Needs `administer` on the platform.
#[utoipa::path(post, path = "/v1/provisioning-runs/{id}/skip", operation_id = "skipProvisioningRun", tag = "Provisioning runs",
    params(("id" = Uuid, Path, description = "The run's id")),
    request_body(content = SkipRequest, example = json!({"step": "backend-dev", "comment": "dropped by hand"})),
    responses(
        (status = 202, description = "Accepted", body = VerbAccepted,
            headers(("Location" = String, description = "The run's URL"), ("Retry-After" = u32, description = "Seconds until a look at the run is worthwhile"),
                ("Idempotency-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same key")),
            example = json!({"provisioning_run_id": "0197b7a2-52a5-7c3e-b9a4-6f1d2c3b4ae0", "verb": "skip", "new_run": false})),
        (status = 403, description = "The right that this needs is missing"),
        (status = 404, description = "There is no such run, or you may not see it"),
        (status = 409, description = "No step is stuck, several are and none is named, or a request with the same Idempotency-Key is still being served"),
        (status = 423, description = "A freeze shuts the workspace")))]
pub async fn skip(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
    idempotent: Idempotent,
    body: JsonBody,
) -> Result<Response, Problem> {
    verb::request(&state, &caller, id, Verb::Skip, Shape { step: true, comment_required: true }, idempotent, body).await
}
