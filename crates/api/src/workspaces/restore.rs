//! `POST /v1/workspaces/{id}/restore`.

use axum::extract::State as Extracted;
use axum::response::Response;
use domain::ports::{Answer, Ended};
use domain::workspaces::delete;
use serde_json::json;
use utoipa::ToSchema;

use super::delete::WorkspaceChanged;
use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::idempotency::{Idempotent, respond};
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;

/// How to restore.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `restore` takes")]
pub struct RestoreRequest {
    /// In the place of the one that it had, which another workspace may have by now.
    #[schema(nullable = false, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", examples("sales-europe-2"))]
    slug: Option<String>,
}

fn answer(ended: &Ended) -> Answer {
    Answer { status: 200, location: None, body: json!(WorkspaceChanged::from(ended)) }
}

/// Restore a workspace
///
/// Makes a deleted workspace what it was before, until its purge has begun. Its freeze of source `deletion` is lifted, which a run of
/// `apply-freezes`, named in `apply`, carries to logins and tokens; other freezes stay in force. Needs `administer` on the workspace, or on
/// its account if it had failed.
#[utoipa::path(post, path = "/v1/workspaces/{id}/restore", operation_id = "restoreWorkspace", tag = "Workspaces",
    params(("id" = uuid::Uuid, Path, description = "The workspace's id")),
    request_body(content = RestoreRequest, example = json!({"slug": "sales-europe-2"})),
    responses((status = 200, description = "The workspace as it is now", body = WorkspaceChanged,
            headers(("Idempotency-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same key")),
            example = json!({"id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "account_id": "7d0f2f0c-9a63-4c55-8d1b-0d3a5a1c77e0", "name": "Sales Europe",
                "slug": "sales-europe-2", "status": "active", "region": "local", "tenancy_model": "shared", "labels": {},
                "termination_protection": false, "freezes": [], "created_at": "2026-11-22T19:30:00.123456Z",
                "updated_at": "2026-11-24T08:00:00.323456Z", "apply": {"provisioning_run_id": "0197b7a2-52a5-7c3e-b9a4-6f1d2c3b4ae0"}})),
        (status = 403, description = "The right that this needs is missing"),
        (status = 404, description = "There is no such workspace, or you may not see it"),
        (status = 409, description = "It is not deleted, or being purged; its slug is taken; or a request with the same Idempotency-Key is still being served")))]
pub async fn restore(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
    idempotent: Idempotent,
    body: JsonBody,
) -> Result<Response, Problem> {
    let raw = body.raw.clone();
    let mut fields = body.fields();
    let slug = fields.text("slug");
    fields.finish()?;
    let reply = delete::restore(&state.berth, &caller, id, slug, idempotent.replay(&raw, answer)).await?;
    Ok(respond(reply, answer))
}
