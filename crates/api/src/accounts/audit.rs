//! `GET /v1/accounts/{id}/audit`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::audit::read;

use crate::State;
use crate::audit::{Asked, AuditEntry, Filters};
use crate::caller::Authenticated;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::Query;

/// Audit entries of an account
///
/// The account's whole chain, newest first unless `order=asc`: what was done to it and to its workspaces, those included that are
/// no more. A past page never changes. Needs `read_workspaces` on the account; while it is not active it is read by its creator
/// and by those who read the platform. The nil UUID's is the platform's own chain, for those who read the platform: what operators
/// do to the platform and what users were denied stands there.
#[utoipa::path(get, path = "/v1/accounts/{id}/audit", operation_id = "listAccountAuditEntries", tag = "Accounts",
    params(("id" = uuid::Uuid, Path, description = "The account's id"), Filters),
    responses((status = 200, description = "A page of entries", body = [AuditEntry], headers(("Link" = String, description = "Leads to the next page, if there is one")),
            example = json!([])),
        (status = 403, description = "`read_workspaces` on the account is missing"),
        (status = 404, description = "There is no such account, or you may not see it")))]
pub async fn audit(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    query: Query,
) -> Result<Response, Problem> {
    let asked = Asked::read(query)?;
    let found = read::of_account(&state.berth, &caller, id, &asked.filter, asked.page).await?;
    Ok(asked.answer(found))
}
