//! The saga that is measured: as many steps as are wanted, one after the other, each of which does nothing. What is left is
//! what the engine and the database cost. Where it is measured what becomes of runs, their steps last until they are stopped.

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use domain::Change;
use saga::definition::load;
use saga::{Attempt, Definition, Fault, Outcome, Registry, Step, UndoOutcome};
use serde_json::json;

use super::refused;
use crate::failure::Failure;

const ACTION: &str = "do-nothing";
const HEAD: &str = "\
# Steps that do nothing, for measurements.
saga: bench
version: 1
start_within: 1d
deadline: 1d
hold_for: 1d
defaults:
  timeout: 1m
  undo_timeout: 1m
  undo_for: 1h
  retry: { attempts: 3, first: 200ms, max: 10s }
  undo_retry: { first: 200ms, max: 10s }
stages:
";

/// The definition with `steps` steps.
///
/// # Errors
/// There is to be no step.
pub fn definition(steps: u32) -> Result<Definition, Failure> {
    let mut text = HEAD.to_owned();
    for step in 1..=steps {
        let _ = writeln!(text, "  - {{ name: step-{step}, do: {ACTION}, undo: {{ none: did nothing }} }}");
    }
    load("the bench's saga", &text).map_err(refused)
}

/// The definition with its code. A run's end writes no audit entry: the run belongs to nobody's workspace.
///
/// # Errors
/// As [`definition`].
pub fn registry(steps: u32, lasting: bool) -> Result<Arc<Registry<Change>>, Failure> {
    let code: Vec<Arc<dyn Step<Change>>> = vec![Arc::new(DoNothing { lasting })];
    let mut registry = Registry::default();
    registry.add(definition(steps)?, &code, |_, _, _| None).map_err(refused)?;
    Ok(Arc::new(registry))
}

struct DoNothing {
    /// Each attempt goes on until it is told to stop.
    lasting: bool,
}

#[async_trait]
impl Step<Change> for DoNothing {
    fn action(&self) -> &'static str {
        ACTION
    }

    fn undo_action(&self) -> Option<&'static str> {
        None
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        if self.lasting {
            attempt.cancelled.cancelled().await;
        }
        Outcome::done(json!({"ok": true}))
    }

    async fn undo(&self, _: &Attempt) -> UndoOutcome<Change> {
        UndoOutcome::Failed(Fault::new("nothing_to_undo", "Nothing was done"))
    }
}
