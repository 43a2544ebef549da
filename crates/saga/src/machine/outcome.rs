//! How an attempt's outcome is journaled: whether and when it is tried again is decided here, once.
//!
//! `jitter` is uniform in `0.0..1.0` and passed in, as is the time.

use serde_json::Value;

use super::Last;
use crate::definition::Pivot;
use crate::{Definition, Event, Fault, RunState, Time};

#[must_use]
pub fn succeeded(definition: &Definition, state: &RunState, step: usize, output: Value) -> Event {
    Event::StepSucceeded { step: definition.steps[step].name.clone(), attempt: state.steps[step].attempts, output }
}

/// A definite failure: tried again if it is worth it and the budget allows.
#[must_use]
pub fn failed(definition: &Definition, state: &RunState, step: usize, fault: Fault, now: Time, jitter: f64) -> Event {
    let retry_at = if fault.retryable { retry_at(definition, state, step, Last::Failed, now, jitter) } else { None };
    Event::StepFailed { step: definition.steps[step].name.clone(), attempt: state.steps[step].attempts, fault, retry_at }
}

/// Tried again with the same key until the budget is spent; the pivot, and what comes after it, without end.
#[must_use]
pub fn unknown(definition: &Definition, state: &RunState, step: usize, fault: Fault, now: Time, jitter: f64) -> Event {
    let retry_at = retry_at(definition, state, step, Last::Unknown, now, jitter);
    Event::StepUnknown { step: definition.steps[step].name.clone(), attempt: state.steps[step].attempts, fault, retry_at }
}

#[must_use]
pub fn refused(definition: &Definition, state: &RunState, step: usize, retry_at: Time) -> Event {
    let s = &state.steps[step];
    Event::StepRefused { step: definition.steps[step].name.clone(), attempt: s.attempts, forgiven: s.forgiven + 1, retry_at }
}

/// Tried again while the fault is worth it and `undo_for` lasts; then a person is asked.
#[must_use]
pub fn undo_failed(definition: &Definition, state: &RunState, step: usize, fault: Fault, now: Time, jitter: f64) -> Event {
    let (of, undo) = (&definition.steps[step], &state.steps[step].undo);
    let at = now + of.undo_retry.wait(undo.attempts.saturating_sub(undo.forgiven).max(1), jitter);
    let budget_ends = undo.since.unwrap_or(now) + of.undo_for;
    let retry_at = (fault.retryable && at <= budget_ends).then_some(at);
    Event::UndoFailed { step: of.name.clone(), attempt: undo.attempts, fault, retry_at }
}

fn retry_at(definition: &Definition, state: &RunState, step: usize, last: Last, now: Time, jitter: f64) -> Option<Time> {
    let (of, s) = (&definition.steps[step], &state.steps[step]);
    let counted = s.attempts.saturating_sub(s.forgiven).max(1);
    let undecided = definition.pivot == Pivot::Step(step) && (last == Last::Unknown || s.unsure);
    let endless = definition.is_after_pivot(step) || undecided;
    let allowed = endless || of.retry.attempts.is_none_or(|max| counted < max);
    allowed.then(|| now + of.retry.backoff.wait(counted, jitter))
}
