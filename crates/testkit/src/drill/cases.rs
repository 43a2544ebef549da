//! Does one drill: plans the fault, runs the engine through it, and compares the world.

use std::time::Duration;

use saga::definition::Pivot;
use saga::journal::{Turn, Verb};
use saga::ports::{State, WaitingFor};
use saga::{Definition, Event};

use super::asking::{Asked, Ready};
use super::control::{Act, CommitAct, Control, Planned};
use super::plan::{By, Cause, Drill, Fault, Then, later_failure};
use super::snapshot::World;
use super::stage::{PATIENCE, Stage};

/// Longer than any drill, shorter than the patient deadline of two days.
pub(super) const LEASE: Duration = Duration::from_hours(1);
/// What a step has that is to time out: long enough to be reached, and tried without end.
const SHORT: Duration = Duration::from_millis(30);

/// A drill in mid-air: what there was before, and the run that it is done to.
pub(super) struct Scene {
    pub ready: Ready,
    pub before: World,
    pub asked: Asked,
}

impl Stage {
    /// # Errors
    /// What is not as it must be, with the run's journal.
    pub async fn drill(&self, drill: Drill) -> Result<(), String> {
        let ready = self.ready().await?;
        let before = self.look().await;
        let asked = self.ask(&ready).await?;
        let scene = Scene { ready, before, asked };
        let run = scene.asked.run;
        let done = match drill {
            Drill::Run { step, fault, then } => self.run_fault(&scene, step, fault, then).await,
            Drill::Undo { step, fault } => self.undo_fault(&scene, step, fault).await,
            Drill::RunTwice { step, at_once } => self.repeated(&scene, step, false, twice(at_once)).await,
            Drill::UndoTwice { step, at_once } => self.repeated(&scene, step, true, twice(at_once)).await,
            Drill::UndoDuringRun { step } => self.repeated(&scene, step, true, Act::WithForward).await,
            Drill::RunAfterUndone { step } => self.run_after_undone(&scene, step).await,
            Drill::LateUndo { step } => self.late_undo(&scene, step).await,
            Drill::StuckUndo { step, by } => self.stuck(&scene, step, true, by).await,
            Drill::StuckStep { step, by } => self.stuck(&scene, step, false, by).await,
            Drill::Interrupted { step, cause } => self.interrupted(&scene, step, cause).await,
            Drill::Moved { step } => self.moved(&scene, step).await,
        };
        match done {
            Ok(()) => Ok(()),
            Err(why) => Err(format!("{} {drill:?}: {why}\n{}", self.definition.id.name, self.story(run).await)),
        }
    }

    pub(super) fn planned(&self, step: usize, undo: bool, attempts: std::ops::RangeInclusive<u32>, act: Act) -> Planned {
        Planned { step: self.definition.steps[step].name.clone(), undo, from: *attempts.start(), to: *attempts.end(), act }
    }

    /// What makes the run turn once `step` has been started, so that its undo is called.
    pub(super) fn turning(&self, step: usize) -> Vec<Planned> {
        match later_failure(&self.definition, step) {
            Some(later) => vec![self.planned(later, false, 1..=u32::MAX, Act::FailForGood)],
            None => vec![self.planned(step, false, 1..=1, Act::EffectThenLost), self.planned(step, false, 2..=u32::MAX, Act::FailForGood)],
        }
    }

    async fn run_fault(&self, scene: &Scene, step: usize, fault: Fault, then: Then) -> Result<(), String> {
        let mut plan = Vec::new();
        let mut expected = State::Succeeded;
        if then == Then::Fails {
            let failing = if fault.is_recorded() { later_failure(&self.definition, step).map(|s| (s, 1)) } else { Some((step, 2)) };
            if let Some((failing, from)) = failing {
                plan.push(self.planned(failing, false, from..=u32::MAX, Act::FailForGood));
                expected = State::Failed;
            }
        }
        self.through(scene, step, false, fault, plan, expected).await
    }

    async fn undo_fault(&self, scene: &Scene, step: usize, fault: Fault) -> Result<(), String> {
        self.through(scene, step, true, fault, self.turning(step), State::Failed).await
    }

    /// Runs the engine through `fault` at the first attempt of `step`, to the end.
    async fn through(
        &self,
        scene: &Scene,
        step: usize,
        undo: bool,
        fault: Fault,
        mut plan: Vec<Planned>,
        expected: State,
    ) -> Result<(), String> {
        let (act, commit) = acts(fault);
        let name = self.definition.steps[step].name.clone();
        plan.extend(act.map(|act| self.planned(step, undo, 1..=1, act)));
        let control = Control::new(scene.asked.run, plan, commit.map(|act| (name.clone(), undo, act)));
        let tune = |definition: &mut Definition| {
            if fault == Fault::Timeout {
                let step = &mut definition.steps[step];
                (step.timeout, step.undo_timeout, step.retry.attempts) = (SHORT, SHORT, None);
            }
        };
        let mut engine = self.start(&control, tune, LEASE);
        let mut lost = None;
        let state = if fault == Fault::LeaseLost {
            self.reached(&control).await?;
            self.test.db.advance(LEASE + Duration::from_secs(1));
            lost = Some(std::mem::replace(&mut engine, self.start(&control, tune, LEASE)));
            self.seen(&control, "the takeover", |p| (p.claims >= 2).then_some(())).await?;
            // Either while the other worker is at it, or when all is over.
            if expected == State::Succeeded || undo {
                control.gate.cancel();
            }
            let state = self.ended(&control).await?;
            control.gate.cancel();
            self.seen(&control, "the fence", |p| (p.fenced >= 1).then_some(())).await?;
            state
        } else {
            tokio::select! {
                state = self.ended(&control) => state?,
                () = control.crashed.cancelled() => {
                    engine.kill().await;
                    self.test.db.advance(LEASE + Duration::from_secs(1));
                    engine = self.start(&control, tune, LEASE);
                    self.ended(&control).await?
                }
            }
        };
        engine.kill().await;
        if let Some(lost) = lost {
            lost.kill().await;
        }
        control.hit(commit.is_some())?;
        self.fault_shows(scene, &name, undo, fault).await?;
        self.over(scene, state, expected).await
    }

    pub(super) async fn reached(&self, control: &Control) -> Result<(), String> {
        tokio::time::timeout(PATIENCE, control.reached.cancelled())
            .await
            .map_err(|_| "the attempt that was to be interrupted was never made".to_owned())
    }

    /// The journal tells of the fault where it can.
    async fn fault_shows(&self, scene: &Scene, step: &str, undo: bool, fault: Fault) -> Result<(), String> {
        let slug = match fault {
            Fault::Timeout => "timeout",
            Fault::EffectThenPanic => "step_panicked",
            Fault::LeaseLost | Fault::CrashBeforeCommit => "worker_lost",
            Fault::ErrorBeforeEffect | Fault::EffectThenError | Fault::EffectThenLostReply => "drilled",
            Fault::CrashAfterCommit | Fault::CommitLost | Fault::CommitApplied | Fault::CommitLate => return Ok(()),
        };
        let shows = |event: &Event| match event {
            Event::StepFailed { step: of, attempt: 1, fault, .. } | Event::StepUnknown { step: of, attempt: 1, fault, .. } => {
                !undo && of == step && fault.r#type == slug
            }
            Event::UndoFailed { step: of, attempt: 1, fault, .. } => undo && of == step && fault.r#type == slug,
            _ => false,
        };
        if self.detail(scene.asked.run).await?.journal.iter().any(|r| shows(&r.event)) {
            return Ok(());
        }
        Err(format!("the journal does not show `{slug}` at the first attempt of {step}"))
    }

    /// The run has ended: in the right state, with the right world, and the same request succeeds again.
    pub(super) async fn over(&self, scene: &Scene, state: State, expected: State) -> Result<(), String> {
        if state != expected {
            return Err(format!("ended {state:?}, not {expected:?}"));
        }
        let after = self.look().await;
        let asked = &scene.asked;
        let difference = after.since(&scene.before, asked);
        if expected == State::Succeeded {
            if difference != self.wanted {
                return Err(format!("the world is not the wanted one:\n{difference}it is wanted:\n{}", self.wanted));
            }
        } else {
            let rest = difference.without_failed()?;
            if !rest.is_none() {
                return Err(format!("the world is not the one before:\n{rest}"));
            }
        }
        self.same_again(scene, &after, expected != State::Succeeded).await
    }

    /// No copy of a call that arrives late changes anything; and the same request as a new one: where the name is free again it makes exactly what is wanted.
    pub(super) async fn same_again(&self, scene: &Scene, before: &World, is_free: bool) -> Result<(), String> {
        self.late_copies().await;
        let harm = self.look().await.since(before, &scene.asked);
        if !harm.is_none() {
            return Err(format!("late copies of calls have changed what is done:\n{harm}"));
        }
        let again = self.repeat(&scene.ready, &scene.asked).await?;
        self.run_clean(&again).await?;
        let difference = self.look().await.since(before, &again);
        if is_free && difference != self.wanted {
            return Err(format!("the same request again does not make the wanted world:\n{difference}"));
        }
        Ok(())
    }

    async fn interrupted(&self, scene: &Scene, step: usize, cause: Cause) -> Result<(), String> {
        let control = Control::new(scene.asked.run, vec![self.planned(step, false, 1..=1, Act::Gate)], None);
        let days = Duration::from_hours(49);
        let engine = self.start(&control, |_| {}, days * 2);
        self.reached(&control).await?;
        let can_leave = !self.definition.is_after_pivot(step) && self.definition.pivot != Pivot::Step(step);
        let verb = match cause {
            Cause::Cancel => Verb::Cancel,
            Cause::Freeze => Verb::Park,
            // Changes nothing, and makes the owner look at the time.
            Cause::Deadline => Verb::Unpark,
        };
        if cause == Cause::Deadline {
            self.test.db.advance(days);
        }
        let asked = self.request(scene, verb).await;
        // The commit of a sibling may have shown the owner the time before, so that it is all over by now.
        if cause != Cause::Deadline || !can_leave {
            asked?;
        }
        engine.wake();
        if cause == Cause::Freeze || !can_leave {
            self.seen(&control, "the request's record", |p| (p.requests >= 1).then_some(())).await?;
            control.gate.cancel();
        }
        let mut expected = State::Succeeded;
        match cause {
            Cause::Freeze => {
                let parked = |p: &super::control::Progress| {
                    let head = p.head.as_ref()?;
                    (head.ending.is_some() || head.waiting_for == Some(WaitingFor::Unfreeze)).then_some(head.ending.is_some())
                };
                if !self.seen(&control, "the park", parked).await? {
                    self.request(scene, Verb::Unpark).await?;
                    engine.wake();
                }
            }
            Cause::Cancel if can_leave => expected = State::Cancelled,
            Cause::Deadline if can_leave => expected = State::Failed,
            Cause::Cancel | Cause::Deadline => {}
        }
        let state = self.ended(&control).await?;
        engine.kill().await;
        control.hit(false)?;
        let detail = self.detail(scene.asked.run).await?;
        if expected == State::Failed && detail.run.turn != Some(Turn::Deadline) {
            return Err(format!("turned by {:?}, not by the deadline", detail.run.turn));
        }
        let superseded = detail.journal.iter().any(|r| r.event == Event::Superseded { verb: Verb::Cancel });
        if superseded != (cause == Cause::Cancel && !can_leave) {
            return Err("a cancel is superseded if it lost against the pivot, and only then".to_owned());
        }
        self.over(scene, state, expected).await
    }

    /// A step or undo that fails for good is stuck, is seen to be, and goes on once a person has resolved it.
    async fn stuck(&self, scene: &Scene, step: usize, undo: bool, by: By) -> Result<(), String> {
        let mut plan = if undo { self.turning(step) } else { Vec::new() };
        plan.push(self.planned(step, undo, 1..=1, Act::FailForGood));
        let control = Control::new(scene.asked.run, plan, None);
        let engine = self.start(&control, |_| {}, LEASE);
        self.seen(&control, "being stuck", |p| p.head.as_ref().filter(|h| h.state == State::Stuck).map(|_| ())).await?;
        self.is_seen_stuck(scene).await?;
        let name = self.definition.steps[step].name.clone();
        let verb = match by {
            By::Retry => Verb::Retry,
            By::Skip => {
                let by_hand = control.copy(&name, undo).ok_or("the stuck attempt was never made")?;
                let code = self.code(step);
                if undo {
                    code.undo(&by_hand).await;
                } else {
                    code.run(&by_hand).await;
                }
                Verb::Skip
            }
        };
        self.resolve(scene, verb, name).await?;
        let state = self.ended(&control).await?;
        engine.kill().await;
        control.hit(false)?;
        let expected = if undo { State::Failed } else { State::Succeeded };
        if by == By::Retry {
            return self.over(scene, state, expected).await;
        }
        if state != expected {
            return Err(format!("ended {state:?}, not {expected:?}"));
        }
        // The person has seen to the effect; the row that tells of it is what a skip leaves as it was.
        let after = self.look().await;
        let difference = after.since(&scene.before, &scene.asked).outside();
        let wanted = if undo { super::snapshot::Difference::default() } else { self.wanted.clone().outside() };
        if difference != wanted {
            return Err(format!("outside our database it is not as wanted:\n{difference}"));
        }
        self.same_again(scene, &after, undo).await
    }
}

fn twice(at_once: bool) -> Act {
    if at_once { Act::TwiceAtOnce } else { Act::Twice }
}

/// What the first attempt, or its commit, does for this fault.
fn acts(fault: Fault) -> (Option<Act>, Option<CommitAct>) {
    match fault {
        Fault::ErrorBeforeEffect => (Some(Act::ErrorBefore), None),
        Fault::EffectThenError => (Some(Act::EffectThenError), None),
        Fault::EffectThenLostReply => (Some(Act::EffectThenLost), None),
        Fault::EffectThenPanic => (Some(Act::EffectThenPanic), None),
        Fault::Timeout => (Some(Act::EffectThenHang), None),
        Fault::LeaseLost => (Some(Act::DeafGate), None),
        Fault::CrashBeforeCommit => (None, Some(CommitAct::CrashBefore)),
        Fault::CrashAfterCommit => (None, Some(CommitAct::CrashAfter)),
        Fault::CommitLost => (None, Some(CommitAct::Lost)),
        Fault::CommitApplied => (None, Some(CommitAct::Applied)),
        Fault::CommitLate => (None, Some(CommitAct::Late)),
    }
}
