//! Around every step: what the drill wants of its attempts, and what it has seen of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::Change;
use saga::ports::{Commit, Head};
use saga::{Attempt, CancellationToken, Fault, Outcome, RunId, Step, UndoOutcome};
use serde_json::Value;
use tokio::sync::watch;

/// What an attempt does instead of what its step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Pass,
    ErrorBefore,
    FailForGood,
    EffectThenError,
    EffectThenLost,
    EffectThenPanic,
    /// Has its effect, and waits until it is told to stop.
    EffectThenHang,
    Twice,
    TwiceAtOnce,
    /// An undo with a copy of the forward call beside it.
    WithForward,
    /// Says that it is there, and waits for the gate to open; gives up if it is told to stop.
    Gate,
    /// As `Gate`, and hears nobody: its worker is lost.
    DeafGate,
    /// Has its effect, and waits at the gate with its outcome.
    EffectThenGate,
}

/// What the first commit that records the outcome does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitAct {
    CrashBefore,
    CrashAfter,
    Lost,
    Applied,
    Late,
}

#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub step: String,
    pub undo: bool,
    pub from: u32,
    pub to: u32,
    pub act: Act,
}

/// What a drill has planned and seen, shared by all workers of the drill.
pub(super) struct Control {
    pub run: RunId,
    plan: Vec<Planned>,
    pub commit: Mutex<Option<(String, bool, CommitAct)>>,
    /// Commits that were answered with "unknown" and are still to land.
    pub late: Mutex<Vec<Commit<Change>>>,
    seen: Mutex<Seen>,
    /// An attempt stands at the gate.
    pub reached: CancellationToken,
    pub gate: CancellationToken,
    pub crashed: CancellationToken,
    pub progress: watch::Sender<Progress>,
}

/// What the store has been told about the run.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    pub head: Option<Head>,
    pub claims: u32,
    pub fenced: u32,
    /// Requests that are journaled.
    pub requests: usize,
    pub commit_faults: u32,
}

#[derive(Default)]
struct Seen {
    /// How often each planned act was done.
    hits: HashMap<usize, u32>,
    /// The first attempt of each step and of each undo.
    attempts: HashMap<(String, bool), Attempt>,
}

impl Control {
    pub fn new(run: RunId, plan: Vec<Planned>, commit: Option<(String, bool, CommitAct)>) -> Arc<Self> {
        Arc::new(Self {
            run,
            plan,
            commit: Mutex::new(commit),
            late: Mutex::default(),
            seen: Mutex::default(),
            reached: CancellationToken::new(),
            gate: CancellationToken::new(),
            crashed: CancellationToken::new(),
            progress: watch::Sender::default(),
        })
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act(&self, attempt: &Attempt, undo: bool) -> Act {
        if attempt.run != self.run {
            return Act::Pass;
        }
        let mut seen = self.seen();
        seen.attempts.entry((attempt.step.clone(), undo)).or_insert_with(|| attempt.clone());
        let fits = |p: &Planned| p.step == attempt.step && p.undo == undo && (p.from..=p.to).contains(&attempt.number);
        let Some(found) = self.plan.iter().position(fits) else { return Act::Pass };
        *seen.hits.entry(found).or_default() += 1;
        self.plan[found].act
    }

    /// The fault hit: the step that it was planned for, and the commit, if one was to go wrong.
    ///
    /// # Errors
    /// What did not happen.
    pub fn hit(&self, commit: bool) -> Result<(), String> {
        let missed = self.missed();
        if !missed.is_empty() {
            return Err(format!("never happened: {missed:?}"));
        }
        let commit_faults = self.progress.borrow().commit_faults;
        if commit_faults != u32::from(commit) {
            return Err(format!("{commit_faults} commits went wrong instead of {}", u32::from(commit)));
        }
        Ok(())
    }

    /// Planned acts that never happened.
    fn missed(&self) -> Vec<Planned> {
        let seen = self.seen();
        self.plan.iter().enumerate().filter(|(i, _)| !seen.hits.contains_key(i)).map(|(_, p)| p.clone()).collect()
    }

    /// The first attempt of the step or its undo, as a copy that is told to stop by nobody.
    pub fn copy(&self, step: &str, undo: bool) -> Option<Attempt> {
        let attempt = self.seen().attempts.get(&(step.to_owned(), undo)).cloned()?;
        Some(Attempt { cancelled: CancellationToken::new(), ..attempt })
    }
}

/// A step under drill.
pub(super) struct Drilled {
    pub inner: Arc<dyn Step<Change>>,
    pub control: Arc<Control>,
}

fn told(why: &str) -> Fault {
    Fault::new("drilled", why)
}

impl Drilled {
    /// False if the attempt was told to stop instead.
    async fn pass_gate(&self, attempt: &Attempt, deaf: bool) -> bool {
        self.control.reached.cancel();
        if deaf {
            self.control.gate.cancelled().await;
            return true;
        }
        tokio::select! {
            () = self.control.gate.cancelled() => true,
            () = attempt.cancelled.cancelled() => false,
        }
    }
}

#[async_trait]
impl Step<Change> for Drilled {
    fn action(&self) -> &'static str {
        self.inner.action()
    }

    fn undo_action(&self) -> Option<&'static str> {
        self.inner.undo_action()
    }

    fn draws_on(&self, input: &Value, with: &Value) -> Option<String> {
        self.inner.draws_on(input, with)
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        match self.control.act(attempt, false) {
            Act::Pass | Act::WithForward => self.inner.run(attempt).await,
            Act::ErrorBefore => Outcome::Failed(told("an error before the effect").retryable()),
            Act::FailForGood => Outcome::Failed(told("a failure for good")),
            Act::EffectThenError => {
                self.inner.run(attempt).await;
                Outcome::Failed(told("an error after the effect").retryable())
            }
            Act::EffectThenLost => {
                self.inner.run(attempt).await;
                Outcome::Unknown(told("a lost reply").retryable())
            }
            Act::EffectThenPanic => {
                self.inner.run(attempt).await;
                // Without the hook that prints it: a drill panics on purpose.
                std::panic::resume_unwind(Box::new("drilled"))
            }
            Act::EffectThenHang => {
                self.inner.run(attempt).await;
                attempt.cancelled.cancelled().await;
                Outcome::Unknown(told("hung").retryable())
            }
            Act::Twice => {
                self.inner.run(attempt).await;
                self.inner.run(attempt).await
            }
            Act::TwiceAtOnce => tokio::join!(self.inner.run(attempt), self.inner.run(attempt)).0,
            Act::EffectThenGate => {
                let outcome = self.inner.run(attempt).await;
                self.pass_gate(attempt, true).await;
                outcome
            }
            act @ (Act::Gate | Act::DeafGate) => {
                if self.pass_gate(attempt, act == Act::DeafGate).await {
                    self.inner.run(attempt).await
                } else {
                    Outcome::Unknown(told("told to stop").retryable())
                }
            }
        }
    }

    async fn undo(&self, attempt: &Attempt) -> UndoOutcome<Change> {
        match self.control.act(attempt, true) {
            Act::Pass | Act::EffectThenGate => self.inner.undo(attempt).await,
            Act::ErrorBefore => UndoOutcome::Failed(told("an error before the effect").retryable()),
            Act::FailForGood => UndoOutcome::Failed(told("a failure for good")),
            Act::EffectThenError | Act::EffectThenLost => {
                self.inner.undo(attempt).await;
                UndoOutcome::Failed(told("an error or a lost reply after the effect").retryable())
            }
            Act::EffectThenPanic => {
                self.inner.undo(attempt).await;
                std::panic::resume_unwind(Box::new("drilled"))
            }
            Act::EffectThenHang => {
                self.inner.undo(attempt).await;
                attempt.cancelled.cancelled().await;
                UndoOutcome::Failed(told("hung").retryable())
            }
            Act::Twice => {
                self.inner.undo(attempt).await;
                self.inner.undo(attempt).await
            }
            Act::TwiceAtOnce => tokio::join!(self.inner.undo(attempt), self.inner.undo(attempt)).0,
            Act::WithForward => {
                let forward = self.control.copy(&attempt.step, false).expect("what is undone was started");
                tokio::join!(self.inner.undo(attempt), self.inner.run(&forward)).0
            }
            act @ (Act::Gate | Act::DeafGate) => {
                if self.pass_gate(attempt, act == Act::DeafGate).await {
                    self.inner.undo(attempt).await
                } else {
                    UndoOutcome::Failed(told("told to stop").retryable())
                }
            }
        }
    }
}
