//! One attempt as a task: isolated from panics, and known to the process until it has returned.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use tokio::sync::Notify;

use crate::machine::Launch;
use crate::step::{Attempt, Outcome, Step, UndoOutcome};
use crate::{Fault, RunId};

/// The steps of this process that have a task, whoever started it: no other attempt of such a step may start.
#[derive(Default, Clone)]
pub(crate) struct Tasks {
    busy: Arc<Mutex<HashSet<(RunId, usize)>>>,
    /// How many attempts draw on each thing that has a limit.
    drawn: Arc<Mutex<HashMap<String, usize>>>,
    /// Fires when a task returns, or what it drew on is free again.
    pub returned: Arc<Notify>,
}

/// Held by a task while it runs.
pub(crate) struct Busy {
    tasks: Tasks,
    key: (RunId, usize),
    _drawn: Option<Drawn>,
}

/// A place among those that draw on something with a limit; free again when this is dropped.
pub(crate) struct Drawn {
    tasks: Tasks,
    scope: String,
}

impl Drop for Drawn {
    fn drop(&mut self) {
        let mut drawn = self.tasks.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = drawn.get_mut(&self.scope) {
            *places -= 1;
            if *places == 0 {
                drawn.remove(&self.scope);
            }
        }
        drop(drawn);
        self.tasks.returned.notify_waiters();
    }
}

impl Tasks {
    pub fn is_busy(&self, run: RunId, step: usize) -> bool {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).contains(&(run, step))
    }

    pub fn enter(&self, run: RunId, step: usize, drawn: Option<Drawn>) -> Busy {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert((run, step));
        Busy { tasks: self.clone(), key: (run, step), _drawn: drawn }
    }

    /// A place among the `limit` that may draw on `scope` at once, if one is free.
    pub fn draw(&self, scope: &str, limit: usize) -> Option<Drawn> {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let places = drawn.entry(scope.to_owned()).or_default();
        if *places >= limit {
            return None;
        }
        *places += 1;
        Some(Drawn { tasks: self.clone(), scope: scope.to_owned() })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.tasks.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.tasks.returned.notify_waiters();
    }
}

/// How an attempt's task returned.
#[derive(Clone)]
pub(crate) enum Returned<C> {
    Forward(Outcome<C>),
    Undo(UndoOutcome<C>),
}

/// Runs the step; a panic counts as unknown, for it may have come after the effect.
pub(crate) async fn attempt<C: 'static>(step: Arc<dyn Step<C>>, attempt: Attempt, launch: Launch, busy: Busy) -> (Launch, Returned<C>) {
    let panicked = || Fault::new("step_panicked", "The step's code failed unexpectedly").retryable();
    let returned = if launch.undo {
        let caught = AssertUnwindSafe(step.undo(&attempt)).catch_unwind().await;
        Returned::Undo(caught.unwrap_or_else(|_| UndoOutcome::Failed(panicked())))
    } else {
        let caught = AssertUnwindSafe(step.run(&attempt)).catch_unwind().await;
        Returned::Forward(caught.unwrap_or_else(|_| Outcome::Unknown(panicked())))
    };
    drop(busy);
    (launch, returned)
}
