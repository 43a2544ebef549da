//! `GET /v1/pauses`.

use axum::Json;
use axum::extract::State as Extracted;

use super::PauseBody;
use crate::State;
use crate::caller::Authenticated;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Pauses
///
/// All pauses that are in force. Needs `read` on the platform.
#[utoipa::path(get, path = "/v1/pauses", operation_id = "listPauses", tag = "Pauses",
    responses((status = 200, description = "All pauses", body = [PauseBody],
            example = json!([{"scope": "backend:local", "kind": "backend", "id": "local", "undo": false, "comment": "disk is being replaced",
                "created_by": {"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21"}, "created_at": "2026-11-22T19:30:00.123456Z"}])),
        (status = 403, description = "The right that this needs is missing")))]
pub async fn list(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    _: NoQuery,
) -> Result<Json<Vec<PauseBody>>, Problem> {
    let pauses = domain::pauses::list(&state.berth, &caller).await?;
    Ok(Json(pauses.into_iter().map(PauseBody::from).collect()))
}
