//! How an attempt's outcome is journaled: whether and when it is tried again is decided here, once.

use serde_json::Value;

use crate::{Definition, Event, Fault, RunState, Time};

#[must_use]
pub fn succeeded(definition: &Definition, state: &RunState, step: usize, output: Value) -> Event {
    let _ = (definition, state, step, output);
    unimplemented!()
}

#[must_use]
pub fn failed(definition: &Definition, state: &RunState, step: usize, fault: Fault, now: Time, jitter: f64) -> Event {
    let _ = (definition, state, step, fault, now, jitter);
    unimplemented!()
}

#[must_use]
pub fn unknown(definition: &Definition, state: &RunState, step: usize, fault: Fault, now: Time, jitter: f64) -> Event {
    let _ = (definition, state, step, fault, now, jitter);
    unimplemented!()
}

#[must_use]
pub fn refused(definition: &Definition, state: &RunState, step: usize, retry_at: Time) -> Event {
    let _ = (definition, state, step, retry_at);
    unimplemented!()
}

#[must_use]
pub fn undo_failed(definition: &Definition, state: &RunState, step: usize, fault: Fault, now: Time, jitter: f64) -> Event {
    let _ = (definition, state, step, fault, now, jitter);
    unimplemented!()
}
