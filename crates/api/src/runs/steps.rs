//! A run's steps on the wire, from the state that its journal folds to.

use saga::machine::{Phase, RunState, StepState, UndoPhase, UndoState};
use serde::Serialize;
use utoipa::ToSchema;

use crate::timestamp::Timestamp;

/// One step of a run.
#[derive(Serialize, ToSchema)]
pub struct Step {
    #[schema(examples("create-environments"))]
    name: String,
    #[schema(inline)]
    state: StepWord,
    /// How often the step was tried.
    attempts: u32,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// When a waiting step is tried again.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    /// What the last attempt came to, if it did not succeed.
    #[schema(required)]
    error: Option<StepError>,
    /// How the step was taken back; null if nobody has begun to.
    #[schema(required)]
    compensation: Option<Compensation>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepWord {
    Pending,
    Running,
    Waiting,
    Failed,
    Succeeded,
    /// An operator did by hand what the step does.
    Skipped,
}

/// The taking back of a step.
#[derive(Serialize, ToSchema)]
pub struct Compensation {
    #[schema(inline)]
    state: CompensationWord,
    attempts: u32,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    #[schema(required)]
    error: Option<StepError>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CompensationWord {
    Running,
    Waiting,
    /// Needs a person: `retry`, `skip` or `abandon`.
    Stuck,
    Undone,
    Skipped,
}

/// Why an attempt did not succeed.
#[derive(Serialize, ToSchema)]
pub struct StepError {
    /// A stable slug.
    #[schema(examples("backend_unavailable"))]
    r#type: String,
    title: String,
    #[schema(required)]
    detail: Option<String>,
    retryable: bool,
}

impl From<&saga::Fault> for StepError {
    fn from(fault: &saga::Fault) -> Self {
        Self { r#type: fault.r#type.clone(), title: fault.title.clone(), detail: fault.detail.clone(), retryable: fault.retryable }
    }
}

/// The steps of a run in the order of its definition.
pub fn of(names: &[String], state: &RunState) -> Vec<Step> {
    let goes_on = !state.leaves() && state.ended.is_none();
    names.iter().zip(&state.steps).map(|(name, step)| one(name, step, goes_on)).collect()
}

fn one(name: &str, step: &StepState, goes_on: bool) -> Step {
    let next_attempt_at = match step.phase {
        Phase::Waiting { retry_at, .. } if goes_on => Some(Timestamp(retry_at)),
        _ => None,
    };
    Step {
        name: name.to_owned(),
        state: match step.phase {
            Phase::NotStarted => StepWord::Pending,
            Phase::Open => StepWord::Running,
            Phase::Waiting { .. } if goes_on => StepWord::Waiting,
            // A step that would have been tried again, had the run not left the forward path.
            Phase::Waiting { .. } | Phase::Failed { .. } => StepWord::Failed,
            Phase::Succeeded => StepWord::Succeeded,
            Phase::Skipped => StepWord::Skipped,
        },
        attempts: step.attempts,
        started_at: step.started_at.map(Timestamp),
        ended_at: step.ended_at.map(Timestamp),
        next_attempt_at,
        error: step.fault.as_ref().map(StepError::from),
        compensation: compensation(&step.undo),
    }
}

fn compensation(undo: &UndoState) -> Option<Compensation> {
    let next_attempt_at = if let UndoPhase::Waiting { retry_at } = undo.phase { Some(Timestamp(retry_at)) } else { None };
    Some(Compensation {
        state: match undo.phase {
            UndoPhase::NotStarted => return None,
            UndoPhase::Open => CompensationWord::Running,
            UndoPhase::Waiting { .. } => CompensationWord::Waiting,
            UndoPhase::Stuck => CompensationWord::Stuck,
            UndoPhase::Undone => CompensationWord::Undone,
            UndoPhase::Skipped => CompensationWord::Skipped,
        },
        attempts: undo.attempts,
        started_at: undo.started_at.map(Timestamp),
        ended_at: undo.ended_at.map(Timestamp),
        next_attempt_at,
        error: undo.fault.as_ref().map(StepError::from),
    })
}
