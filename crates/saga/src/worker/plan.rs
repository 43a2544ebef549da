//! What one commit of a run holds, made from what happened since the last one. Pure but for the jitter.

use super::attempt::Returned;
use crate::journal::{Ending, Record, Verb};
use crate::machine::{self, Gate, Launch, Phase, UndoPhase};
use crate::ports::{Disposition, Request};
use crate::registry::Saga;
use crate::step::{OUTPUT_MAX, Outcome, UndoOutcome};
use crate::{Event, Fault, RunState, Time};

/// Something that an executor has to journal.
#[derive(Clone)]
pub(super) enum News<C> {
    /// An attempt's task returned; `stopped` says why it had been cancelled, if it had.
    Returned { launch: Launch, returned: Returned<C>, stopped: Option<Fault> },
    /// The attempt was cancelled and did not return within the grace, or its worker is gone.
    Unknown { launch: Launch, fault: Fault },
    /// The task has not returned within `task_patience`.
    NotReturned { step: usize },
    /// It has, at last, or was another process's.
    ReturnedLate,
}

pub(super) struct Plan<C> {
    pub state: RunState,
    pub records: Vec<Record>,
    pub changes: Vec<C>,
    pub requests: Vec<uuid::Uuid>,
    pub launches: Vec<Launch>,
    pub wake: Option<Time>,
    pub ended: Option<Ending>,
    /// An attempt is due whose step has a task.
    pub blocked: bool,
    /// An attempt is due that waits for a limit.
    pub full: bool,
}

/// Journals `news` and `requests` on a copy of `state`, and goes on from there.
pub(super) fn plan<C: Clone>(
    saga: &Saga<C>,
    state: &RunState,
    news: &[News<C>],
    requests: &[Request],
    around: (i64, Time, &dyn Fn() -> f64),
    gate: impl Fn(Launch) -> Gate,
) -> Plan<C> {
    let definition = &*saga.definition;
    let (epoch, now, jitter) = around;
    let mut plan = Plan {
        state: state.clone(),
        records: Vec::new(),
        changes: Vec::new(),
        requests: requests.iter().map(|r| r.id).collect(),
        launches: Vec::new(),
        wake: None,
        ended: None,
        blocked: false,
        full: false,
    };
    for item in news {
        let (event, change) = event_of(saga, &plan.state, item, (epoch, now, jitter()));
        if let Some(event) = event {
            plan.records.push(plan.state.journal(definition, event, now));
            plan.changes.extend(change);
        }
    }
    for request in requests {
        take(saga, &mut plan, request, now);
    }
    let advance = machine::advance(definition, &mut plan.state, now, gate);
    plan.records.extend(advance.records);
    plan.launches = advance.launches;
    plan.wake = advance.wake;
    plan.ended = advance.ended;
    (plan.blocked, plan.full) = (advance.blocked, advance.full);
    plan
}

fn event_of<C: Clone>(saga: &Saga<C>, state: &RunState, news: &News<C>, around: (i64, Time, f64)) -> (Option<Event>, Option<C>) {
    let definition = &*saga.definition;
    let (epoch, now, jitter) = around;
    match news {
        News::Returned { launch, returned, stopped } if is_open(state, *launch) => match returned {
            Returned::Forward(outcome) => forward_event(saga, state, *launch, outcome, stopped.as_ref(), now, jitter),
            Returned::Undo(UndoOutcome::Undone { change }) => {
                let step = definition.steps[launch.step].name.clone();
                (Some(Event::Undone { step, attempt: launch.attempt }), change.clone())
            }
            Returned::Undo(UndoOutcome::Failed(fault)) => {
                let fault = stopped.as_ref().filter(|_| fault.retryable).unwrap_or(fault).clone();
                (Some(machine::undo_failed(definition, state, launch.step, fault, now, jitter)), None)
            }
        },
        News::Unknown { launch, fault } if is_open(state, *launch) => {
            let event = if launch.undo {
                machine::undo_failed(definition, state, launch.step, fault.clone(), now, jitter)
            } else {
                machine::unknown(definition, state, launch.step, fault.clone(), now, jitter)
            };
            (Some(event), None)
        }
        News::NotReturned { step } if !state.steps[*step].not_returned => {
            (Some(Event::TaskNotReturned { step: definition.steps[*step].name.clone() }), None)
        }
        News::ReturnedLate if state.steps.iter().any(|s| s.not_returned) => (Some(Event::Resumed { epoch }), None),
        // An attempt that was journaled as unknown before its task returned: what it came to is no longer asked.
        News::Returned { .. } | News::Unknown { .. } | News::NotReturned { .. } | News::ReturnedLate => (None, None),
    }
}

fn is_open(state: &RunState, launch: Launch) -> bool {
    let s = &state.steps[launch.step];
    if launch.undo {
        s.undo.phase == UndoPhase::Open && s.undo.attempts == launch.attempt
    } else {
        s.phase == Phase::Open && s.attempts == launch.attempt
    }
}

fn forward_event<C: Clone>(
    saga: &Saga<C>,
    state: &RunState,
    launch: Launch,
    outcome: &Outcome<C>,
    stopped: Option<&Fault>,
    now: Time,
    jitter: f64,
) -> (Option<Event>, Option<C>) {
    let (definition, step) = (&*saga.definition, launch.step);
    let event = match outcome {
        Outcome::Succeeded { .. } if state.abandon_requested => {
            // The run leaves what it made to a person; a change would tell of something nobody looks after.
            machine::unknown(definition, state, step, Fault::new("abandoned", "The run was abandoned meanwhile"), now, jitter)
        }
        Outcome::Succeeded { output, .. } if output.to_string().len() > OUTPUT_MAX => machine::failed(
            definition,
            state,
            step,
            Fault::new("step_output_too_large", "The step's output is larger than 16 KiB"),
            now,
            jitter,
        ),
        Outcome::Succeeded { output, change } => {
            return (Some(machine::succeeded(definition, state, step, output.clone())), change.clone());
        }
        Outcome::Failed(fault) => machine::failed(definition, state, step, fault.clone(), now, jitter),
        Outcome::Unknown(fault) => machine::unknown(definition, state, step, stopped.unwrap_or(fault).clone(), now, jitter),
        Outcome::Refused { retry_after } => machine::refused(definition, state, step, now + *retry_after),
    };
    (Some(event), None)
}

/// Journals a request, and what it means now; one that came too late is superseded.
fn take<C>(saga: &Saga<C>, plan: &mut Plan<C>, request: &Request, now: Time) {
    let definition = &*saga.definition;
    let stuck: Vec<&str> = plan.state.stuck_steps(definition).into_iter().map(|i| definition.steps[i].name.as_str()).collect();
    let skipped = match (request.verb, request.step.as_deref()) {
        (Verb::Skip, Some(step)) => stuck.iter().find(|s| **s == step).copied(),
        (Verb::Skip, None) if stuck.len() == 1 => Some(stuck[0]),
        _ => None,
    };
    let waits = |i: usize| {
        let s = &plan.state.steps[i];
        let named = request.step.as_deref().is_none_or(|name| name == definition.steps[i].name);
        let forward = !plan.state.leaves() && matches!(s.phase, Phase::Waiting { .. } | Phase::Failed { .. });
        named && (forward || matches!(s.undo.phase, UndoPhase::Waiting { .. } | UndoPhase::Stuck))
    };
    let too_late = match request.verb {
        Verb::Skip => skipped.is_none(),
        Verb::Retry => !(0..definition.steps.len()).any(waits),
        Verb::Cancel | Verb::Abandon | Verb::Park | Verb::Unpark => false,
    };
    let asked =
        Event::Requested { verb: request.verb, step: request.step.clone(), actor: request.actor.clone(), comment: request.comment.clone() };
    plan.records.push(plan.state.journal(definition, asked, now));
    let follows = match skipped {
        Some(step) => Some(Event::Skipped { step: step.to_owned() }),
        None if too_late => Some(Event::Superseded { verb: request.verb }),
        None => None,
    };
    plan.records.extend(follows.map(|event| plan.state.journal(definition, event, now)));
}

impl<C: Clone> News<C> {
    pub fn has_change(&self) -> bool {
        let Self::Returned { returned, .. } = self else { return false };
        matches!(
            returned,
            Returned::Forward(Outcome::Succeeded { change: Some(_), .. }) | Returned::Undo(UndoOutcome::Undone { change: Some(_) })
        )
    }

    /// The same news without its change: what is journaled where the store does not make the change.
    pub fn without_change(&self, unmade: &Unmade) -> Self {
        match self {
            Self::Returned { launch, returned: Returned::Forward(Outcome::Succeeded { change: Some(_), .. }), stopped } => {
                Self::Returned { launch: *launch, returned: Returned::Forward(Outcome::Failed(unmade.fault())), stopped: stopped.clone() }
            }
            Self::Returned { launch, returned: Returned::Undo(UndoOutcome::Undone { change: Some(_) }), .. } => {
                Self::Returned { launch: *launch, returned: Returned::Undo(UndoOutcome::Failed(unmade.fault())), stopped: None }
            }
            other => other.clone(),
        }
    }
}

/// Why the store did not make a change: nothing of it happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unmade {
    /// It never will.
    Refused(String),
    /// The step is to look again: what it went by has moved on.
    Stale(String),
}

impl Unmade {
    pub fn fault(&self) -> Fault {
        match self {
            Self::Refused(why) => {
                Fault::new("change_rejected", "The database refused what the step asked it to change").detail(why.as_str())
            }
            Self::Stale(why) => Fault::new("stale", "What the step went by has changed meanwhile").detail(why.as_str()).retryable(),
        }
    }
}

impl<C> Plan<C> {
    /// Who owns the run after this commit.
    ///
    /// `full_until`: where a run waits for a limit longer than it is kept for that, when it is looked at again.
    pub fn disposition(
        &self,
        has_tasks: bool,
        draining: bool,
        now: Time,
        keep_until: Time,
        paused_until: Time,
        full_until: Option<Time>,
    ) -> Disposition {
        if self.ended.is_some() {
            return Disposition::End;
        }
        if has_tasks || !self.launches.is_empty() {
            return Disposition::Keep;
        }
        if draining {
            return Disposition::Release { due_at: Some(now) };
        }
        match self.wake {
            _ if self.blocked => Disposition::Keep,
            due_at if self.full => match full_until {
                Some(until) => Disposition::Release { due_at: Some(due_at.map_or(until, |at| at.min(until))) },
                None => Disposition::Keep,
            },
            Some(at) if at <= keep_until => Disposition::Keep,
            // A resume makes it due; this is behind it.
            due_at if self.state.paused.is_some() => {
                Disposition::Release { due_at: Some(due_at.map_or(paused_until, |at| at.min(paused_until))) }
            }
            due_at => Disposition::Release { due_at },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(returned: Returned<u8>) -> News<u8> {
        News::Returned { launch: Launch { step: 0, attempt: 1, undo: false }, returned, stopped: None }
    }

    fn fault(news: &News<u8>) -> Option<&Fault> {
        match news {
            News::Returned { returned: Returned::Forward(Outcome::Failed(fault)) | Returned::Undo(UndoOutcome::Failed(fault)), .. } => {
                Some(fault)
            }
            _ => None,
        }
    }

    #[test]
    fn a_change_that_is_stale_is_tried_again_and_one_that_is_refused_is_not() {
        let changes = [
            news(Returned::Forward(Outcome::changed(serde_json::Value::Null, 1))),
            news(Returned::Undo(UndoOutcome::Undone { change: Some(1) })),
        ];
        for (unmade, slug, retryable) in
            [(Unmade::Stale("moved".to_owned()), "stale", true), (Unmade::Refused("no".to_owned()), "change_rejected", false)]
        {
            for item in &changes {
                assert!(item.has_change());
                let without = item.without_change(&unmade);
                let fault = fault(&without).unwrap();
                assert_eq!((fault.r#type.as_str(), fault.retryable), (slug, retryable));
                assert!(!without.has_change());
            }
        }
    }

    #[test]
    fn news_without_a_change_stay_as_they_are() {
        let stale = Unmade::Stale("moved".to_owned());
        let done = news(Returned::Forward(Outcome::done(serde_json::Value::Null)));
        assert!(matches!(done.without_change(&stale), News::Returned { returned: Returned::Forward(Outcome::Succeeded { .. }), .. }));
        assert!(fault(&news(Returned::Undo(UndoOutcome::Undone { change: None })).without_change(&stale)).is_none());
    }
}
