//! What a saga is: shape and policy, read from a file. See `load` for the file format and its rules.

pub mod diagram;
mod fields;
mod load;
mod tree;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use load::{LoadError, load, load_checked};

/// What a run is pinned to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DefinitionId {
    pub name: String,
    pub version: u32,
    /// SHA-256 of the file's bytes, in hex: a released file is never edited.
    pub digest: String,
}

#[derive(Debug, Clone)]
pub struct Definition {
    pub id: DefinitionId,
    /// The comment at the top of the file: what the saga is for.
    pub summary: String,
    /// A run that no worker has claimed this long after its creation fails.
    pub start_within: Duration,
    /// Counts from the first claim.
    pub deadline: Duration,
    /// How long a held run waits for an operator.
    pub hold_for: Duration,
    pub pivot: Pivot,
    /// All steps, in file order; `stage` never falls.
    pub steps: Vec<StepDefinition>,
}

/// The point from which a run only goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pivot {
    /// The run can turn until its last step has succeeded.
    None,
    /// Forward-only.
    Start,
    /// The index of the step whose success decides.
    Step(usize),
}

#[derive(Debug, Clone)]
pub struct StepDefinition {
    /// Unique in the saga; the name of the action unless given.
    pub name: String,
    /// The registered code (`do`).
    pub action: String,
    pub with: Value,
    /// Steps of one stage run at once; the next stage starts when all of them are done.
    pub stage: usize,
    pub undo: Undo,
    pub timeout: Duration,
    pub undo_timeout: Duration,
    /// How long undo is tried before a person is asked.
    pub undo_for: Duration,
    pub retry: Retry,
    pub undo_retry: Backoff,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    Action(String),
    /// Nothing to undo, and why.
    None {
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// `None`: without end.
    pub attempts: Option<u32>,
    pub backoff: Backoff,
}

/// Exponential, with full jitter: uniform in `0..=min(max, first × 2^n)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub max: Duration,
}

impl Backoff {
    /// The wait before try `n + 1`, where `n` tries (at least one) have been made; `jitter` is uniform in `0.0..1.0`.
    #[must_use]
    pub fn wait(&self, n: u32, jitter: f64) -> Duration {
        let ceiling = self.first.saturating_mul(1_u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX)).min(self.max);
        ceiling.mul_f64(jitter.clamp(0.0, 1.0))
    }
}

impl Definition {
    /// The same saga with every timeout, back-off and deadline multiplied by `scale`.
    #[must_use]
    pub fn scaled(mut self, scale: f64) -> Self {
        let by = |d: &mut Duration| *d = d.mul_f64(scale);
        by(&mut self.start_within);
        by(&mut self.deadline);
        by(&mut self.hold_for);
        for s in &mut self.steps {
            for d in [
                &mut s.timeout,
                &mut s.undo_timeout,
                &mut s.undo_for,
                &mut s.retry.backoff.first,
                &mut s.retry.backoff.max,
                &mut s.undo_retry.first,
                &mut s.undo_retry.max,
            ] {
                by(d);
            }
        }
        self
    }

    #[must_use]
    pub fn position(&self, step: &str) -> Option<usize> {
        self.steps.iter().position(|s| s.name == step)
    }

    /// Whether the step at `index` runs only once nothing can be taken back any more.
    #[must_use]
    pub fn is_after_pivot(&self, index: usize) -> bool {
        match self.pivot {
            Pivot::None => false,
            Pivot::Start => true,
            Pivot::Step(pivot) => self.steps[index].stage > self.steps[pivot].stage,
        }
    }
}
