//! Journals what `next` decides until only attempts, waits or the end are left: one commit's worth of records.

use std::collections::BTreeSet;

use super::{Decision, Paused, RunState, next};
use crate::journal::Ending;
use crate::{Definition, Event, Record, Time};

/// What one commit is to hold, and what follows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Advance {
    pub records: Vec<Record>,
    /// To be launched once the records are durable.
    pub launches: Vec<Launch>,
    /// The earliest time at which there is something to do.
    pub wake: Option<Time>,
    pub ended: Option<Ending>,
    /// An attempt is due that may not be launched yet.
    pub blocked: bool,
    /// An attempt is due, and what it would draw on is in use as much as it may be.
    pub full: bool,
}

/// An attempt whose start is among the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    pub step: usize,
    pub attempt: u32,
    pub undo: bool,
}

/// Whether an attempt that is due may be launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    Open,
    /// Not yet: its step's task of an earlier attempt has not returned, or the process drains.
    Busy,
    /// Not yet: what it draws on is in use as much as it may be.
    Full,
    /// Operators have paused these scopes; `whole`: some of them are the run's, and not only the step's.
    Paused {
        by: Vec<String>,
        whole: bool,
    },
}

impl RunState {
    /// Gives `event` its place, takes it in, and returns the record to be stored.
    pub fn journal(&mut self, definition: &Definition, event: Event, now: Time) -> Record {
        let record = Record { seq: self.place(definition, &event), at: now, event };
        self.apply(definition, &record);
        record
    }
}

/// Advances `state` as far as it goes at `now`. No attempt is launched whose gate is not open; what pauses hold back is
/// journaled before anything is launched.
pub fn advance(definition: &Definition, state: &mut RunState, now: Time, gate: impl Fn(Launch) -> Gate) -> Advance {
    let mut out = Advance::default();
    loop {
        let decisions = next(definition, state, now);
        let leaves = matches!(decisions.first(), Some(Decision::Turn(_) | Decision::Abandon { .. }));
        if state.started_at.is_none() && state.ended.is_none() && !leaves && !state.leaves() {
            out.records.push(state.journal(definition, Event::RunStarted, now));
            continue;
        }
        if let Some(event) = pauses(state, &decisions, &gate) {
            out.records.push(state.journal(definition, event, now));
            continue;
        }
        out.wake = None;
        (out.blocked, out.full) = (false, false);
        let mut again = false;
        for decision in decisions {
            let name = |step: usize| definition.steps[step].name.clone();
            if let Some(launch) = decision.launch() {
                match gate(launch) {
                    Gate::Open => out.launches.push(launch),
                    Gate::Busy => {
                        out.blocked = true;
                        continue;
                    }
                    Gate::Full => {
                        out.full = true;
                        continue;
                    }
                    Gate::Paused { .. } => continue,
                }
            }
            let event = match decision {
                Decision::Wake(at) => {
                    out.wake = Some(out.wake.map_or(at, |w| w.min(at)));
                    continue;
                }
                Decision::Start { step, attempt } => {
                    let s = &state.steps[step];
                    Event::StepStarted { step: name(step), attempt, forgiven: s.forgiven, unsure: s.unsure }
                }
                Decision::Undo { step, attempt } => Event::UndoStarted { step: name(step), attempt },
                Decision::Turn(turn) => {
                    again = true;
                    Event::Turned { turn }
                }
                Decision::Supersede(verb) => {
                    again = true;
                    Event::Superseded { verb }
                }
                Decision::Abandon { leftovers } => Event::Abandoned { leftovers },
                Decision::End(ending) => {
                    out.ended = Some(ending);
                    Event::Ended { ending }
                }
            };
            out.records.push(state.journal(definition, event, now));
        }
        if !again {
            return out;
        }
    }
}

/// What is to be journaled about pauses before `decisions` are carried out, if anything.
fn pauses(state: &RunState, decisions: &[Decision], gate: impl Fn(Launch) -> Gate) -> Option<Event> {
    if !decisions.iter().all(|d| matches!(d, Decision::Start { .. } | Decision::Undo { .. } | Decision::Wake(_))) {
        return None;
    }
    let (mut scopes, mut run) = (BTreeSet::new(), false);
    for launch in decisions.iter().filter_map(Decision::launch) {
        if let Gate::Paused { by, whole } = gate(launch) {
            scopes.extend(by);
            run |= whole;
        }
    }
    let same = |p: &Paused| p.whole == run && p.by.iter().eq(&scopes);
    match &state.paused {
        None if scopes.is_empty() => None,
        Some(_) if scopes.is_empty() => Some(Event::PauseEnded),
        Some(paused) if same(paused) => None,
        _ => Some(Event::Paused { by: scopes.into_iter().collect(), whole: run }),
    }
}

impl Decision {
    /// The attempt that it begins.
    fn launch(&self) -> Option<Launch> {
        match *self {
            Self::Start { step, attempt } => Some(Launch { step, attempt, undo: false }),
            Self::Undo { step, attempt } => Some(Launch { step, attempt, undo: true }),
            _ => None,
        }
    }
}
