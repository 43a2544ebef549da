//! `DELETE /v1/accounts/{id}/members/{principal_id}`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::model::Scope;

use crate::State;
use crate::caller::Authenticated;
use crate::members::{RemovedMember, removed};
use crate::path::PathIds;
use crate::problem::Problem;
use crate::query::NoQuery;

/// Remove a member from an account
///
/// With 200 the permission system has taken the role away. With 202 it is still to be told, and each request of the former member
/// on the account is answered 503 until it has been. What has an owner keeps one. Needs `administer` on the account.
#[utoipa::path(delete, path = "/v1/accounts/{id}/members/{principal_id}", operation_id = "removeAccountMember", tag = "Accounts",
    params(("id" = uuid::Uuid, Path, description = "The account's id"), ("principal_id" = uuid::Uuid, Path, description = "The member's id")),
    responses(
        (status = 200, description = "The role is gone", body = RemovedMember,
            example = json!({"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21", "state": "removed"})),
        (status = 202, description = "The removal is recorded, and the permission system is still to be told", body = RemovedMember,
            headers(("Retry-After" = u32, description = "Seconds until the removal may be in force")),
            example = json!({"type": "user", "id": "0b9d5d4e-6a3c-4f0e-9a55-5d2f3a7c9e21", "state": "pending"})),
        (status = 403, description = "`administer` on the account is missing"),
        (status = 404, description = "There is no such account or member, or you may not see it"),
        (status = 409, description = "No owner would be left, or the account is not active")))]
pub async fn remove(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathIds(id, principal): PathIds,
    _: NoQuery,
) -> Result<Response, Problem> {
    Ok(removed(domain::members::remove(&state.berth, &caller, Scope::Account, id, principal).await?))
}
