//! The two pure functions of a run: `fold` makes its state from the journal, `next` says what to do now.
//!
//! They serve the worker, recovery, the API and the CLI alike. Neither looks at a clock: `now` is passed in.

mod advance;
mod fold;
mod next;
mod outcome;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::definition::Pivot;
use crate::journal::{Ending, Fault, Turn};
use crate::ports::{Head, OnFailure, State, WaitingFor};
use crate::{Definition, Time};

pub use advance::{Advance, Gate, Launch, advance};
pub use fold::{IN_PLACE_FROM, fold};
pub use next::{Decision, next};
pub use outcome::{failed, refused, succeeded, undo_failed, unknown};

/// A run as its journal tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// The last sequence number in use.
    pub seq: i64,
    pub created_at: Time,
    pub on_failure: OnFailure,
    /// First claim.
    pub started_at: Option<Time>,
    pub turned: Option<(Turn, Time)>,
    pub cancel_requested: bool,
    pub abandon_requested: bool,
    pub parked: bool,
    /// Operators' pauses hold back what is due.
    pub paused: Option<Paused>,
    /// Since when the deadline stands still: parked, paused or held.
    pub standing_since: Option<Time>,
    /// For how long it has stood still before.
    pub stood: Duration,
    /// Shared with the states that this one was made of.
    pub steps: Vec<Arc<StepState>>,
    pub leftovers: Vec<String>,
    pub ended: Option<(Ending, Time)>,
    pub updated_at: Time,
    /// The last record that is not an attempt's: pairs before it are not written over.
    pub(crate) barrier: i64,
}

/// What pauses hold back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// Scopes, sorted.
    pub by: Vec<String>,
    /// The run, and not only some of its steps.
    pub whole: bool,
    pub since: Time,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StepState {
    pub phase: Phase,
    /// The number of the last attempt.
    pub attempts: u32,
    /// Attempts that no longer count against the budget.
    pub forgiven: u32,
    /// An attempt may have happened, and none has succeeded or failed for good since.
    pub unsure: bool,
    pub fault: Option<Fault>,
    pub output: Option<Arc<Value>>,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    /// The task of a cancelled attempt is still there.
    pub not_returned: bool,
    pub undo: UndoState,
    pub(crate) pair: Pair,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    NotStarted,
    Open,
    Waiting {
        retry_at: Time,
        last: Last,
    },
    /// Failed for good, or its attempts are spent.
    Failed {
        last: Last,
    },
    Succeeded,
    Skipped,
}

/// What the last attempt of a step that is not done came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    Failed,
    Unknown,
    Refused,
}

#[derive(Debug, Clone, PartialEq)]
pub struct UndoState {
    pub phase: UndoPhase,
    pub attempts: u32,
    /// Undo tries that no longer count for the back-off.
    pub forgiven: u32,
    /// `undo_for` counts from here.
    pub since: Option<Time>,
    pub fault: Option<Fault>,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub(crate) pair: Pair,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndoPhase {
    NotStarted,
    Open,
    Waiting {
        retry_at: Time,
    },
    /// Needs a person.
    Stuck,
    Undone,
    Skipped,
}

/// Where the last started/outcome pair of a step stands in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pair {
    pub started: i64,
    pub ended: i64,
}

impl RunState {
    /// Any forward attempt is open.
    #[must_use]
    pub fn has_open(&self) -> bool {
        self.steps.iter().any(|s| s.phase == Phase::Open)
    }

    /// The forward path is left, or about to be: open attempts are to be cancelled.
    #[must_use]
    pub fn leaves(&self) -> bool {
        self.turned.is_some() || self.abandon_requested
    }

    /// The run only goes forward from here.
    #[must_use]
    pub fn past_pivot(&self, definition: &Definition) -> bool {
        match definition.pivot {
            Pivot::None => false,
            Pivot::Start => true,
            Pivot::Step(i) => matches!(self.steps[i].phase, Phase::Succeeded | Phase::Skipped),
        }
    }

    /// The pivot may have happened: the run neither turns nor cancels.
    #[must_use]
    pub fn pivot_undecided(&self, definition: &Definition) -> bool {
        let Pivot::Step(i) = definition.pivot else { return false };
        self.steps[i].phase == Phase::Open || self.steps[i].unsure
    }

    /// The first step that failed for good before the pivot, while `on_failure: hold` keeps the run from turning.
    #[must_use]
    pub fn held(&self, definition: &Definition) -> Option<usize> {
        if self.on_failure != OnFailure::Hold || self.turned.is_some() || self.past_pivot(definition) {
            return None;
        }
        self.steps.iter().position(|s| matches!(s.phase, Phase::Failed { .. }))
    }

    /// When the run turns by itself if it has not got past the pivot; shifted by the time it stood still.
    #[must_use]
    pub fn deadline_at(&self, definition: &Definition) -> Option<Time> {
        self.started_at.map(|t| t + definition.deadline + self.stood)
    }

    /// The first state of `saga.md`'s list that applies.
    #[must_use]
    pub fn state(&self, definition: &Definition, now: Time) -> State {
        if let Some((ending, _)) = self.ended {
            return match ending {
                Ending::Succeeded => State::Succeeded,
                Ending::Failed => State::Failed,
                Ending::Cancelled => State::Cancelled,
                Ending::Abandoned => State::Abandoned,
            };
        }
        let late = self.standing_since.is_none() && self.deadline_at(definition).is_some_and(|d| d <= now);
        if self.steps.iter().enumerate().any(|(i, s)| self.step_is_stuck(definition, i, s)) || (late && self.past_pivot(definition)) {
            State::Stuck
        } else if self.leaves() {
            State::Compensating
        } else if self.has_open() {
            State::Running
        } else if self.waiting_for(definition).is_some() {
            State::Waiting
        } else {
            State::Pending
        }
    }

    fn step_is_stuck(&self, definition: &Definition, index: usize, step: &StepState) -> bool {
        step.not_returned
            || step.undo.phase == UndoPhase::Stuck
            || (matches!(step.phase, Phase::Failed { .. }) && self.turned.is_none() && definition.is_after_pivot(index))
    }

    /// Steps that need a person: `retry` and `skip` are for these.
    #[must_use]
    pub fn stuck_steps(&self, definition: &Definition) -> Vec<usize> {
        (0..self.steps.len()).filter(|&i| self.step_is_stuck(definition, i, &self.steps[i])).collect()
    }

    /// What a run that makes no move by itself waits for.
    #[must_use]
    pub fn waiting_for(&self, definition: &Definition) -> Option<WaitingFor> {
        if self.ended.is_some() || self.leaves() || self.has_open() {
            return None;
        }
        if self.held(definition).is_some() {
            return Some(WaitingFor::Operator);
        }
        if self.parked {
            return Some(WaitingFor::Unfreeze);
        }
        if let Some(paused) = &self.paused {
            return Some(if paused.whole { WaitingFor::Operator } else { WaitingFor::Backend });
        }
        let waits = |wanted: fn(Last) -> bool| self.steps.iter().any(|s| matches!(s.phase, Phase::Waiting { last, .. } if wanted(last)));
        if waits(|l| l == Last::Refused) {
            Some(WaitingFor::Backend)
        } else if waits(|_| true) {
            Some(WaitingFor::Retry)
        } else {
            None
        }
    }

    /// What the run's row shows.
    #[must_use]
    pub fn head(&self, definition: &Definition, now: Time) -> Head {
        let state = self.state(definition, now);
        let done = self.steps.iter().filter(|s| matches!(s.phase, Phase::Succeeded | Phase::Skipped)).count();
        Head {
            state,
            waiting_for: if state == State::Waiting { self.waiting_for(definition) } else { None },
            ending: self.ended.map(|(e, _)| e),
            turn: self.turned.as_ref().map(|(t, _)| t.clone()),
            done: u32::try_from(done).unwrap_or(u32::MAX),
            total: u32::try_from(self.steps.len()).unwrap_or(u32::MAX),
            deadline_at: self.deadline_at(definition),
            paused_by: self.paused.as_ref().map(|p| p.by.clone()).unwrap_or_default(),
        }
    }
}
