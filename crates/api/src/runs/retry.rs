//! `POST /v1/provisioning-runs/{id}/retry`.

use axum::extract::State as Extracted;
use axum::response::Response;
use saga::Verb;

use super::verb::{self, Shape, StepVerbRequest, VerbAccepted};
use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::idempotency::Idempotent;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Retry a run
///
/// A waiting run goes on at once; a stuck one tries its stuck steps, or the one named, with a fresh budget. A run that failed or was
/// cancelled gets a **new run**, which `Location` names. Needs `administer` on the workspace, or on its account while the workspace
/// is provisioning or failed.
#[utoipa::path(post, path = "/v1/provisioning-runs/{id}/retry", operation_id = "retryProvisioningRun", tag = "Provisioning runs",
    params(("id" = Uuid, Path, description = "The run's id")),
    request_body(content = StepVerbRequest, example = json!({"step": "backend-dev"})),
    responses(
        (status = 202, description = "Accepted", body = VerbAccepted,
            headers(("Location" = String, description = "The run's URL"), ("Retry-After" = u32, description = "Seconds until a look at the run is worthwhile"),
                ("Idempotency-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same key")),
            example = json!({"provisioning_run_id": "0197b7a2-52a5-7c3e-b9a4-6f1d2c3b4ae0", "verb": "retry", "new_run": false})),
        (status = 403, description = "The right that this needs is missing"),
        (status = 404, description = "There is no such run, or you may not see it"),
        (status = 409, description = "The state does not allow it, the slug or the quota is gone, another run is at work, or a request with the same Idempotency-Key is still being served"),
        (status = 423, description = "A freeze shuts the workspace")))]
pub async fn retry(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
    idempotent: Idempotent,
    body: JsonBody,
) -> Result<Response, Problem> {
    verb::request(&state, &caller, id, Verb::Retry, Shape { step: true, comment_required: false }, idempotent, body).await
}
