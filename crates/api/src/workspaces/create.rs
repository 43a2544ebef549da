//! `POST /v1/workspaces`.

use axum::Json;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse as _, Response};
use domain::labels::Labels;
use domain::model;
use domain::ports::Answer;
use domain::workspaces::create::{self, Accepted, Request};
use saga::ports::OnFailure;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{TenancyModel, labels};
use crate::State;
use crate::body::JsonBody;
use crate::caller::Authenticated;
use crate::idempotency::{Idempotent, respond};
use crate::problem::Problem;
use crate::query::Query;
use crate::runs;

/// The workspace to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `create` takes")]
pub struct CreateWorkspace {
    account_id: Uuid,
    /// For people; need not be unique.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*[^\s\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069][^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]*$",
        examples("Sales Europe")
    )]
    name: String,
    /// One of the names that `GET /v1/regions` lists.
    #[schema(examples("local"))]
    region: String,
    /// Unique among the account's live workspaces. Made from the name if left out, with a suffix if that is taken.
    #[schema(nullable = false, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", examples("sales-europe"))]
    slug: Option<String>,
    #[schema(nullable = false, inline, default = "shared")]
    tenancy_model: Option<TenancyModel>,
    /// What happens when a step cannot succeed: `rollback` takes everything away again, `hold` waits for a person.
    #[schema(nullable = false, inline, default = "rollback")]
    on_failure: Option<OnFailureWord>,
    #[schema(schema_with = labels::labels)]
    labels: Option<Labels>,
    /// While it is set the workspace cannot be deleted.
    #[schema(nullable = false, default = false)]
    termination_protection: Option<bool>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents the words of `on_failure`")]
pub enum OnFailureWord {
    Rollback,
    Hold,
}

/// The workspace exists, and a run is at work on it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what `answer` words")]
pub struct WorkspaceAccepted {
    workspace_id: Uuid,
    provisioning_run_id: Uuid,
    #[schema(inline)]
    status: super::WorkspaceStatus,
}

/// What a create would do.
#[derive(Serialize, ToSchema)]
pub struct Plan {
    #[schema(examples("create-workspace"))]
    saga: String,
    version: u32,
    /// The slug that the workspace would get now.
    #[schema(examples("sales-europe"))]
    slug: String,
    steps: Vec<PlannedStep>,
}

#[derive(Serialize, ToSchema)]
pub struct PlannedStep {
    #[schema(examples("create-environments"))]
    name: String,
    /// Steps of one stage run at once.
    stage: u32,
    /// What takes the step back; null where there is nothing to take back.
    #[schema(examples("delete-environments"))]
    undo: Option<String>,
}

fn answer(accepted: &Accepted) -> Answer {
    Answer {
        status: 202,
        location: Some(runs::url(accepted.run_id)),
        body: json!({"workspace_id": accepted.workspace_id, "provisioning_run_id": accepted.run_id, "status": "provisioning"}),
    }
}

fn read(body: JsonBody) -> Result<Request, Problem> {
    let mut fields = body.fields();
    let request = Request {
        account_id: fields.required_id("account_id"),
        name: fields.required_text("name"),
        region: fields.required_text("region"),
        slug: fields.text("slug"),
        tenancy_model: fields
            .word("tenancy_model", &[("shared", model::TenancyModel::Shared), ("dedicated", model::TenancyModel::Dedicated)])
            .unwrap_or(model::TenancyModel::Shared),
        on_failure: fields
            .word("on_failure", &[("rollback", OnFailure::Rollback), ("hold", OnFailure::Hold)])
            .unwrap_or(OnFailure::Rollback),
        labels: fields.new_texts("labels").unwrap_or_default(),
        termination_protection: fields.flag("termination_protection").unwrap_or(false),
    };
    fields.finish()?;
    Ok(request)
}

/// Create a workspace
///
/// Records the workspace and a run that makes its environments, backend workspaces and permissions, or leaves nothing behind.
/// The workspace can be read at once, in status `provisioning`. Follow `Location` until the run has ended.
/// Needs `administer` on the account. With `dry_run=true` everything is checked and nothing made: the answer is the plan.
#[utoipa::path(post, path = "/v1/workspaces", operation_id = "createWorkspace", tag = "Workspaces",
    params(("dry_run" = Option<bool>, Query, nullable = false, description = "Check only, and answer with the plan")),
    request_body(content = CreateWorkspace,
        example = json!({"account_id": "7d0f2f0c-9a63-4c55-8d1b-0d3a5a1c77e0", "name": "Sales Europe", "region": "local"})),
    responses(
        (status = 202, description = "Accepted", body = WorkspaceAccepted,
            headers(("Location" = String, description = "The run's URL"), ("Retry-After" = u32, description = "Seconds until a look at the run is worthwhile"),
                ("Idempotency-Replayed" = String, description = "`true` if this is the answer to an earlier request with the same key")),
            example = json!({"workspace_id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "provisioning_run_id": "0197b7a2-52a5-7c3e-b9a4-6f1d2c3b4ae0", "status": "provisioning"})),
        (status = 200, description = "The plan of a dry run", body = Plan,
            example = json!({"saga": "create-workspace", "version": 1, "slug": "sales-europe",
                "steps": [{"name": "create-environments", "stage": 0, "undo": "delete-environments"}]})),
        (status = 403, description = "`administer` on the account is missing"),
        (status = 404, description = "There is no such account, or you may not see it"),
        (status = 409, description = "The slug is taken, the quota is used up, the account is not active, or a request with the same Idempotency-Key is still being served")))]
pub async fn create(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    mut query: Query,
    idempotent: Idempotent,
    body: JsonBody,
) -> Result<Response, Problem> {
    let dry_run = query.flag("dry_run");
    query.finish()?;
    let raw = body.raw.clone();
    let request = read(body)?;
    if dry_run {
        let plan = create::plan(&state.berth, &caller, request).await?;
        return Ok(Json(Plan::from(plan)).into_response());
    }
    let reply = create::create(&state.berth, &caller, request, idempotent.replay(&raw, answer)).await?;
    Ok(respond(reply, answer))
}

impl From<create::Plan> for Plan {
    fn from(plan: create::Plan) -> Self {
        let step = |s: create::PlannedStep| PlannedStep { name: s.name, stage: s.stage, undo: s.undo };
        Self { saga: plan.saga, version: plan.version, slug: plan.slug, steps: plan.steps.into_iter().map(step).collect() }
    }
}
