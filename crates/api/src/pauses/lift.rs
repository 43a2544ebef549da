//! `DELETE /v1/pauses/{kind}/{id}`.

use axum::extract::State as Extracted;
use http::StatusCode;
use utoipa::IntoParams;

use super::{PathScope, PauseKind};
use crate::State;
use crate::caller::Authenticated;
use crate::problem::Problem;
use crate::query::Query;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `lift` takes")]
pub struct Lifting {
    /// Why; kept in the audit log.
    #[param(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        nullable = false,
        required = false,
        example = "disk is replaced"
    )]
    comment: Option<String>,
}

/// Resume a backend, a saga or an account
///
/// What waited for the pause goes on, spread over a minute; what another pause holds back as well stays. Needs `administer` on the
/// platform.
#[utoipa::path(delete, path = "/v1/pauses/{kind}/{id}", operation_id = "liftPause", tag = "Pauses",
    params(("kind" = inline(PauseKind), Path, description = "What is paused"),
        ("id" = String, Path, description = "A backend's name, a saga's name, or an account's id", example = "local"), Lifting),
    responses((status = 204, description = "It is paused no longer"),
        (status = 403, description = "The right that this needs is missing"),
        (status = 404, description = "It is not paused")))]
pub async fn lift(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathScope(scope): PathScope,
    mut query: Query,
) -> Result<StatusCode, Problem> {
    let comment = query.text("comment");
    query.finish()?;
    domain::pauses::lift(&state.berth, &caller, scope, comment.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
