//! Provisioning runs on the wire.

pub mod abandon;
pub mod cancel;
pub mod events;
pub mod get;
pub mod list;
pub mod retry;
pub mod skip;
mod steps;
mod verb;

use domain::model::ProvisioningRun;
use saga::RunId;
use saga::journal::{Ending, Turn};
use saga::ports::{State, WaitingFor};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::timestamp::Timestamp;

pub use steps::Step;

/// The path of a run.
#[must_use]
pub fn url(run: RunId) -> String {
    format!("/v1/provisioning-runs/{run}")
}

/// One execution of a saga.
#[derive(Serialize, ToSchema)]
pub struct Run {
    id: Uuid,
    #[schema(examples("create-workspace"))]
    saga: String,
    /// Of the saga: the run is pinned to it.
    version: u32,
    account_id: Uuid,
    /// Null for a run about an account.
    #[schema(required)]
    workspace_id: Option<Uuid>,
    /// The run that this one tries again.
    #[schema(required)]
    retry_of: Option<Uuid>,
    /// The run that tries this one again.
    #[schema(required)]
    retried_by: Option<Uuid>,
    #[schema(inline)]
    state: RunState,
    /// The run has ended; its state changes no more.
    terminal: bool,
    #[schema(required, inline)]
    outcome: Option<RunOutcome>,
    /// Why the run left the forward path, if it did.
    #[schema(required)]
    reason: Option<Reason>,
    /// What a `waiting` run waits for.
    #[schema(required, inline)]
    waiting_for: Option<RunWaitingFor>,
    /// Pauses that hold the run, or steps of it, back.
    #[schema(examples("backend:local"))]
    paused_by: Vec<String>,
    progress: Progress,
    /// When the run turns back by itself; null until it has begun.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    deadline_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Pending,
    Running,
    Waiting,
    Compensating,
    Stuck,
    Succeeded,
    Failed,
    Cancelled,
    Abandoned,
}

impl From<State> for RunState {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Running => Self::Running,
            State::Waiting => Self::Waiting,
            State::Compensating => Self::Compensating,
            State::Stuck => Self::Stuck,
            State::Succeeded => Self::Succeeded,
            State::Failed => Self::Failed,
            State::Cancelled => Self::Cancelled,
            State::Abandoned => Self::Abandoned,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    Succeeded,
    Failed,
    Cancelled,
    Abandoned,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunWaitingFor {
    Retry,
    Backend,
    Unfreeze,
    Operator,
}

/// Steps that are done, of all that the run has.
#[derive(Serialize, ToSchema)]
pub struct Progress {
    done: u32,
    total: u32,
}

/// Why a run left the forward path.
#[derive(Serialize, ToSchema)]
pub struct Reason {
    /// A stable slug.
    #[schema(examples("backend_unavailable"))]
    r#type: String,
    title: String,
    #[schema(required)]
    detail: Option<String>,
    /// The step that failed, if one did.
    #[schema(required)]
    step: Option<String>,
    /// Whether the same request might succeed later.
    retryable: bool,
}

impl From<Turn> for Reason {
    fn from(turn: Turn) -> Self {
        let plain = |r#type: &str, title: &str, retryable| Self {
            r#type: r#type.to_owned(),
            title: title.to_owned(),
            detail: None,
            step: None,
            retryable,
        };
        match turn {
            Turn::Failed { step, fault } | Turn::HeldTooLong { step, fault } => {
                Self { r#type: fault.r#type, title: fault.title, detail: fault.detail, step: Some(step), retryable: fault.retryable }
            }
            Turn::Cancelled => plain("cancelled", "The run was cancelled", false),
            Turn::Deadline => plain("deadline", "The run did not end before its deadline", true),
            Turn::NotStarted => plain("not_started", "No worker took the run in time", true),
        }
    }
}

impl From<ProvisioningRun> for Run {
    fn from(run: ProvisioningRun) -> Self {
        Self {
            id: run.id.0,
            saga: run.definition.name,
            version: run.definition.version,
            account_id: run.account_id,
            workspace_id: run.workspace_id,
            retry_of: run.retry_of.map(|r| r.0),
            retried_by: run.retried_by.map(|r| r.0),
            state: run.state.into(),
            terminal: run.ending.is_some(),
            outcome: run.ending.map(|ending| match ending {
                Ending::Succeeded => RunOutcome::Succeeded,
                Ending::Failed => RunOutcome::Failed,
                Ending::Cancelled => RunOutcome::Cancelled,
                Ending::Abandoned => RunOutcome::Abandoned,
            }),
            reason: run.turn.map(Reason::from),
            waiting_for: run.waiting_for.map(|waits| match waits {
                WaitingFor::Retry => RunWaitingFor::Retry,
                WaitingFor::Backend => RunWaitingFor::Backend,
                WaitingFor::Unfreeze => RunWaitingFor::Unfreeze,
                WaitingFor::Operator => RunWaitingFor::Operator,
            }),
            paused_by: run.paused_by,
            progress: Progress { done: run.done, total: run.total },
            deadline_at: run.deadline_at.map(Timestamp),
            created_at: run.created_at.into(),
            updated_at: run.updated_at.into(),
        }
    }
}
