//! What a step is: `run` and `undo` together, and the three values of an outcome.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{Fault, RunId};

/// The largest output a step may journal, in bytes of JSON: references only.
pub const OUTPUT_MAX: usize = 16 * 1024;

/// One try of a step or of its undo, and all that it may look at.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub run: RunId,
    pub step: String,
    /// Counts from 1, over the whole run.
    pub number: u32,
    /// What the run was created with: every id that it will make is fixed here.
    pub input: Arc<Value>,
    /// The step's `with` from the definition file.
    pub with: Value,
    /// Outputs of the steps that have succeeded, by step name; for an undo its own among them, if known.
    pub outputs: Arc<BTreeMap<String, Arc<Value>>>,
    /// Fires when the attempt is to stop: timeout, a turned run, a lost lease, a drain.
    pub cancelled: CancellationToken,
}

impl Attempt {
    /// The idempotency key for outside calls: the same at every attempt of this step.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}:{}", self.run, self.step)
    }

    /// # Errors
    /// The input does not have the shape that the step was written for.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        T::deserialize(&*self.input)
            .map_err(|e| Fault::new("step_input_invalid", "The run's input does not fit this step").detail(e.to_string()))
    }

    /// # Errors
    /// `with` in the definition file does not have the shape that the step was written for.
    pub fn with<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        T::deserialize(&self.with)
            .map_err(|e| Fault::new("step_with_invalid", "The definition's `with` does not fit this step").detail(e.to_string()))
    }
}

/// How an attempt ended. `change` is applied by the store in the transaction that records the outcome.
#[derive(Debug, Clone)]
pub enum Outcome<C> {
    Succeeded {
        output: Value,
        change: Option<C>,
    },
    /// Definitely failed: changed nothing. The fault says whether it is worth another try.
    Failed(Fault),
    /// May or may not have happened: tried again with the same key, never read as failure.
    Unknown(Fault),
    /// Refused by our own limit, breaker or pause: no attempt.
    Refused {
        retry_after: Duration,
    },
}

impl<C> Outcome<C> {
    #[must_use]
    pub fn done(output: Value) -> Self {
        Self::Succeeded { output, change: None }
    }

    #[must_use]
    pub fn changed(output: Value, change: C) -> Self {
        Self::Succeeded { output, change: Some(change) }
    }
}

/// How an undo ended. A failed undo is tried again while its fault is retryable and `undo_for` lasts.
#[derive(Debug, Clone)]
pub enum UndoOutcome<C> {
    Undone { change: Option<C> },
    Failed(Fault),
}

/// Code behind a definition's `do` and `undo`.
///
/// Both must be idempotent under [`Attempt::key`], and an undo must beat a late forward call of its own run.
#[async_trait]
pub trait Step<C>: Send + Sync + 'static {
    /// The name that a definition's `do` gives.
    fn action(&self) -> &'static str;

    /// The name that a definition's `undo` gives; `None` if there is nothing to undo.
    fn undo_action(&self) -> Option<&'static str>;

    /// The scope that an attempt of the step, or of its undo, needs to be open beside those of its run, such as
    /// `backend:NAME`: while an operator has paused it, the step waits and its siblings go on. Depends on nothing but the
    /// run's input and the step's `with`.
    fn draws_on(&self, _input: &Value, _with: &Value) -> Option<String> {
        None
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<C>;

    /// Called for every step that was started, whatever its last outcome.
    async fn undo(&self, attempt: &Attempt) -> UndoOutcome<C>;
}
