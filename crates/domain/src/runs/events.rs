//! What a watcher of a run is told of its journal: projections of its records, never the records.

use saga::journal::{Event, Fault, Turn};
use saga::machine::{IN_PLACE_FROM, RunState};
use saga::ports::State;
use saga::{Definition, Record, Time};

use crate::Berth;
use crate::model::RunDetail;

/// One record without outputs, details, actors and comments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEvent {
    /// Its place in the journal.
    pub seq: i64,
    pub kind: &'static str,
    pub step: Option<String>,
    pub attempt: Option<u32>,
    /// The run's state after it; `None` where this binary does not know the run's definition.
    pub state: Option<State>,
    pub at: Time,
    pub error: Option<EventError>,
    /// Of a pair that later attempts are, or may be, written over.
    pub passing: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventError {
    pub code: String,
    pub title: String,
}

impl From<&Fault> for EventError {
    fn from(fault: &Fault) -> Self {
        Self { code: fault.r#type.clone(), title: fault.title.clone() }
    }
}

impl RunEvent {
    /// Tells of the same record, which was not written over in between.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (self.seq, self.kind, self.at, self.attempt) == (other.seq, other.kind, other.at, other.attempt)
    }
}

/// The journal's records, in sequence, as a watcher is told of them. An outcome that the next attempt's start has already
/// been written in front of is left out: it is over, and about to be written over.
#[must_use]
pub fn events(berth: &Berth, detail: &RunDetail) -> Vec<RunEvent> {
    let definition = berth.sagas.get(&detail.run.definition).map(|saga| &*saga.definition);
    let whole =
        definition.map(|d| saga::machine::fold(d, detail.run.created_at, detail.run.on_failure, &detail.journal).state(d, at_end(detail)));
    let mut state = definition.map(|d| RunState::new(d, detail.run.created_at, detail.run.on_failure));
    let mut events = Vec::with_capacity(detail.journal.len());
    for record in &detail.journal {
        let is_over = is_outdated(definition, state.as_ref(), record);
        if let (Some(definition), Some(state)) = (definition, &mut state) {
            state.apply(definition, record);
        }
        if is_over {
            continue;
        }
        let attempt = record.event.attempt_of();
        let passing = attempt.is_some_and(|(_, n)| n >= IN_PLACE_FROM);
        let now = definition.zip(state.as_ref()).map(|(d, s)| s.state(d, record.at));
        events.push(RunEvent {
            seq: record.seq,
            kind: record.event.word(),
            step: attempt.map(|(step, _)| step).or(step(&record.event)).map(ToOwned::to_owned),
            attempt: attempt.map(|(_, n)| n),
            // What was written over is younger than what follows it.
            state: if passing { whole } else { now },
            at: record.at,
            error: error(&record.event),
            passing,
        });
    }
    events
}

fn at_end(detail: &RunDetail) -> Time {
    detail.journal.iter().map(|r| r.at).max().unwrap_or(detail.run.created_at)
}

/// An outcome of an attempt that is not the current one of its step.
fn is_outdated(definition: Option<&Definition>, state: Option<&RunState>, record: &Record) -> bool {
    let Some((step, attempt)) = record.event.attempt_of() else { return false };
    let Some(step) = definition.and_then(|d| d.position(step)).and_then(|i| state.map(|s| &s.steps[i])) else { return false };
    match &record.event {
        Event::StepStarted { .. } | Event::UndoStarted { .. } => false,
        Event::Undone { .. } | Event::UndoFailed { .. } => step.undo.attempts != attempt,
        _ => step.attempts != attempt,
    }
}

fn step(event: &Event) -> Option<&str> {
    match event {
        Event::TaskNotReturned { step } | Event::Skipped { step } => Some(step),
        Event::Requested { step, .. } => step.as_deref(),
        Event::Turned { turn } => turn.step(),
        _ => None,
    }
}

fn error(event: &Event) -> Option<EventError> {
    match event {
        Event::StepFailed { fault, .. }
        | Event::StepUnknown { fault, .. }
        | Event::UndoFailed { fault, .. }
        | Event::Turned { turn: Turn::Failed { fault, .. } | Turn::HeldTooLong { fault, .. } } => Some(fault.into()),
        _ => None,
    }
}
