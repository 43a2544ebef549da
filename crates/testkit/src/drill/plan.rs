//! What is done to a saga: a list made from its definition alone.

use saga::Definition;
use saga::definition::{Pivot, Undo};

/// What happens to the first attempt of a step or of its undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    ErrorBeforeEffect,
    EffectThenError,
    EffectThenLostReply,
    EffectThenPanic,
    /// Has its effect, and hangs until it is told to stop.
    Timeout,
    /// The process is gone before the commit that records the outcome.
    CrashBeforeCommit,
    /// ... after it.
    CrashAfterCommit,
    /// The commit's outcome is unknown: it was lost, ...
    CommitLost,
    /// ... or was applied, ...
    CommitApplied,
    /// ... or is applied just before it is sent again.
    CommitLate,
    /// Another worker takes the run in mid-step, and the first one goes on with its attempt.
    LeaseLost,
}

impl Fault {
    pub const ALL: [Self; 11] = [
        Self::ErrorBeforeEffect,
        Self::EffectThenError,
        Self::EffectThenLostReply,
        Self::EffectThenPanic,
        Self::Timeout,
        Self::CrashBeforeCommit,
        Self::CrashAfterCommit,
        Self::CommitLost,
        Self::CommitApplied,
        Self::CommitLate,
        Self::LeaseLost,
    ];

    /// The first attempt's outcome is recorded in the end, so that there is no second.
    #[must_use]
    pub fn is_recorded(self) -> bool {
        matches!(self, Self::CrashAfterCommit | Self::CommitLost | Self::CommitApplied | Self::CommitLate)
    }
}

/// What follows a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    GoesOn,
    /// The second attempt fails for good; where there is none, a step of the next stage does.
    Fails,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Retry,
    Skip,
}

/// Strikes while the step's first attempt is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Cancel,
    Deadline,
    Freeze,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drill {
    Run {
        step: usize,
        fault: Fault,
        then: Then,
    },
    Undo {
        step: usize,
        fault: Fault,
    },
    RunTwice {
        step: usize,
        at_once: bool,
    },
    UndoTwice {
        step: usize,
        at_once: bool,
    },
    /// A copy of the forward call is at work while the undo is.
    UndoDuringRun {
        step: usize,
    },
    /// A copy of the forward call arrives after `undone`.
    RunAfterUndone {
        step: usize,
    },
    /// A copy of the undo arrives after a retried run has succeeded.
    LateUndo {
        step: usize,
    },
    /// The undo fails for good, and a person resolves it.
    StuckUndo {
        step: usize,
        by: By,
    },
    /// A step after the pivot fails for good, and a person resolves it.
    StuckStep {
        step: usize,
        by: By,
    },
    Interrupted {
        step: usize,
        cause: Cause,
    },
    /// The set of freezes that the step read moves between its effect and the commit that would record it.
    Moved {
        step: usize,
    },
}

/// The action that goes by a workspace's freezes.
const READS_FREEZES: &str = "apply-freezes";

fn reads_freezes(definition: &Definition, step: usize) -> bool {
    definition.steps[step].action == READS_FREEZES
}

fn has_undo(definition: &Definition, step: usize) -> bool {
    matches!(definition.steps[step].undo, Undo::Action(_))
}

/// Everything that is done to this saga.
#[must_use]
pub fn drills(definition: &Definition) -> Vec<Drill> {
    let mut drills = Vec::new();
    for step in 0..definition.steps.len() {
        let after = definition.is_after_pivot(step);
        for fault in Fault::ALL {
            drills.push(Drill::Run { step, fault, then: Then::GoesOn });
            if !after {
                drills.push(Drill::Run { step, fault, then: Then::Fails });
            }
        }
        drills.extend([false, true].map(|at_once| Drill::RunTwice { step, at_once }));
        drills.extend([Cause::Cancel, Cause::Deadline, Cause::Freeze].map(|cause| Drill::Interrupted { step, cause }));
        if after {
            drills.extend([By::Retry, By::Skip].map(|by| Drill::StuckStep { step, by }));
        }
        if reads_freezes(definition, step) {
            drills.push(Drill::Moved { step });
        }
        if has_undo(definition, step) {
            drills.extend(Fault::ALL.map(|fault| Drill::Undo { step, fault }));
            drills.extend([false, true].map(|at_once| Drill::UndoTwice { step, at_once }));
            drills.extend([Drill::UndoDuringRun { step }, Drill::RunAfterUndone { step }, Drill::LateUndo { step }]);
            drills.extend([By::Retry, By::Skip].map(|by| Drill::StuckUndo { step, by }));
        }
    }
    drills
}

/// How many drills there must be: counted from the shape, so that a drill cannot fall out of the list unseen.
#[must_use]
pub fn expected_drills(definition: &Definition) -> usize {
    let faults = Fault::ALL.len();
    let steps = definition.steps.len();
    let after = (0..steps).filter(|s| definition.is_after_pivot(*s)).count();
    let undone = (0..steps).filter(|s| has_undo(definition, *s)).count();
    let moved = (0..steps).filter(|s| reads_freezes(definition, *s)).count();
    let (repeats, causes, resolutions, undo_repeats) = (2, 3, 2, 5);
    moved
        + steps * (faults + repeats + causes)
        + (steps - after) * faults
        + after * resolutions
        + undone * (faults + undo_repeats + resolutions)
}

/// A step that can fail for good after `step` is done, so that `step` is undone; `None` if that can only be `step` itself.
pub(super) fn later_failure(definition: &Definition, step: usize) -> Option<usize> {
    let stage = definition.steps[step].stage;
    let is_pivot = definition.pivot == Pivot::Step(step);
    let next = definition.steps.iter().position(|s| s.stage > stage);
    next.filter(|next| !is_pivot && !definition.is_after_pivot(*next))
}
