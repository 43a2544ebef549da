//! What to do now.

use std::ops::Range;

use super::{Phase, UndoPhase};
use crate::definition::Undo;
use crate::journal::{Ending, Fault, Turn, Verb};
use crate::ports::OnFailure;
use crate::{Definition, RunState, Time};

/// One thing to do. `Turn` and `Supersede` come alone: they are journaled, and `next` is asked again.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Leave the forward path.
    Turn(Turn),
    /// A request came too late.
    Supersede(Verb),
    Abandon {
        leftovers: Vec<String>,
    },
    Start {
        step: usize,
        attempt: u32,
    },
    Undo {
        step: usize,
        attempt: u32,
    },
    /// Nothing more to do before then, unless an attempt ends or a request comes.
    Wake(Time),
    End(Ending),
}

/// What a run whose journal led to `state` does at `now`; nothing if it waits for an attempt or a person.
#[must_use]
pub fn next(definition: &Definition, state: &RunState, now: Time) -> Vec<Decision> {
    if state.ended.is_some() {
        return Vec::new();
    }
    if state.abandon_requested {
        return abandon(definition, state);
    }
    if let Some((turn, _)) = &state.turned {
        if state.cancel_requested && *turn != Turn::Cancelled {
            return vec![Decision::Supersede(Verb::Cancel)];
        }
        return compensate(definition, state, turn, now);
    }
    if state.past_pivot(definition) {
        if state.cancel_requested {
            return vec![Decision::Supersede(Verb::Cancel)];
        }
    } else if !state.pivot_undecided(definition)
        && let Some(turn) = way_out(definition, state, now)
    {
        return vec![Decision::Turn(turn)];
    }
    forward(definition, state, now)
}

fn abandon(definition: &Definition, state: &RunState) -> Vec<Decision> {
    if state.has_open() || state.steps.iter().any(|s| s.undo.phase == UndoPhase::Open) {
        return Vec::new();
    }
    vec![Decision::Abandon { leftovers: state.leftovers(definition) }, Decision::End(Ending::Abandoned)]
}

/// The reason to leave the forward path, if there is one.
fn way_out(definition: &Definition, state: &RunState, now: Time) -> Option<Turn> {
    if state.cancel_requested {
        return Some(Turn::Cancelled);
    }
    if state.started_at.is_none() && state.created_at + definition.start_within <= now {
        return Some(Turn::NotStarted);
    }
    let failed = state.steps.iter().zip(&definition.steps).find(|(s, _)| matches!(s.phase, Phase::Failed { .. }));
    if let Some((step, definition_of_step)) = failed {
        let fault = step.fault.clone().unwrap_or_else(|| Fault::new("step_failed", "The step failed"));
        let name = definition_of_step.name.clone();
        if state.on_failure == OnFailure::Rollback {
            return Some(Turn::Failed { step: name, fault });
        }
        if held_until(definition, state).is_some_and(|until| until <= now) {
            return Some(Turn::HeldTooLong { step: name, fault });
        }
    }
    (state.standing_since.is_none() && state.deadline_at(definition)? <= now).then_some(Turn::Deadline)
}

fn forward(definition: &Definition, state: &RunState, now: Time) -> Vec<Decision> {
    let mut decisions = Vec::new();
    let held = state.held(definition).is_some();
    let Some(current) = stages(definition).find(|range| !state.steps[range.clone()].iter().all(|s| is_done(s.phase))) else {
        return vec![Decision::End(Ending::Succeeded)];
    };
    if !held && !state.parked {
        for step in current {
            let s = &state.steps[step];
            match s.phase {
                Phase::NotStarted => decisions.push(Decision::Start { step, attempt: 1 }),
                Phase::Waiting { retry_at, .. } if retry_at <= now => decisions.push(Decision::Start { step, attempt: s.attempts + 1 }),
                Phase::Waiting { retry_at, .. } => decisions.push(Decision::Wake(retry_at)),
                _ => {}
            }
        }
    }
    if let Some(at) = next_change(definition, state, held).filter(|at| *at > now) {
        decisions.push(Decision::Wake(at));
    }
    decisions
}

/// When the run changes by time alone: the deadline, or the end of an operator's time.
fn next_change(definition: &Definition, state: &RunState, held: bool) -> Option<Time> {
    match state.standing_since {
        Some(_) if held => held_until(definition, state),
        Some(_) => None,
        None if state.pivot_undecided(definition) => None,
        None => state.deadline_at(definition),
    }
}

/// The end of an operator's time, which begins when the first step fails for good: the run may stand still since long
/// before, parked or paused.
fn held_until(definition: &Definition, state: &RunState) -> Option<Time> {
    let failed = state.steps.iter().filter(|s| matches!(s.phase, Phase::Failed { .. }));
    failed.filter_map(|s| s.ended_at).min().map(|since| since + definition.hold_for)
}

fn is_done(phase: Phase) -> bool {
    matches!(phase, Phase::Succeeded | Phase::Skipped)
}

fn compensate(definition: &Definition, state: &RunState, turn: &Turn, now: Time) -> Vec<Decision> {
    if state.has_open() {
        return Vec::new();
    }
    let wants_undo = |i: &usize| {
        let (step, of) = (&state.steps[*i], &definition.steps[*i]);
        step.attempts > 0 && matches!(of.undo, Undo::Action(_)) && !matches!(step.undo.phase, UndoPhase::Undone | UndoPhase::Skipped)
    };
    let last_stage = stages(definition).filter_map(|range| {
        let wanting: Vec<usize> = range.filter(wants_undo).collect();
        (!wanting.is_empty()).then_some(wanting)
    });
    let Some(wanting) = last_stage.last() else {
        return vec![Decision::End(if *turn == Turn::Cancelled { Ending::Cancelled } else { Ending::Failed })];
    };
    let mut decisions = Vec::new();
    for step in wanting {
        let s = &state.steps[step];
        // A task that has not returned could still act after its undo.
        if s.not_returned {
            continue;
        }
        match s.undo.phase {
            UndoPhase::NotStarted => decisions.push(Decision::Undo { step, attempt: 1 }),
            UndoPhase::Waiting { retry_at } if retry_at <= now => decisions.push(Decision::Undo { step, attempt: s.undo.attempts + 1 }),
            UndoPhase::Waiting { retry_at } => decisions.push(Decision::Wake(retry_at)),
            _ => {}
        }
    }
    decisions
}

/// The steps of each stage, in order.
fn stages(definition: &Definition) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        let stage = definition.steps.get(start)?.stage;
        let end = definition.steps[start..].iter().position(|s| s.stage != stage).map_or(definition.steps.len(), |n| start + n);
        let range = start..end;
        start = end;
        Some(range)
    })
}

impl RunState {
    /// Steps whose effects an abandoned run leaves where they are.
    #[must_use]
    pub fn leftovers(&self, definition: &Definition) -> Vec<String> {
        self.steps
            .iter()
            .zip(&definition.steps)
            .filter(|(s, of)| {
                s.attempts > 0 && matches!(of.undo, Undo::Action(_)) && !matches!(s.undo.phase, UndoPhase::Undone | UndoPhase::Skipped)
            })
            .map(|(_, of)| of.name.clone())
            .collect()
    }
}
