//! `PATCH /v1/workspaces/{id}`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::workspaces::edit::{self, Request};
use utoipa::ToSchema;

use super::get::{WorkspaceDetail, answer};
use super::labels;
use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::if_match::{self, Conditional};
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;

/// What is to be changed; a field that is left out stays as it is.
#[derive(ToSchema)]
#[schema(min_properties = 1)]
#[expect(dead_code, reason = "documents the fields that `update` takes")]
pub struct WorkspacePatch {
    /// For people; need not be unique. The slug stays, and the names that the workspace had stay its own.
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*[^\s\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069][^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*$",
        examples("Sales EMEA")
    )]
    name: Option<String>,
    #[schema(schema_with = labels::patch)]
    labels: Option<domain::labels::LabelsPatch>,
    /// While it is set the workspace cannot be deleted.
    #[schema(nullable = false)]
    termination_protection: Option<bool>,
}

/// Change a workspace
///
/// Its name, its labels (merged: null takes one away) and its termination protection. With `If-Match` only if the workspace is
/// still what the client has seen. What changes nothing is answered in the same way, and leaves the revision as it is. Needs
/// `administer` on the workspace, or on its account while the workspace is provisioning or failed.
#[utoipa::path(patch, path = "/v1/workspaces/{id}", operation_id = "updateWorkspace", tag = "Workspaces",
    params(("id" = uuid::Uuid, Path, description = "The workspace's id"),
        if_match::IfMatchHeader),
    request_body(content = WorkspacePatch, example = json!({"name": "Sales EMEA", "labels": {"cost-center": "4712", "trial": null}})),
    responses((status = 200, description = "The workspace as it is now", body = WorkspaceDetail,
            headers(("ETag" = String, description = "The row's revision")),
            example = json!({"id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "account_id": "7d0f2f0c-9a63-4c55-8d1b-0d3a5a1c77e0", "name": "Sales EMEA",
                "slug": "sales-europe", "status": "active", "region": "local", "tenancy_model": "shared",
                "labels": {"cost-center": "4712"}, "termination_protection": false, "freezes": [], "created_at": "2026-11-22T19:30:00.123456Z",
                "updated_at": "2026-11-23T08:00:00.323456Z", "allowed_actions": ["read", "audit", "update", "delete"]})),
        (status = 403, description = "The right that this needs is missing"),
        (status = 404, description = "There is no such workspace, or you may not see it"),
        (status = 412, description = "The workspace is not at a revision that `If-Match` names"),
        (status = 423, description = "The workspace is frozen or deleted")))]
pub async fn update(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
    Conditional(if_match): Conditional,
    body: JsonBody,
) -> Result<Response, Problem> {
    let mut fields = body.fields();
    fields.require_any();
    let request = Request {
        name: fields.text("name"),
        labels: fields.texts("labels"),
        termination_protection: fields.flag("termination_protection"),
    };
    fields.finish()?;
    Ok(answer(edit::edit(&state.berth, &caller, id, request, if_match).await?))
}
