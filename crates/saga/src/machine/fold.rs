//! The state of a run, from its journal.

use crate::ports::OnFailure;
use crate::{Definition, Record, RunState, Time};

/// The state that the records, in order, lead to.
#[must_use]
pub fn fold(definition: &Definition, created_at: Time, on_failure: OnFailure, records: &[Record]) -> RunState {
    let mut state = RunState::new(definition, created_at, on_failure);
    for record in records {
        state.apply(definition, record);
    }
    state
}

impl RunState {
    /// A run whose journal is empty.
    #[must_use]
    pub fn new(definition: &Definition, created_at: Time, on_failure: OnFailure) -> Self {
        let _ = (definition, created_at, on_failure);
        unimplemented!()
    }

    /// Takes in one record.
    pub fn apply(&mut self, definition: &Definition, record: &Record) {
        let _ = (definition, record);
        unimplemented!()
    }
}
