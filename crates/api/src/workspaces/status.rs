//! `PATCH /v1/workspaces/{id}/status`.

use axum::Json;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse as _, Response};
use domain::model;
use domain::workspaces::status::{self, ChildKind, Request, View, Wanted};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::WorkspaceStatus;
use super::get::tag;
use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::freezes::{Freeze, FreezeMode};
use crate::if_match::{Conditional, IfMatchHeader};
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::NoQuery;

/// A freeze, or what is to be lifted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `change` takes")]
pub struct ChangeStatus {
    /// `frozen` sets the freeze of one source, in the place of its earlier one; `active` lifts the freezes of `sources`.
    #[schema(inline)]
    status: WantedStatus,
    /// With `frozen`: whose freeze it is.
    #[schema(nullable = false, inline, default = "account_admin")]
    source: Option<SourceOnRequest>,
    #[schema(nullable = false, inline)]
    reason: Option<ReasonGiven>,
    /// With `frozen`: how far it shuts.
    #[schema(nullable = false, inline, default = "read_only")]
    mode: Option<FreezeMode>,
    /// With `frozen`: from then on it is in force no more; later than now, and within ten years. Left out: until it is lifted.
    #[schema(value_type = String, format = DateTime, nullable = false, required = false)]
    expires_at: Option<String>,
    /// With `active`: whose freezes are lifted; `account_admin` alone if left out.
    #[schema(nullable = false, inline, min_items = 1)]
    sources: Option<Vec<SourceOnRequest>>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the words of `status`")]
pub enum WantedStatus {
    Frozen,
    Active,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents `SOURCES`")]
pub enum SourceOnRequest {
    AccountAdmin,
    Billing,
    Platform,
    Security,
    Legal,
}

/// With `frozen`, which it is needed for: why. Gives no right.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields of `reason`")]
pub struct ReasonGiven {
    /// For programs; free.
    #[schema(pattern = "^[a-z0-9_]{1,64}$", examples("unpaid_invoice"))]
    code: String,
    /// For people; kept with the freeze and in the audit log.
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 1000,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$",
        examples("Second reminder of 1 November")
    )]
    note: Option<String>,
}

/// What is in force, and how far it is carried out.
#[derive(Serialize, ToSchema)]
pub struct WorkspaceShut {
    workspace_id: Uuid,
    #[schema(inline)]
    status: WorkspaceStatus,
    /// The freezes in force.
    freezes: Vec<Freeze>,
    /// Of the set of freezes; every change of it raises it.
    revision: i64,
    /// The revision that logins and tokens were last brought to whole.
    applied_revision: i64,
    /// What carries the freezes to logins and tokens; absent if there has been none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    apply: Option<FreezesCarried>,
}

/// The run that carries the freezes on, and what it carries them to.
#[derive(Serialize, ToSchema)]
pub struct FreezesCarried {
    provisioning_run_id: Uuid,
    children: Vec<FreezeCarried>,
}

/// Something that a freeze is carried to.
#[derive(Serialize, ToSchema)]
pub struct FreezeCarried {
    #[schema(inline)]
    r#type: CarriedTo,
    /// Of the backend workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<Uuid>,
    #[schema(inline)]
    state: CarriedState,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CarriedTo {
    BackendWorkspace,
    Tokens,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CarriedState {
    Pending,
    Applied,
}

impl From<View> for WorkspaceShut {
    fn from(view: View) -> Self {
        let children = view.children.into_iter().map(|child| FreezeCarried {
            r#type: match child.kind {
                ChildKind::BackendWorkspace => CarriedTo::BackendWorkspace,
                ChildKind::Tokens => CarriedTo::Tokens,
            },
            id: child.id,
            state: if child.applied { CarriedState::Applied } else { CarriedState::Pending },
        });
        let apply = view.run.map(|run| FreezesCarried { provisioning_run_id: run.0, children: children.collect() });
        let workspace = view.workspace;
        Self {
            workspace_id: workspace.id,
            status: (&workspace).into(),
            revision: workspace.freeze_revision,
            applied_revision: workspace.freeze_applied,
            freezes: workspace.freezes.into_iter().map(Freeze::from).collect(),
            apply,
        }
    }
}

const SOURCES: [(&str, model::FreezeSource); 5] = [
    ("account_admin", model::FreezeSource::AccountAdmin),
    ("billing", model::FreezeSource::Billing),
    ("platform", model::FreezeSource::Platform),
    ("security", model::FreezeSource::Security),
    ("legal", model::FreezeSource::Legal),
];

fn read(body: JsonBody) -> Result<Request, Problem> {
    let mut fields = body.fields();
    let request = Request {
        wanted: fields.required_word("status", &[("frozen", Wanted::Frozen), ("active", Wanted::Active)]).unwrap_or(Wanted::Active),
        source: fields.word("source", &SOURCES),
        reason: fields.object("reason", |reason| (reason.required_text("code"), reason.text("note"))),
        mode: fields.word("mode", &[("read_only", model::FreezeMode::ReadOnly), ("blocked", model::FreezeMode::Blocked)]),
        expires_at: fields.time("expires_at"),
        sources: fields.words("sources", &SOURCES),
    };
    fields.finish()?;
    Ok(request)
}

/// Freeze or unfreeze a workspace
///
/// A workspace holds a set of freezes, at most one of each source, and is frozen while one is in force. With the answer the gate is
/// shut: whoever asks for a change from then on gets 423 with the freezes that shut it, and what was asked before has been done. In mode
/// `blocked` reads are shut as well: the workspace, its runs and its audit log answer to who administers it, all else is 423. A run
/// that is at work parks at its next step, its deadline standing still; compensation goes on. A run of `apply-freezes`, named in `apply`, carries
/// the set to backend logins and tokens. An identical freeze changes nothing. `active` lifts the freezes of `sources`; the answer
/// says what is still in force. The freeze of a deletion is lifted by restoring the workspace.
///
/// `account_admin` needs `administer` on the workspace, every other source `administer` on the platform.
#[utoipa::path(patch, path = "/v1/workspaces/{id}/status", operation_id = "changeWorkspaceStatus", tag = "Workspaces",
    params(("id" = Uuid, Path, description = "The workspace's id"), IfMatchHeader),
    request_body(content = ChangeStatus,
        example = json!({"status": "frozen", "reason": {"code": "unpaid_invoice", "note": "Second reminder of 1 November"}})),
    responses(
        (status = 200, description = "What is in force now", body = WorkspaceShut, headers(("ETag" = String, description = "The row's revision")),
            example = json!({"workspace_id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "status": "frozen",
                "freezes": [{"source": "account_admin", "mode": "read_only", "reason": {"code": "unpaid_invoice", "note": "Second reminder of 1 November"},
                    "created_by": {"type": "user", "id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7f00"}, "created_at": "2026-11-22T19:30:00.123456Z"}],
                "revision": 1, "applied_revision": 0, "apply": {"provisioning_run_id": "0197b7a2-52a5-7c3e-b9a4-6f1d2c3b4ae0", "children": [
                    {"type": "backend_workspace", "id": "0197b7a2-52a6-7a11-9d3e-1f2a3b4c5de0", "state": "pending"}, {"type": "tokens", "state": "pending"}]}})),
        (status = 403, description = "The right that the source needs is missing"),
        (status = 404, description = "There is no such workspace, or you may not see it"),
        (status = 409, description = "What the workspace is rules it out; `allowed` says what is possible"),
        (status = 412, description = "The workspace is at another revision than those of `If-Match`")))]
pub async fn change(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    _: NoQuery,
    Conditional(if_match): Conditional,
    body: JsonBody,
) -> Result<Response, Problem> {
    let request = read(body)?;
    let view = status::change(&state.berth, &caller, id, request, if_match).await?;
    let tag = tag(view.workspace.revision);
    Ok((tag, Json(WorkspaceShut::from(view))).into_response())
}
