//! The rules of a run, kept by a second and simpler model than the machine's own: it only listens to what is journaled.
//!
//! Each rule panics with the history so far, so that a failing schedule can be read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use saga::definition::{Pivot, Undo};
use saga::journal::{Ending, Turn, Verb};
use saga::ports::OnFailure;
use saga::{Definition, Event, Record, Time};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Idle,
    Open,
    /// Waits for another try, or for a person.
    Between,
    Done,
}

#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Rules {
    definition: Arc<Definition>,
    on_failure: OnFailure,
    pub forward: Vec<Part>,
    pub undo: Vec<Part>,
    pub attempts: Vec<u32>,
    undo_attempts: Vec<u32>,
    /// Failed for good and not retried since.
    pub failed: BTreeSet<usize>,
    /// An attempt of the pivot came to unknown, and none has decided since.
    pub pivot_unsure: bool,
    pub turned: Option<Turn>,
    pub parked: bool,
    /// Scopes of the pauses that hold something back.
    pub paused_by: Vec<String>,
    pub cancelled: bool,
    abandoned: bool,
    pub ended: Option<Ending>,
    /// The time that counts against the deadline, and since when it runs.
    counted: Duration,
    running_since: Option<Time>,
    started: bool,
    pub history: Vec<Record>,
}

impl Rules {
    pub fn new(definition: Arc<Definition>, on_failure: OnFailure) -> Self {
        let n = definition.steps.len();
        Self {
            definition,
            on_failure,
            forward: vec![Part::Idle; n],
            undo: vec![Part::Idle; n],
            attempts: vec![0; n],
            undo_attempts: vec![0; n],
            failed: BTreeSet::new(),
            pivot_unsure: false,
            turned: None,
            parked: false,
            paused_by: Vec::new(),
            cancelled: false,
            abandoned: false,
            ended: None,
            counted: Duration::ZERO,
            running_since: None,
            started: false,
            history: Vec::new(),
        }
    }

    fn index(&self, step: &str) -> usize {
        self.definition.position(step).expect("journaled steps are the definition's")
    }

    fn has_undo(&self, step: usize) -> bool {
        matches!(self.definition.steps[step].undo, Undo::Action(_))
    }

    /// Started, to be undone, and not undone yet.
    pub fn owed(&self) -> Vec<usize> {
        (0..self.forward.len()).filter(|&i| self.attempts[i] > 0 && self.has_undo(i) && self.undo[i] != Part::Done).collect()
    }

    pub fn open(&self) -> Vec<(usize, bool)> {
        let n = self.forward.len();
        let forward = (0..n).filter(|&i| self.forward[i] == Part::Open).map(|i| (i, false));
        forward.chain((0..n).filter(|&i| self.undo[i] == Part::Open).map(|i| (i, true))).collect()
    }

    pub fn pivot_decided(&self) -> bool {
        match self.definition.pivot {
            Pivot::None => false,
            Pivot::Start => true,
            Pivot::Step(i) => self.forward[i] == Part::Done,
        }
    }

    pub fn pivot_undecided(&self) -> bool {
        matches!(self.definition.pivot, Pivot::Step(i) if self.forward[i] == Part::Open || self.pivot_unsure)
    }

    pub fn is_pivot(&self, step: usize) -> bool {
        self.definition.pivot == Pivot::Step(step)
    }

    pub fn held(&self) -> bool {
        self.on_failure == OnFailure::Hold && self.turned.is_none() && !self.pivot_decided() && !self.failed.is_empty()
    }

    pub fn paused(&self) -> bool {
        !self.paused_by.is_empty()
    }

    fn pause_of(&self, scopes: &[String]) -> bool {
        self.paused_by.iter().any(|by| scopes.contains(by))
    }

    pub fn all_done(&self) -> bool {
        self.forward.iter().all(|p| *p == Part::Done)
    }

    /// How much of the deadline is used up at `now`.
    pub fn counted(&self, now: Time) -> Duration {
        self.counted + self.running_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    fn check(&self, holds: bool, rule: &str) {
        assert!(holds, "{rule}\n{}", self.story());
    }

    pub fn story(&self) -> String {
        let line = |r: &Record| format!("  {} {} {}", r.seq, r.at, serde_json::to_string(&r.event).unwrap_or_default());
        self.history.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    pub fn see(&mut self, record: &Record) {
        self.history.push(record.clone());
        self.check(self.ended.is_none(), "nothing is journaled after the end");
        match &record.event {
            Event::RunStarted => self.started = true,
            Event::StepStarted { step, attempt, .. } => self.forward_starts(self.index(step), *attempt),
            Event::StepSucceeded { step, attempt, .. } => {
                let i = self.forward_ends(step, *attempt, Part::Done);
                self.pivot_unsure &= !self.is_pivot(i);
            }
            Event::StepFailed { step, attempt, retry_at, .. } => {
                let i = self.forward_ends(step, *attempt, Part::Between);
                if retry_at.is_none() {
                    self.failed.insert(i);
                    self.pivot_unsure &= !self.is_pivot(i);
                }
            }
            Event::StepUnknown { step, attempt, retry_at, .. } => {
                let i = self.forward_ends(step, *attempt, Part::Between);
                self.pivot_unsure |= self.is_pivot(i);
                if retry_at.is_none() {
                    self.failed.insert(i);
                }
            }
            Event::StepRefused { step, attempt, .. } => {
                self.forward_ends(step, *attempt, Part::Between);
            }
            Event::Turned { turn } => self.turns(turn, record.at),
            Event::UndoStarted { step, attempt } => self.undo_starts(self.index(step), *attempt),
            Event::Undone { step, attempt } => self.undo_ends(step, *attempt, Part::Done),
            Event::UndoFailed { step, attempt, .. } => self.undo_ends(step, *attempt, Part::Between),
            Event::TaskNotReturned { .. } | Event::Resumed { .. } => {}
            Event::Requested { verb, step, .. } => match verb {
                Verb::Cancel => self.cancelled = true,
                Verb::Abandon => self.abandoned = true,
                Verb::Park => self.parked = true,
                Verb::Unpark => self.parked = false,
                Verb::Retry if self.turned.is_none() => match step {
                    Some(step) => drop(self.failed.remove(&self.index(step))),
                    None => self.failed.clear(),
                },
                Verb::Skip | Verb::Retry => {}
            },
            Event::Superseded { verb } => {
                let late = self.turned.is_some() || self.pivot_decided();
                self.check(*verb != Verb::Cancel || late, "only a cancel that came too late is superseded");
            }
            Event::Skipped { step } => {
                let i = self.index(step);
                if self.turned.is_some() {
                    self.undo[i] = Part::Done;
                } else {
                    self.forward[i] = Part::Done;
                    self.failed.remove(&i);
                }
            }
            Event::Paused { by, whole } => {
                self.check(!by.is_empty() && *by != self.paused_by, "a pause is told of once");
                self.check(*whole == by.iter().any(|scope| scope.ends_with("run")), "the run is paused if one of the pauses is the run's");
                self.paused_by.clone_from(by);
            }
            Event::PauseEnded => {
                self.check(self.paused(), "only what was paused goes on");
                self.paused_by.clear();
            }
            Event::Abandoned { leftovers } => {
                let owed: Vec<&str> = self.owed().into_iter().map(|i| self.definition.steps[i].name.as_str()).collect();
                self.check(*leftovers == owed, "leftovers are what was started and not undone");
            }
            Event::Ended { ending } => self.ends(*ending),
        }
        self.count(record.at);
    }

    /// The deadline counts from the first claim, and stands still while the run is parked, paused or held.
    fn count(&mut self, at: Time) {
        let counts = self.started && !self.parked && !self.paused() && !self.held();
        match (counts, self.running_since) {
            (true, None) => self.running_since = Some(at),
            (false, Some(since)) => {
                self.counted += at.since(since);
                self.running_since = None;
            }
            _ => {}
        }
    }

    fn forward_starts(&mut self, i: usize, attempt: u32) {
        self.check(self.started, "a step starts after the run");
        self.check(self.turned.is_none() && !self.abandoned, "no forward attempt starts once the run has turned");
        self.check(!self.parked, "no forward attempt starts while the run is parked");
        let scopes = ["run".to_owned(), "undo of run".to_owned(), format!("step {i}"), format!("undo of step {i}")];
        self.check(!self.pause_of(&scopes), "no forward attempt starts of what is paused");
        self.check(!self.held(), "no forward attempt starts while the run is held");
        self.check(matches!(self.forward[i], Part::Idle | Part::Between), "a step has one attempt at a time, and none after success");
        self.check(self.undo[i] == Part::Idle, "a forward call is never made again once its undo has started");
        self.check(!self.failed.contains(&i), "a step that failed for good is not tried again by itself");
        self.check(attempt == self.attempts[i] + 1, "attempts count up by one");
        let steps = &self.definition.steps;
        let earlier = (0..i).filter(|&e| steps[e].stage < steps[i].stage).all(|e| self.forward[e] == Part::Done);
        self.check(earlier, "a stage starts when all earlier ones are done");
        self.forward[i] = Part::Open;
        self.attempts[i] = attempt;
    }

    fn forward_ends(&mut self, step: &str, attempt: u32, to: Part) -> usize {
        let i = self.index(step);
        self.check(self.forward[i] == Part::Open && self.attempts[i] == attempt, "an outcome belongs to the open attempt");
        self.forward[i] = to;
        i
    }

    fn turns(&mut self, turn: &Turn, at: Time) {
        self.check(self.turned.is_none(), "a run turns at most once");
        self.check(!self.pivot_decided(), "nothing turns after the pivot");
        self.check(!self.pivot_undecided(), "nothing turns while the pivot is undecided");
        match turn {
            Turn::Cancelled => self.check(self.cancelled, "cancelled only if asked"),
            Turn::Deadline => {
                self.check(self.counted(at) >= self.definition.deadline, "the deadline stands still while the run is parked or held");
            }
            Turn::NotStarted => self.check(!self.started, "not started means never claimed"),
            Turn::Failed { step, .. } | Turn::HeldTooLong { step, .. } => {
                self.check(self.failed.contains(&self.index(step)), "the step that is named has failed for good");
            }
        }
        self.turned = Some(turn.clone());
    }

    fn undo_starts(&mut self, i: usize, attempt: u32) {
        self.check(self.turned.is_some(), "undo belongs to a run that has turned");
        self.check(!self.forward.contains(&Part::Open), "never an undo while an attempt is open");
        self.check(self.attempts[i] > 0 && self.has_undo(i), "undo covers what was started, and nothing else");
        self.check(!self.pause_of(&["undo of run".to_owned(), format!("undo of step {i}")]), "no undo starts whose pause says so");
        self.check(matches!(self.undo[i], Part::Idle | Part::Between), "one undo of a step at a time, and none after it is undone");
        self.check(attempt == self.undo_attempts[i] + 1, "undo attempts count up by one");
        let stage = |s: usize| self.definition.steps[s].stage;
        self.check(self.owed().into_iter().all(|o| stage(o) <= stage(i)), "stages are undone backwards, each a barrier");
        self.undo[i] = Part::Open;
        self.undo_attempts[i] = attempt;
    }

    fn undo_ends(&mut self, step: &str, attempt: u32, to: Part) {
        let i = self.index(step);
        self.check(self.undo[i] == Part::Open && self.undo_attempts[i] == attempt, "an undo's outcome belongs to the open one");
        self.undo[i] = to;
    }

    fn ends(&mut self, ending: Ending) {
        self.check(self.open().is_empty(), "a run does not end while something is open");
        let named = match (&self.turned, self.abandoned) {
            (_, true) => Ending::Abandoned,
            (None, _) => Ending::Succeeded,
            (Some(Turn::Cancelled), _) => Ending::Cancelled,
            (Some(_), _) => Ending::Failed,
        };
        self.check(ending == named, "the first cause names the outcome");
        self.check(ending != Ending::Succeeded || self.all_done(), "a run succeeds when every step has");
        self.check(matches!(ending, Ending::Succeeded | Ending::Abandoned) || self.owed().is_empty(), "whatever was started is undone");
        self.ended = Some(ending);
    }
}
