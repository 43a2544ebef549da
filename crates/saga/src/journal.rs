//! The journal of a run: append-only records, keyed by run and sequence, from which everything else is derived.
//!
//! Only the owner of a run appends. From the 20th attempt of a step on, its started/outcome pair is written over in
//! place, so that a step that retries for a day does not fill the table; `fold` therefore ignores an outcome whose
//! attempt is not the step's current one.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Time;

/// One row of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counts from 1, without gaps.
    pub seq: i64,
    pub at: Time,
    pub event: Event,
}

/// Why something failed: a stable slug for programs, sentences for people. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// A stable slug, `[a-z0-9_]+`.
    pub r#type: String,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub retryable: bool,
}

impl Fault {
    #[must_use]
    pub fn new(r#type: &str, title: &str) -> Self {
        Self { r#type: r#type.to_owned(), title: title.to_owned(), detail: None, retryable: false }
    }

    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Title and detail in one line.
    #[must_use]
    pub fn text(&self) -> String {
        self.detail.as_ref().map_or_else(|| self.title.clone(), |detail| format!("{}: {detail}", self.title))
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// What an operator, a caller or a freeze asks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Cancel,
    Retry,
    Skip,
    Abandon,
    /// A freeze shuts the workspace: forward steps stop at their next boundary.
    Park,
    Unpark,
}

/// Why a run left the forward path. The first one names the outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Turn {
    /// A step failed for good, or spent its attempts.
    Failed {
        step: String,
        fault: Fault,
    },
    Cancelled,
    Deadline,
    /// Not claimed by any worker within `start_within`.
    NotStarted,
    /// Held for an operator, who did not come in time.
    HeldTooLong {
        step: String,
        fault: Fault,
    },
}

impl Turn {
    /// Its word in the journal.
    #[must_use]
    pub fn why(&self) -> &'static str {
        match self {
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::Deadline => "deadline",
            Self::NotStarted => "not_started",
            Self::HeldTooLong { .. } => "held_too_long",
        }
    }

    /// The step that failed, if one did.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::Failed { step, .. } | Self::HeldTooLong { step, .. } => Some(step),
            Self::Cancelled | Self::Deadline | Self::NotStarted => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Succeeded,
    Failed,
    Cancelled,
    Abandoned,
}

impl Ending {
    /// Its word in the journal.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// First claim; the deadline counts from here.
    RunStarted,
    /// Durable before the effect can happen.
    ///
    /// The other two are carried along because the outcomes that they come from may be written over: how many attempts
    /// no longer count, and whether one of them may have happened without any having decided since.
    StepStarted {
        step: String,
        attempt: u32,
        #[serde(default, skip_serializing_if = "is_zero")]
        forgiven: u32,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unsure: bool,
    },
    StepSucceeded {
        step: String,
        attempt: u32,
        output: Value,
    },
    /// Changed nothing. `retry_at` is absent when it will not be tried again by itself.
    StepFailed {
        step: String,
        attempt: u32,
        fault: Fault,
        retry_at: Option<Time>,
    },
    /// May or may not have happened: timeout, lost reply, crash, panic.
    StepUnknown {
        step: String,
        attempt: u32,
        fault: Fault,
        retry_at: Option<Time>,
    },
    /// Refused by our own limit, breaker or pause: no attempt. `forgiven` is how many of the step's attempts no longer
    /// count, this one included.
    StepRefused {
        step: String,
        attempt: u32,
        forgiven: u32,
        retry_at: Time,
    },
    Turned {
        turn: Turn,
    },
    UndoStarted {
        step: String,
        attempt: u32,
    },
    Undone {
        step: String,
        attempt: u32,
    },
    UndoFailed {
        step: String,
        attempt: u32,
        fault: Fault,
        retry_at: Option<Time>,
    },
    /// The task of a cancelled attempt did not return in time; nothing more happens here until it has.
    TaskNotReturned {
        step: String,
    },
    /// A new owner took the run: the tasks of earlier ones are gone.
    Resumed {
        epoch: i64,
    },
    Requested {
        verb: Verb,
        step: Option<String>,
        actor: Value,
        comment: Option<String>,
    },
    /// A request that came too late to matter, such as a cancel that lost against the pivot.
    Superseded {
        verb: Verb,
    },
    Skipped {
        step: String,
    },
    /// Operators have paused what an attempt that is due needs: it is not started. Written again when others join or leave.
    Paused {
        /// The pauses' scopes, sorted.
        by: Vec<String>,
        /// The run is paused, and not only some of its steps.
        whole: bool,
    },
    /// No pause holds anything back any more.
    PauseEnded,
    Abandoned {
        leftovers: Vec<String>,
    },
    Ended {
        ending: Ending,
    },
}

impl Event {
    /// Its word in the journal.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::RunStarted => "run_started",
            Self::StepStarted { .. } => "step_started",
            Self::StepSucceeded { .. } => "step_succeeded",
            Self::StepFailed { .. } => "step_failed",
            Self::StepUnknown { .. } => "step_unknown",
            Self::StepRefused { .. } => "step_refused",
            Self::Turned { .. } => "turned",
            Self::UndoStarted { .. } => "undo_started",
            Self::Undone { .. } => "undone",
            Self::UndoFailed { .. } => "undo_failed",
            Self::TaskNotReturned { .. } => "task_not_returned",
            Self::Resumed { .. } => "resumed",
            Self::Requested { .. } => "requested",
            Self::Superseded { .. } => "superseded",
            Self::Skipped { .. } => "skipped",
            Self::Paused { .. } => "paused",
            Self::PauseEnded => "pause_ended",
            Self::Abandoned { .. } => "abandoned",
            Self::Ended { .. } => "ended",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}
