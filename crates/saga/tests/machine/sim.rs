//! A run without a world: the test says what each attempt comes to, and the machine says what happens next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use saga::journal::{Ending, Verb};
use saga::machine::{self, Gate, Launch, fold};
use saga::ports::{OnFailure, State, WaitingFor};
use saga::{Decision, Definition, Event, Fault, Record, RunState, Time};
use serde_json::{Value, json};

use crate::rules::{Part, Rules};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Succeed,
    /// Worth another try.
    Fail,
    FailForGood,
    Unknown,
    /// No attempt at all; an undo has no such answer and fails.
    Refuse,
}

pub const T0: Time = Time::from_micros(1_700_000_000_000_000);
const JITTER: f64 = 0.7;

#[derive(Clone)]
pub struct Sim {
    pub definition: Arc<Definition>,
    pub on_failure: OnFailure,
    pub now: Time,
    pub state: RunState,
    /// What the table holds: records that were written over are gone.
    pub table: BTreeMap<i64, Record>,
    pub rules: Rules,
    /// Steps whose task has not returned: none of their attempts may be launched.
    pub busy: BTreeSet<usize>,
    /// What operators have paused.
    pub pauses: BTreeSet<Pause>,
}

/// An operator's pause, with the words by which the second model knows it in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pause {
    /// `None`: the run.
    pub step: Option<usize>,
    /// Undos too.
    pub undo: bool,
}

impl Pause {
    pub fn scope(self) -> String {
        let of = self.step.map_or("run".to_owned(), |step| format!("step {step}"));
        if self.undo { format!("undo of {of}") } else { of }
    }
}

impl Sim {
    pub fn new(definition: &Arc<Definition>, on_failure: OnFailure) -> Self {
        Self {
            definition: definition.clone(),
            on_failure,
            now: T0,
            state: RunState::new(definition, T0, on_failure),
            table: BTreeMap::new(),
            rules: Rules::new(definition.clone(), on_failure),
            busy: BTreeSet::new(),
            pauses: BTreeSet::new(),
        }
    }

    fn gate(&self, launch: Launch) -> Gate {
        let holds = |p: &&Pause| (p.undo || !launch.undo) && p.step.is_none_or(|step| step == launch.step);
        let holding: Vec<Pause> = self.pauses.iter().filter(holds).copied().collect();
        if !holding.is_empty() {
            return Gate::Paused { by: holding.iter().map(|p| p.scope()).collect(), whole: holding.iter().any(|p| p.step.is_none()) };
        }
        if self.busy.contains(&launch.step) { Gate::Busy } else { Gate::Open }
    }

    /// A worker that finds this much of a journal.
    pub fn from_journal(definition: &Arc<Definition>, on_failure: OnFailure, records: &[Record]) -> Self {
        let mut sim = Self::new(definition, on_failure);
        for record in records {
            sim.rules.see(record);
            sim.table.insert(record.seq, record.clone());
            sim.now = sim.now.max(record.at);
        }
        sim.state = fold(definition, T0, on_failure, records);
        sim
    }

    pub fn journal(&self) -> Vec<Record> {
        self.table.values().cloned().collect()
    }

    pub fn record(&mut self, event: Event) {
        let definition = self.definition.clone();
        let record = self.state.journal(&definition, event, self.now);
        self.keep(record);
    }

    fn keep(&mut self, record: Record) {
        self.rules.see(&record);
        self.table.insert(record.seq, record);
    }

    /// What the worker does after each commit; then the state must be that of the table, and no work may be left over.
    pub fn advance(&mut self) -> Option<Time> {
        let (definition, looking) = (self.definition.clone(), self.clone());
        let out = machine::advance(&definition, &mut self.state, self.now, |launch| looking.gate(launch));
        for record in out.records {
            self.keep(record);
        }
        let folded = fold(&definition, T0, self.on_failure, &self.journal());
        assert_eq!(folded, self.state, "the journal tells another story than the state\n{}", self.rules.story());
        for decision in machine::next(&definition, &self.state, self.now) {
            let waits = match decision {
                Decision::Wake(at) => at > self.now,
                Decision::Start { step, attempt } => self.gate(Launch { step, attempt, undo: false }) != Gate::Open,
                Decision::Undo { step, attempt } => self.gate(Launch { step, attempt, undo: true }) != Gate::Open,
                _ => false,
            };
            assert!(waits, "{decision:?} is left over\n{}", self.rules.story());
        }
        self.deadline_is_kept();
        out.wake
    }

    fn deadline_is_kept(&self) {
        let r = &self.rules;
        let can_turn =
            r.ended.is_none() && r.turned.is_none() && !r.pivot_decided() && !r.pivot_undecided() && !self.state.abandon_requested;
        let late = r.counted(self.now) >= self.definition.deadline;
        assert!(!can_turn || !late || r.parked || r.paused() || r.held(), "past the deadline, and not turned\n{}", r.story());
    }

    pub fn request(&mut self, verb: Verb) {
        self.record(Event::Requested { verb, step: None, actor: Value::Null, comment: None });
    }

    pub fn answer(&mut self, step: usize, undo: bool, answer: Answer) {
        let d = self.definition.clone();
        let fault = |slug: &str| Fault::new(slug, "As the test wants it");
        let (now, s) = (self.now, &self.state);
        let event = match (undo, answer) {
            (true, Answer::Succeed) => Event::Undone { step: d.steps[step].name.clone(), attempt: s.steps[step].undo.attempts },
            (true, Answer::FailForGood) => machine::undo_failed(&d, s, step, fault("for_good"), now, JITTER),
            (true, _) => machine::undo_failed(&d, s, step, fault("once").retryable(), now, JITTER),
            (false, Answer::Succeed) => machine::succeeded(&d, s, step, json!({ "of": d.steps[step].name })),
            (false, Answer::Fail) => machine::failed(&d, s, step, fault("once").retryable(), now, JITTER),
            (false, Answer::FailForGood) => machine::failed(&d, s, step, fault("for_good"), now, JITTER),
            (false, Answer::Unknown) => machine::unknown(&d, s, step, fault("lost").retryable(), now, JITTER),
            (false, Answer::Refuse) => machine::refused(&d, s, step, now + Duration::from_secs(3)),
        };
        self.record(event);
    }

    /// The worker is gone, and the next one finds its attempts open.
    pub fn crash(&mut self) {
        self.busy.clear();
        self.state = fold(&self.definition, T0, self.on_failure, &self.journal());
        if self.state.steps.iter().any(|s| s.not_returned) {
            self.record(Event::Resumed { epoch: 2 });
        }
        for (step, undo) in self.rules.open() {
            self.answer(step, undo, if undo { Answer::Fail } else { Answer::Unknown });
        }
    }

    pub fn open(&self) -> Vec<(usize, bool)> {
        self.rules.open()
    }

    /// Goes on to the end; an operator retries what is stuck or held, unparks, and lifts pauses. `answers` is asked for each attempt.
    pub fn settle(&mut self, mut answers: impl FnMut(&Self, usize, bool) -> Answer) -> Ending {
        for _ in 0..3_000 {
            let wake = self.advance();
            if let Some(ending) = self.rules.ended {
                self.prefixes_lead_to_the_whole();
                return ending;
            }
            if let Some(&(step, undo)) = self.open().first() {
                let answer = answers(self, step, undo);
                self.now = self.now + Duration::from_millis(10);
                self.answer(step, undo, answer);
            } else if !self.busy.is_empty() {
                self.busy.clear();
            } else if let Some(at) = wake {
                self.now = self.now.max(at);
            } else if !self.pauses.is_empty() {
                self.pauses.clear();
            } else {
                match (self.state.state(&self.definition, self.now), self.state.waiting_for(&self.definition)) {
                    (State::Stuck, _) | (State::Waiting, Some(WaitingFor::Operator)) => self.request(Verb::Retry),
                    (State::Waiting, Some(WaitingFor::Unfreeze)) => self.request(Verb::Unpark),
                    other => panic!("a run is not over, and nobody sees why: {other:?}\n{}", self.rules.story()),
                }
            }
        }
        panic!("does not end\n{}", self.rules.story());
    }

    fn prefixes_lead_to_the_whole(&self) {
        let journal = self.journal();
        for n in 0..=journal.len() {
            let mut state = fold(&self.definition, T0, self.on_failure, &journal[..n]);
            journal[n..].iter().for_each(|r| state.apply(&self.definition, r));
            assert_eq!(state, self.state);
        }
    }

    pub fn is_done(&self, step: usize) -> bool {
        self.rules.forward[step] == Part::Done
    }
}
