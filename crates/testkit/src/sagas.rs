//! Sagas of shapes that Berth's own do not have yet, so that the engine is drilled on them too, and their steps.

use std::sync::Arc;

use async_trait::async_trait;
use domain::Change;
use domain::ports::CallError;
use domain::steps::input::CreateWorkspaceInput;
use saga::{Attempt, Fault, Outcome, Step, UndoOutcome};
use serde_json::json;

use crate::world::FakeBackends;

/// Name and text, as in [`domain::steps::DEFINITIONS`].
pub const DEFINITIONS: &[(&str, &str)] = &[
    ("sagas/drill-after-pivot.v1.yaml", include_str!("../sagas/drill-after-pivot.v1.yaml")),
    ("sagas/drill-forward-only.v1.yaml", include_str!("../sagas/drill-forward-only.v1.yaml")),
];

/// The code that [`DEFINITIONS`] name beside Berth's own.
#[must_use]
pub fn steps(backends: &Arc<FakeBackends>) -> Vec<Arc<dyn Step<Change>>> {
    vec![Arc::new(RaiseFlag(backends.clone())), Arc::new(Announce(backends.clone()))]
}

/// A pivot whose effect is outside: it may have happened and be unknown.
struct RaiseFlag(Arc<FakeBackends>);

/// An effect that is never taken back.
struct Announce(Arc<FakeBackends>);

async fn put(backends: &FakeBackends, attempt: &Attempt, what: &str) -> Outcome<Change> {
    let input = match attempt.input::<CreateWorkspaceInput>() {
        Ok(input) => input,
        Err(fault) => return Outcome::Failed(fault),
    };
    match backends.put(&format!("{what} of {}", input.workspace_id), attempt.run, &attempt.key()).await {
        Ok(()) => Outcome::done(json!({})),
        Err(CallError::Failed(fault)) => Outcome::Failed(fault),
        Err(CallError::Unknown(fault)) => Outcome::Unknown(fault),
        Err(CallError::Refused { retry_after }) => Outcome::Refused { retry_after },
    }
}

#[async_trait]
impl Step<Change> for RaiseFlag {
    fn action(&self) -> &'static str {
        "raise-flag"
    }

    fn undo_action(&self) -> Option<&'static str> {
        Some("lower-flag")
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        put(&self.0, attempt, "flag").await
    }

    async fn undo(&self, attempt: &Attempt) -> UndoOutcome<Change> {
        match attempt.input::<CreateWorkspaceInput>() {
            Ok(input) => {
                self.0.take(&format!("flag of {}", input.workspace_id), attempt.run, &attempt.key()).await;
                UndoOutcome::Undone { change: None }
            }
            Err(fault) => UndoOutcome::Failed(fault),
        }
    }
}

#[async_trait]
impl Step<Change> for Announce {
    fn action(&self) -> &'static str {
        "announce"
    }

    fn undo_action(&self) -> Option<&'static str> {
        None
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        put(&self.0, attempt, &format!("announcement {}", attempt.step)).await
    }

    async fn undo(&self, _attempt: &Attempt) -> UndoOutcome<Change> {
        UndoOutcome::Failed(Fault::new("announced", "What was announced is known"))
    }
}
