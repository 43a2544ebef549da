//! The state of a run, from its journal.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{Last, Pair, Paused, Phase, StepState, UndoPhase, UndoState};
use crate::journal::{Event, Fault, Record, Verb};
use crate::ports::OnFailure;
use crate::{Definition, RunState, Time};

/// From this attempt on a step's started/outcome pair is written over in place.
pub const IN_PLACE_FROM: u32 = 20;

/// The state that the records, in order, lead to.
#[must_use]
pub fn fold(definition: &Definition, created_at: Time, on_failure: OnFailure, records: &[Record]) -> RunState {
    let mut state = RunState::new(definition, created_at, on_failure);
    for record in records {
        state.apply(definition, record);
    }
    state
}

impl RunState {
    /// A run whose journal is empty.
    #[must_use]
    pub fn new(definition: &Definition, created_at: Time, on_failure: OnFailure) -> Self {
        Self {
            seq: 0,
            created_at,
            on_failure,
            started_at: None,
            turned: None,
            cancel_requested: false,
            abandon_requested: false,
            parked: false,
            paused: None,
            standing_since: None,
            stood: Duration::ZERO,
            steps: definition.steps.iter().map(|_| Arc::new(StepState::new())).collect(),
            leftovers: Vec::new(),
            ended: None,
            updated_at: created_at,
            barrier: 0,
        }
    }

    /// Takes in one record. An outcome whose attempt is not the step's current one is the older half of a pair that is
    /// being written over: it tells only of the last fault. A step that the definition does not have is ignored.
    pub fn apply(&mut self, definition: &Definition, record: &Record) {
        let at = record.at;
        self.seq = self.seq.max(record.seq);
        self.updated_at = self.updated_at.max(at);
        if !record.event.is_attempt() {
            self.barrier = self.barrier.max(record.seq);
        }
        match &record.event {
            Event::RunStarted => self.started_at = Some(at),
            Event::StepStarted { step, attempt, forgiven, unsure } => self.with_step(definition, step, |s| {
                (s.forgiven, s.unsure) = (*forgiven, *unsure);
                s.start(*attempt, record);
            }),
            Event::StepSucceeded { step, attempt, output } => self.with_step(definition, step, |s| s.succeed(*attempt, output, record)),
            Event::StepFailed { step, attempt, fault, retry_at } => {
                self.with_step(definition, step, |s| s.fail(*attempt, Last::Failed, Some(fault), *retry_at, record));
            }
            Event::StepUnknown { step, attempt, fault, retry_at } => {
                self.with_step(definition, step, |s| s.fail(*attempt, Last::Unknown, Some(fault), *retry_at, record));
            }
            Event::StepRefused { step, attempt, forgiven, retry_at } => self.with_step(definition, step, |s| {
                if s.attempts == *attempt {
                    s.forgiven = *forgiven;
                }
                s.fail(*attempt, Last::Refused, None, Some(*retry_at), record);
            }),
            Event::UndoStarted { step, attempt } => self.with_step(definition, step, |s| s.undo.start(*attempt, record)),
            Event::Undone { step, attempt } => self.with_step(definition, step, |s| s.undo.end(*attempt, UndoPhase::Undone, None, record)),
            Event::UndoFailed { step, attempt, fault, retry_at } => self.with_step(definition, step, |s| {
                let phase = retry_at.map_or(UndoPhase::Stuck, |retry_at| UndoPhase::Waiting { retry_at });
                s.undo.end(*attempt, phase, Some(fault), record);
            }),
            Event::Turned { turn } => {
                if self.turned.is_none() {
                    self.turned = Some((turn.clone(), at));
                }
            }
            Event::TaskNotReturned { step } => self.with_step(definition, step, |s| s.not_returned = true),
            Event::Resumed { .. } => self.steps.iter_mut().filter(|s| s.not_returned).for_each(|s| Arc::make_mut(s).not_returned = false),
            Event::Requested { verb, step, .. } => self.request(definition, *verb, step.as_deref(), at),
            Event::Superseded { verb } => {
                if *verb == Verb::Cancel {
                    self.cancel_requested = false;
                }
            }
            Event::Skipped { step } => {
                let turned = self.turned.is_some();
                self.with_step(definition, step, |s| s.skip(turned, at));
            }
            Event::Paused { by, whole } => {
                let since = self.paused.as_ref().map_or(at, |p| p.since);
                self.paused = Some(Paused { by: by.clone(), whole: *whole, since });
            }
            Event::PauseEnded => self.end_pause(at),
            Event::Abandoned { leftovers } => self.leftovers.clone_from(leftovers),
            Event::Ended { ending } => {
                self.ended = Some((*ending, at));
                self.paused = None;
            }
        }
        self.let_deadline_stand(definition, at);
    }

    fn with_step(&mut self, definition: &Definition, name: &str, f: impl FnOnce(&mut StepState)) {
        if let Some(i) = definition.position(name) {
            f(Arc::make_mut(&mut self.steps[i]));
        }
    }

    fn request(&mut self, definition: &Definition, verb: Verb, step: Option<&str>, at: Time) {
        match verb {
            Verb::Cancel => self.cancel_requested = true,
            Verb::Abandon => self.abandon_requested = true,
            Verb::Park => self.parked = true,
            Verb::Unpark => self.parked = false,
            // Journaled as `Skipped` by the owner, which knows the step.
            Verb::Skip => {}
            Verb::Retry => {
                let turned = self.turned.is_some();
                for (definition, state) in definition.steps.iter().zip(&mut self.steps) {
                    if step.is_none_or(|s| s == definition.name) {
                        Arc::make_mut(state).retry(turned, at);
                    }
                }
            }
        }
    }

    /// The time that undos had is not used up by a pause.
    fn end_pause(&mut self, at: Time) {
        let Some(paused) = self.paused.take() else { return };
        if self.turned.is_some() {
            for undo in self.steps.iter_mut().map(|s| &mut Arc::make_mut(s).undo) {
                undo.since = undo.since.map(|since| since + at.since(paused.since.max(since)));
            }
        }
    }

    /// The deadline stands still while the run is parked, paused or held; after the pivot nothing is held.
    fn let_deadline_stand(&mut self, definition: &Definition, at: Time) {
        let runs = self.started_at.is_some() && self.ended.is_none();
        let stands = runs && self.turned.is_none() && (self.parked || self.paused.is_some() || self.held(definition).is_some());
        match (stands, self.standing_since) {
            (true, None) => self.standing_since = Some(at),
            (false, Some(since)) => {
                self.stood += at.since(since);
                self.standing_since = None;
            }
            _ => {}
        }
    }

    /// The sequence that `event` is to be written at: the next one, or, for a step that has been tried often, that of
    /// the pair before.
    #[must_use]
    pub fn place(&self, definition: &Definition, event: &Event) -> i64 {
        let next = self.seq + 1;
        let Some((step, attempt)) = event.attempt_of() else { return next };
        let Some(index) = definition.position(step) else { return next };
        let state = &self.steps[index];
        let pair = if event.is_undo() { state.undo.pair } else { state.pair };
        let reusable = attempt > IN_PLACE_FROM && pair.started > self.barrier && pair.ended > 0;
        match event {
            Event::StepStarted { .. } | Event::UndoStarted { .. } if reusable => pair.started,
            // The start of this attempt stands in the pair's place already; its outcome goes to the pair's other half.
            Event::StepFailed { .. } | Event::StepUnknown { .. } | Event::StepRefused { .. } | Event::UndoFailed { .. } if reusable => {
                pair.ended
            }
            _ => next,
        }
    }
}

impl StepState {
    fn new() -> Self {
        Self {
            phase: Phase::NotStarted,
            attempts: 0,
            forgiven: 0,
            unsure: false,
            fault: None,
            output: None,
            started_at: None,
            ended_at: None,
            not_returned: false,
            undo: UndoState::new(),
            pair: Pair::default(),
        }
    }

    fn start(&mut self, attempt: u32, record: &Record) {
        self.phase = Phase::Open;
        self.attempts = attempt;
        self.started_at.get_or_insert(record.at);
        self.ended_at = None;
        self.pair.start(record.seq);
    }

    fn succeed(&mut self, attempt: u32, output: &Value, record: &Record) {
        if self.phase == Phase::Open && self.attempts == attempt {
            self.phase = Phase::Succeeded;
            self.unsure = false;
            self.fault = None;
            self.output = Some(Arc::new(output.clone()));
            self.ended_at = Some(record.at);
        }
    }

    fn fail(&mut self, attempt: u32, last: Last, fault: Option<&Fault>, retry_at: Option<Time>, record: &Record) {
        if self.phase != Phase::Open {
            return;
        }
        self.fault = fault.cloned();
        self.pair.ended = record.seq;
        if self.attempts != attempt {
            return;
        }
        self.phase = retry_at.map_or(Phase::Failed { last }, |retry_at| Phase::Waiting { retry_at, last });
        self.unsure = (self.unsure && retry_at.is_some()) || last == Last::Unknown;
        self.ended_at = Some(record.at);
    }

    /// A person did it by hand: what is stuck counts as done.
    fn skip(&mut self, turned: bool, at: Time) {
        if self.undo.phase == UndoPhase::Stuck || (turned && self.not_returned) {
            self.undo.phase = UndoPhase::Skipped;
            self.undo.ended_at = Some(at);
        } else if !turned && (self.not_returned || matches!(self.phase, Phase::Failed { .. })) {
            self.phase = Phase::Skipped;
            self.unsure = false;
            self.ended_at = Some(at);
        }
        self.not_returned = false;
    }

    /// Now, with a fresh budget.
    fn retry(&mut self, turned: bool, at: Time) {
        if let Phase::Waiting { last, .. } | Phase::Failed { last } = self.phase
            && !turned
        {
            self.phase = Phase::Waiting { retry_at: at, last };
            self.forgiven = self.attempts;
        }
        if matches!(self.undo.phase, UndoPhase::Waiting { .. } | UndoPhase::Stuck) {
            self.undo.phase = UndoPhase::Waiting { retry_at: at };
            self.undo.forgiven = self.undo.attempts;
            self.undo.since = Some(at);
        }
    }
}

impl UndoState {
    fn new() -> Self {
        Self {
            phase: UndoPhase::NotStarted,
            attempts: 0,
            forgiven: 0,
            since: None,
            fault: None,
            started_at: None,
            ended_at: None,
            pair: Pair::default(),
        }
    }

    fn start(&mut self, attempt: u32, record: &Record) {
        self.phase = UndoPhase::Open;
        self.attempts = attempt;
        self.since.get_or_insert(record.at);
        self.started_at.get_or_insert(record.at);
        self.ended_at = None;
        self.pair.start(record.seq);
    }

    fn end(&mut self, attempt: u32, phase: UndoPhase, fault: Option<&Fault>, record: &Record) {
        if self.phase != UndoPhase::Open {
            return;
        }
        self.fault = fault.cloned();
        self.pair.ended = record.seq;
        if self.attempts == attempt {
            self.phase = phase;
            self.ended_at = Some(record.at);
        }
    }
}

impl Pair {
    fn start(&mut self, seq: i64) {
        if seq != self.started {
            *self = Self { started: seq, ended: 0 };
        }
    }
}

impl Event {
    /// Of one attempt; all others are milestones that later records may not be written in front of.
    fn is_attempt(&self) -> bool {
        self.attempt_of().is_some()
    }

    fn is_undo(&self) -> bool {
        matches!(self, Self::UndoStarted { .. } | Self::Undone { .. } | Self::UndoFailed { .. })
    }

    /// The step and attempt that this is about, if it is about one.
    #[must_use]
    pub fn attempt_of(&self) -> Option<(&str, u32)> {
        match self {
            Self::StepStarted { step, attempt, .. }
            | Self::StepSucceeded { step, attempt, .. }
            | Self::StepFailed { step, attempt, .. }
            | Self::StepUnknown { step, attempt, .. }
            | Self::StepRefused { step, attempt, .. }
            | Self::UndoStarted { step, attempt }
            | Self::Undone { step, attempt }
            | Self::UndoFailed { step, attempt, .. } => Some((step, *attempt)),
            _ => None,
        }
    }
}
