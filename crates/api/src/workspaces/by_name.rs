//! `GET /v1/accounts/{account_id}/workspaces/by-name/{name}`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::workspaces::named;

use super::get::{WorkspaceDetail, answer};
use crate::State;
use crate::caller::Authenticated;
use crate::path::PathIdAndText;
use crate::problem::Problem;
use crate::query::NoQuery;

/// A workspace by name
///
/// The live workspace of the account that has this name, as a read by id shows it. Upper and lower case and white space do not
/// matter. A name that several have is 409 `name_ambiguous`, and one whose workspace has been renamed or deleted since is 409
/// `name_retired`, whoever has it now: with the ids that the caller may read, and never with another workspace.
#[utoipa::path(get, path = "/v1/accounts/{account_id}/workspaces/by-name/{name}", operation_id = "getWorkspaceByName", tag = "Workspaces",
    params(("account_id" = uuid::Uuid, Path, description = "The account's id"),
        ("name" = String, Path, description = "The name, percent-encoded", min_length = 1, max_length = 200,
            pattern = r"^[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*[^\s\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069][^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*$",
            example = json!("Sales Europe"))),
    responses((status = 200, description = "The workspace", body = WorkspaceDetail, headers(("ETag" = String, description = "The row's revision")),
            example = json!({"id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "account_id": "7d0f2f0c-9a63-4c55-8d1b-0d3a5a1c77e0", "name": "Sales Europe",
                "slug": "sales-europe", "status": "active", "region": "local", "tenancy_model": "shared",
                "labels": {}, "termination_protection": false, "freezes": [], "created_at": "2026-11-22T19:30:00.123456Z",
                "updated_at": "2026-11-22T19:30:00.323456Z", "allowed_actions": ["read", "audit"]})),
        (status = 404, description = "The name stands for nothing that you may see"),
        (status = 409, description = "Several workspaces have the name, or the one that had it has another one now or is deleted"),
        (status = 423, description = "A freeze blocks the workspace, and you do not administer it")))]
pub async fn by_name(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathIdAndText(account, name): PathIdAndText,
    _: NoQuery,
) -> Result<Response, Problem> {
    Ok(answer(named::by_name(&state.berth, &caller, account, &name).await?))
}
