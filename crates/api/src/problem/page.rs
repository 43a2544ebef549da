//! `GET /problems/{code}`: the page that the `type` of a problem points to.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use http::header;

use super::{Code, Problem};
use crate::query::NoQuery;

/// A problem explained
///
/// What happened and what to do about it, for the kind of problem that its `type` names. The page is Markdown. Needs no token.
#[utoipa::path(get, path = "/problems/{code}", operation_id = "getProblemPage", tag = "Service", security(()),
    params(("code" = String, Path, description = "The problem's `code`", example = "workspace_frozen")),
    responses((status = 200, description = "The page", body = String, content_type = "text/markdown",
            example = json!("# The workspace is frozen\n")),
        (status = 404, description = "There is no problem of this kind")))]
pub async fn page(code: Result<Path<String>, PathRejection>, _: NoQuery) -> Result<Response, Problem> {
    // What is not even a text names no problem.
    let Path(code) = code.map_err(|_| Problem::of(Code::RouteNotFound))?;
    let code = Code::ALL.iter().find(|known| known.as_str() == code).ok_or_else(|| Problem::of(Code::RouteNotFound))?;
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], code.page()).into_response())
}
