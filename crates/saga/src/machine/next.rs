//! What to do now.

use crate::journal::{Turn, Verb};
use crate::{Definition, RunState, Time};

/// One thing to do. The first four of these but `Wake` are journaled before anything else is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    Turn(Turn),
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
    /// Nothing to do before then.
    Wake(Time),
    End(crate::journal::Ending),
}

#[must_use]
pub fn next(definition: &Definition, state: &RunState, now: Time) -> Vec<Decision> {
    let _ = (definition, state, now);
    unimplemented!()
}
