//! Journals what `next` decides until only attempts, waits or the end are left: one commit's worth of records.

use super::{Decision, RunState, next};
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
}

/// An attempt whose start is among the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    pub step: usize,
    pub attempt: u32,
    pub undo: bool,
}

impl RunState {
    /// Gives `event` its place, takes it in, and returns the record to be stored.
    pub fn journal(&mut self, definition: &Definition, event: Event, now: Time) -> Record {
        let record = Record { seq: self.place(definition, &event), at: now, event };
        self.apply(definition, &record);
        record
    }
}

/// Advances `state` as far as it goes at `now`. No attempt is launched for which `may_launch` says no (its step's task of
/// an earlier attempt has not returned, or the process drains).
pub fn advance(definition: &Definition, state: &mut RunState, now: Time, may_launch: impl Fn(usize) -> bool) -> Advance {
    let mut out = Advance::default();
    loop {
        let decisions = next(definition, state, now);
        let leaves = matches!(decisions.first(), Some(Decision::Turn(_) | Decision::Abandon { .. }));
        if state.started_at.is_none() && state.ended.is_none() && !leaves && !state.leaves() {
            out.records.push(state.journal(definition, Event::RunStarted, now));
            continue;
        }
        out.wake = None;
        out.blocked = false;
        let mut again = false;
        for decision in decisions {
            let name = |step: usize| definition.steps[step].name.clone();
            let event = match decision {
                Decision::Wake(at) => {
                    out.wake = Some(out.wake.map_or(at, |w| w.min(at)));
                    continue;
                }
                Decision::Start { step, .. } | Decision::Undo { step, .. } if !may_launch(step) => {
                    out.blocked = true;
                    continue;
                }
                Decision::Start { step, attempt } => {
                    out.launches.push(Launch { step, attempt, undo: false });
                    let s = &state.steps[step];
                    Event::StepStarted { step: name(step), attempt, forgiven: s.forgiven, unsure: s.unsure }
                }
                Decision::Undo { step, attempt } => {
                    out.launches.push(Launch { step, attempt, undo: true });
                    Event::UndoStarted { step: name(step), attempt }
                }
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
