//! How a worker works; nothing about what a saga does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::machine::Launch;
use crate::ports::Facts;

/// Makes the tracing span of an attempt; the step's name is the third argument.
pub type AttemptSpan = Arc<dyn Fn(&Facts, Launch, &str) -> tracing::Span + Send + Sync>;

#[derive(Clone)]
pub struct Options {
    /// Runs at work at once.
    pub concurrency: usize,
    /// Transactions of transitions at once, each of many runs.
    pub commits_at_once: usize,
    pub lease: Duration,
    pub renew_every: Duration,
    /// Behind every hint there is a poll this often, give or take a quarter.
    pub poll_every: Duration,
    /// Behind what a renewal tells of the others' leases, dead workers are looked for this often, give or take a quarter.
    pub sweep_every: Duration,
    /// A run that waits longer than this is released.
    pub keep_for: Duration,
    /// What a cancelled attempt has before it counts as unknown.
    pub cancel_grace: Duration,
    /// A task that has not returned this long after its cancellation makes the run stuck.
    pub task_patience: Duration,
    /// Runs that a pause held back go on spread over this time, so that what was paused is not overrun.
    pub resume_over: Duration,
    /// A run that a pause holds back is looked at this often, give or take half, should it have been forgotten.
    pub paused_for: Duration,
    /// What open attempts have when the process drains.
    pub drain_for: Duration,
    /// By kind of scope (`account` of `account:…`): how many runs of one such scope may be at work at once, one at least. A kind
    /// that is not there has no limit.
    pub limits: BTreeMap<String, usize>,
    /// By kind of what steps draw on (`backend` of `backend:…`): how many attempts may draw on one such thing at once, one at least. A kind
    /// that is not there has no limit.
    pub draws: BTreeMap<String, usize>,
    /// A run that waits for such a place is kept for `keep_for`; then it is released, and looked at again after this, give or take half.
    pub full_for: Duration,
    pub span: AttemptSpan,
    /// Uniform in `0.0..1.0`.
    pub jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
}

#[expect(clippy::disallowed_methods, reason = "the engine's one source of jitter; tests pass in their own")]
fn jitter() -> f64 {
    rand::random()
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 64,
            commits_at_once: 2,
            lease: Duration::from_secs(10),
            renew_every: Duration::from_secs(3),
            poll_every: Duration::from_secs(1),
            sweep_every: Duration::from_mins(1),
            keep_for: Duration::from_secs(1),
            cancel_grace: Duration::from_secs(10),
            task_patience: Duration::from_mins(1),
            resume_over: Duration::from_mins(1),
            paused_for: Duration::from_hours(1),
            drain_for: Duration::from_secs(25),
            limits: BTreeMap::new(),
            draws: BTreeMap::new(),
            full_for: Duration::from_secs(1),
            span: Arc::new(
                |facts, launch, step| tracing::info_span!("saga.step", run = %facts.run, saga = facts.definition.name, step, attempt = launch.attempt, undo = launch.undo),
            ),
            jitter: Arc::new(jitter),
        }
    }
}

fn limit_in(limits: &BTreeMap<String, usize>, scope: &str) -> Option<usize> {
    limits.get(scope.split(':').next()?).map(|limit| (*limit).max(1))
}

impl Options {
    /// How many runs of this scope may be at work.
    pub(super) fn limit(&self, scope: &str) -> Option<usize> {
        limit_in(&self.limits, scope)
    }

    /// How many attempts may draw on this scope.
    pub(super) fn draw_limit(&self, scope: &str) -> Option<usize> {
        limit_in(&self.draws, scope)
    }

    /// Every duration but the poll multiplied by `scale`. The lease stays long enough to be renewed on a busy machine.
    #[must_use]
    pub fn scaled(mut self, scale: f64) -> Self {
        let floor = |d: Duration, least: u64| d.mul_f64(scale).max(Duration::from_millis(least));
        self.lease = floor(self.lease, 2_000).min(self.lease);
        self.renew_every = floor(self.renew_every, 500).min(self.renew_every);
        self.keep_for = floor(self.keep_for, 50).min(self.keep_for);
        self.cancel_grace = floor(self.cancel_grace, 200).min(self.cancel_grace);
        self.task_patience = floor(self.task_patience, 1_000).min(self.task_patience);
        self.resume_over = floor(self.resume_over, 100).min(self.resume_over);
        self.drain_for = floor(self.drain_for, 500).min(self.drain_for);
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("concurrency", &self.concurrency).field("lease", &self.lease).finish_non_exhaustive()
    }
}
