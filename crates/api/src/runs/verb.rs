//! What `cancel`, `retry`, `skip` and `abandon` share: their body, their use case, and their answer.

use axum::response::Response;
use domain::Caller;
use domain::ports::Answer;
use domain::runs::Requested;
use saga::{RunId, Verb};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::State;
use crate::body::JsonBody;
use crate::idempotency::{Idempotent, respond};
use crate::problem::Problem;

/// Why the verb is asked for.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `request` takes")]
pub struct VerbRequest {
    /// Kept in the run's journal and in the audit log.
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 1000,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$",
        examples("wrong region")
    )]
    comment: Option<String>,
}

/// Why the verb is asked for, and for which step.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `request` takes")]
pub struct StepVerbRequest {
    /// The step that is meant; needed where several are stuck.
    #[schema(nullable = false, examples("backend-dev"))]
    step: Option<String>,
    /// Kept in the run's journal and in the audit log.
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 1000,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$",
        examples("dropped by hand")
    )]
    comment: Option<String>,
}

/// Why the run is abandoned.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `request` takes")]
pub struct AbandonRequest {
    /// Kept in the run's journal and in the audit log.
    #[schema(
        min_length = 1,
        max_length = 1000,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$",
        examples("the platform is gone")
    )]
    comment: String,
}

/// What the step was done by hand for.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the fields that `request` takes")]
pub struct SkipRequest {
    /// The step that is meant; needed where several are stuck.
    #[schema(nullable = false, examples("backend-dev"))]
    step: Option<String>,
    /// Kept in the run's journal and in the audit log.
    #[schema(
        min_length = 1,
        max_length = 1000,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$",
        examples("dropped by hand")
    )]
    comment: String,
}

/// The verb is recorded; the run's journal tells what became of it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what `answer` words")]
pub struct VerbAccepted {
    /// The run that the verb acts on; a new one where an ended run is tried again.
    provisioning_run_id: Uuid,
    #[schema(inline)]
    verb: VerbWord,
    /// Whether the run is a new one.
    new_run: bool,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "documents what `answer` words")]
pub enum VerbWord {
    Cancel,
    Retry,
    Skip,
    Abandon,
}

fn answer(requested: &Requested) -> Answer {
    Answer {
        status: 202,
        location: Some(super::url(requested.run_id)),
        body: json!({"provisioning_run_id": requested.run_id, "verb": requested.verb, "new_run": requested.new_run}),
    }
}

/// Which fields a verb's body has.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub step: bool,
    pub comment_required: bool,
}

pub async fn request(
    state: &State,
    caller: &Caller,
    run: Uuid,
    verb: Verb,
    shape: Shape,
    idempotent: Idempotent,
    body: JsonBody,
) -> Result<Response, Problem> {
    let raw = body.raw.clone();
    let mut fields = body.fields();
    let step = if shape.step { fields.text("step") } else { None };
    let comment = if shape.comment_required { Some(fields.required_text("comment")) } else { fields.text("comment") };
    fields.finish()?;
    let reply = domain::runs::request(&state.berth, caller, RunId(run), verb, step, comment, idempotent.replay(&raw, answer)).await?;
    Ok(respond(reply, answer))
}
