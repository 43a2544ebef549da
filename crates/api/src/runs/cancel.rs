//! `POST /v1/provisioning-runs/{id}/cancel`.

use axum::extract::State as Extracted;
use axum::response::Response;
use saga::Verb;

use super::verb::{self, Shape, VerbAccepted, VerbRequest};
use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::idempotency::Idempotent;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Cancel a run
///
/// Takes back what the run has made so far; refused once the step that decides has begun. Needs `administer` on the workspace,
/// or on its account while the workspace is provisioning or failed.
#[utoipa::path(post, path = "/v1/provisioning-runs/{id}/cancel", operation_id = "cancelProvisioningRun", tag = "Provisioning runs",
    params(("id" = Uuid, Path, description = "The run's id")),
    request_body(content = VerbRequest, example = json!({"comment": "wrong region"})),
    responses(
        (status = 202, description = "Accepted", body = VerbAccepted,
            headers(("Location" = String, description = "The run's URL"), ("Retry-After" = u32, description = "Seconds until a look at the run is worthwhile"),
                ("Idempotency-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same key")),
            example = json!({"provisioning_run_id": "0197b7a2-52a5-7c3e-b9a4-6f1d2c3b4ae0", "verb": "cancel", "new_run": false})),
        (status = 403, description = "The right that this needs is missing"),
        (status = 404, description = "There is no such run, or you may not see it"),
        (status = 409, description = "The run has ended or can be cancelled no more, or a request with the same Idempotency-Key is still being served")))]
pub async fn cancel(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
    idempotent: Idempotent,
    body: JsonBody,
) -> Result<Response, Problem> {
    verb::request(&state, &caller, id, Verb::Cancel, Shape { step: false, comment_required: false }, idempotent, body).await
}
