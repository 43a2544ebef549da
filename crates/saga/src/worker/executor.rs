//! Executes one claimed run until it ends, is released, or is lost.
//!
//! Each round journals what happened, commits, launches what the commit made durable, and waits. The state in memory is
//! always that of the last good commit: a refused or lost commit leaves nothing behind.

mod committing;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::Shared;
use super::attempt::{Drawn, Returned, attempt};
use super::pauses::{Heard, Reach};
use super::plan::News;
use crate::machine::{Launch, Phase, UndoPhase, fold};
use crate::ports::{ClaimedRun, Disposition, Facts, Head, Request};
use crate::registry::Saga;
use crate::step::Attempt;
use crate::{Event, Fault, Record, RunState, Time};
use committing::Made;

/// After `drain_for` the process has 5 s left.
const DRAIN_GRACE: Duration = Duration::from_secs(3);

pub(super) struct Executor<C: 'static> {
    shared: Arc<Shared<C>>,
    lost: CancellationToken,
    inbox: Arc<Notify>,
    pauses: watch::Receiver<Heard>,
    reach: Reach,
    saga: Saga<C>,
    facts: Facts,
    input: Arc<Value>,
    epoch: i64,
    /// As committed.
    state: RunState,
    /// Of the steps that have succeeded.
    outputs: Arc<BTreeMap<String, Arc<Value>>>,
    head: Option<Head>,
    clock: Clock,
    requests: Vec<Request>,
    open: HashMap<usize, Open>,
    tasks: JoinSet<(Launch, Returned<C>)>,
    drain_until: Option<Instant>,
    /// An attempt waits for a limit.
    is_full: bool,
    /// Since when, if nothing else goes on.
    full_since: Option<Instant>,
}

/// An attempt whose task has not returned.
struct Open {
    launch: Launch,
    cancel: CancellationToken,
    times_out: Instant,
    cancelled: Option<(Instant, Fault)>,
    /// Its outcome is journaled; only the task is awaited.
    given_up: bool,
    not_returned: bool,
}

/// Database time, carried on by the monotonic clock.
struct Clock {
    at: Time,
    read: Instant,
}

/// The run is somebody else's, or may be.
struct Lost;

impl Clock {
    fn now(&self) -> Time {
        self.at + self.read.elapsed()
    }

    /// A reply's time is at least as late as its request's, so it only ever moves the clock forward.
    fn learn(&mut self, now: Time) {
        if now > self.now() {
            *self = Self { at: now, read: Instant::now() };
        }
    }
}

impl<C: Clone + Send + Sync + 'static> Executor<C> {
    pub fn new(
        shared: Arc<Shared<C>>,
        run: ClaimedRun,
        now: Time,
        asked: Instant,
        lost: CancellationToken,
        inbox: Arc<Notify>,
    ) -> Option<Self> {
        let saga = shared.registry.get(&run.facts.definition)?.clone();
        let state = fold(&saga.definition, run.facts.created_at, run.facts.on_failure, &run.journal);
        let outputs = saga.definition.steps.iter().zip(&state.steps).filter_map(|(of, s)| Some((of.name.clone(), s.output.clone()?)));
        Some(Self {
            outputs: Arc::new(outputs.collect()),
            pauses: shared.pauses.subscribe(),
            reach: Reach::of(&saga, &run.facts),
            shared,
            lost,
            inbox,
            saga,
            input: Arc::new(run.facts.input.clone()),
            facts: run.facts,
            epoch: run.epoch,
            state,
            head: None,
            clock: Clock { at: now, read: asked },
            requests: run.requests,
            open: HashMap::new(),
            tasks: JoinSet::new(),
            drain_until: None,
            is_full: false,
            full_since: None,
        })
    }

    pub async fn execute(mut self) {
        let mut news = self.orphans();
        loop {
            let wake = match self.round(news).await {
                Ok(Some(wake)) => wake,
                Ok(None) => return self.tasks.detach_all(),
                Err(Lost) => return self.drop_run().await,
            };
            news = match self.wait(wake).await {
                Ok(news) => news,
                Err(Lost) => return self.drop_run().await,
            };
        }
    }

    /// Attempts that an earlier owner left open: each counts, so that a step that kills its worker ends in compensation.
    fn orphans(&self) -> Vec<News<C>> {
        let mut news = Vec::new();
        if self.state.steps.iter().any(|s| s.not_returned) {
            news.push(News::ReturnedLate);
        }
        for (step, s) in self.state.steps.iter().enumerate() {
            let lost = || Fault::new("worker_lost", "The worker was lost in the middle of this attempt").retryable();
            if s.phase == Phase::Open {
                news.push(News::Unknown { launch: Launch { step, attempt: s.attempts, undo: false }, fault: lost() });
            }
            if s.undo.phase == UndoPhase::Open {
                news.push(News::Unknown { launch: Launch { step, attempt: s.undo.attempts, undo: true }, fault: lost() });
            }
        }
        news
    }

    /// Journals, commits, launches. Answers when to look again; `None` when the run is no longer ours.
    async fn round(&mut self, news: Vec<News<C>>) -> Result<Option<Option<Instant>>, Lost> {
        let draining = self.shared.draining.is_cancelled();
        let Some(Made { plan, disposition, mut drawn }) = self.commit(news, draining).await? else { return Ok(None) };
        if disposition != Disposition::Keep {
            return Ok(None);
        }
        for launch in plan.launches {
            let place = drawn.remove(&launch.step);
            self.launch(launch, place);
        }
        self.is_full = plan.full;
        self.full_since = if plan.full && self.open.is_empty() { self.full_since.or_else(|| Some(Instant::now())) } else { None };
        self.cancel_what_left();
        let now = self.clock.now();
        let wake = plan.wake.map(|at| Instant::now() + at.since(now));
        // What blocks may return between the plan and the wait.
        let again = (plan.blocked || plan.full).then(|| Instant::now() + self.shared.options.poll_every);
        Ok(Some(wake.into_iter().chain(again).min()))
    }

    async fn hear_requests(&mut self) {
        match self.shared.runs.requests(self.facts.run).await {
            Ok(requests) => self.requests = requests,
            Err(error) => tracing::warn!(run = %self.facts.run, %error, "cannot read requests; the next renewal tells of them again"),
        }
    }

    fn launch(&mut self, launch: Launch, place: Option<Drawn>) {
        let definition = &self.saga.definition.steps[launch.step];
        let cancel = CancellationToken::new();
        let to_do = Attempt {
            run: self.facts.run,
            step: definition.name.clone(),
            number: launch.attempt,
            input: self.input.clone(),
            with: definition.with.clone(),
            outputs: self.outputs.clone(),
            cancelled: cancel.clone(),
        };
        let limit = if launch.undo { definition.undo_timeout } else { definition.timeout };
        let busy = self.shared.tasks.enter(self.facts.run, launch.step, place);
        let span = (self.shared.options.span)(&self.facts, launch, &definition.name);
        self.tasks.spawn(attempt(self.saga.steps[launch.step].clone(), to_do, launch, busy).instrument(span));
        let open = Open { launch, cancel, times_out: Instant::now() + limit, cancelled: None, given_up: false, not_returned: false };
        self.open.insert(launch.step, open);
    }

    /// A run that left the forward path cancels its forward attempts; an abandoned one all.
    fn cancel_what_left(&mut self) {
        if !self.state.leaves() {
            return;
        }
        let all = self.state.abandon_requested;
        let fault = Fault::new("run_turned", "The run left the forward path in the middle of this attempt").retryable();
        for open in self.open.values_mut().filter(|o| all || !o.launch.undo) {
            open.stop(&fault);
        }
    }

    /// What a cancelled attempt has; little where the process is about to exit.
    fn grace(&self) -> Duration {
        let grace = self.shared.options.cancel_grace;
        if self.drain_until.is_some_and(|until| until <= Instant::now()) { grace.min(DRAIN_GRACE) } else { grace }
    }

    fn stop_all(&mut self, title: &str) {
        let fault = Fault::new("worker_stopping", title).retryable();
        self.open.values_mut().for_each(|o| o.stop(&fault));
    }

    /// Waits for something to journal or a time to look again.
    async fn wait(&mut self, wake: Option<Instant>) -> Result<Vec<News<C>>, Lost> {
        let shared = self.shared.clone();
        let draining = shared.draining.is_cancelled();
        if draining && self.drain_until.is_none() {
            self.drain_until = Some(Instant::now() + shared.options.drain_for);
        }
        let drains = self.drain_until.filter(|_| self.open.values().any(|o| o.cancelled.is_none()));
        let grace = self.grace();
        let look_at = self.open.values().filter_map(|o| o.looks_at(grace, &shared.options)).chain(wake).chain(drains).min();
        let returned = shared.tasks.returned.notified();
        tokio::select! {
            biased;
            () = self.lost.cancelled() => return Err(Lost),
            Some(done) = self.tasks.join_next() => {
                let mut news: Vec<News<C>> = self.returned(done).into_iter().collect();
                while let Some(done) = self.tasks.try_join_next() {
                    news.extend(self.returned(done));
                }
                return Ok(news);
            }
            () = self.inbox.notified() => self.hear_requests().await,
            Ok(()) = self.pauses.changed() => {}
            () = shared.draining.cancelled(), if !draining => {}
            // A task of an earlier registration of this process returned: its step may go on. Or a place is free that is waited for.
            () = returned, if self.tasks.is_empty() || self.is_full => {}
            () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {}
        }
        Ok(self.overdue())
    }

    fn returned(&mut self, done: Result<(Launch, Returned<C>), tokio::task::JoinError>) -> Option<News<C>> {
        let (launch, returned) = match done {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(run = %self.facts.run, %error, "an attempt's task was aborted");
                return None;
            }
        };
        let open = self.open.remove(&launch.step)?;
        if open.not_returned {
            return Some(News::ReturnedLate);
        }
        Some(News::Returned { launch, returned, stopped: open.cancelled.map(|(_, fault)| fault) })
    }

    /// Attempts that ran out of time, of grace or of patience.
    fn overdue(&mut self) -> Vec<News<C>> {
        let (now, options) = (Instant::now(), self.shared.options.clone());
        if self.drain_until.is_some_and(|until| until <= now) {
            self.stop_all("The worker drains");
        }
        let grace = self.grace();
        let mut news = Vec::new();
        for open in self.open.values_mut() {
            match &open.cancelled {
                None if open.times_out <= now => {
                    open.stop(&Fault::new("timeout", "The attempt did not end within its timeout").retryable());
                }
                Some((since, fault)) if !open.given_up && *since + grace <= now => {
                    news.push(News::Unknown { launch: open.launch, fault: fault.clone() });
                    open.given_up = true;
                }
                Some((since, _)) if open.given_up && !open.not_returned && *since + options.task_patience <= now => {
                    news.push(News::NotReturned { step: open.launch.step });
                    open.not_returned = true;
                }
                _ => {}
            }
        }
        news
    }

    /// Fenced, or the lease is lost: nothing more is written, and the attempts are stopped.
    async fn drop_run(mut self) {
        tracing::warn!(run = %self.facts.run, epoch = self.epoch, "dropping a run that another worker may own");
        self.stop_all("The worker lost its lease");
        let patience = self.shared.options.task_patience;
        let _some_may_stay = timeout(patience, async { while self.tasks.join_next().await.is_some() {} }).await;
        self.tasks.detach_all();
    }

    /// What became of attempts and runs, for alerts; the names of sagas and steps stand in files, so that they are few.
    fn count(&self, event: &Event, step: &str) {
        let outcome = match event {
            Event::StepSucceeded { .. } => "succeeded",
            Event::StepFailed { .. } => "failed",
            Event::StepUnknown { .. } => "unknown",
            Event::StepRefused { .. } => "refused",
            Event::Undone { .. } => "undone",
            Event::UndoFailed { .. } => "undo_failed",
            Event::Ended { ending } => {
                let saga = self.facts.definition.name.clone();
                return metrics::counter!("saga_runs_ended_total", "saga" => saga, "ending" => ending.word()).increment(1);
            }
            _ => return,
        };
        let (saga, step) = (self.facts.definition.name.clone(), step.to_owned());
        metrics::counter!("saga_attempts_total", "saga" => saga, "step" => step, "outcome" => outcome).increment(1);
    }

    fn log(&self, records: &[Record]) {
        let run = self.facts.run;
        for record in records {
            let (step, attempt) = record.event.attempt_of().unwrap_or_default();
            self.count(&record.event, step);
            match &record.event {
                Event::StepFailed { fault, .. } => {
                    tracing::info!(%run, step, attempt, code = fault.r#type, cause = fault.text(), "a step failed");
                }
                Event::StepUnknown { fault, .. } => {
                    tracing::info!(%run, step, attempt, code = fault.r#type, cause = fault.text(), "it is not known what a step did");
                }
                Event::UndoFailed { fault, retry_at, .. } => {
                    let stuck = retry_at.is_none();
                    tracing::warn!(%run, step, attempt, stuck, code = fault.r#type, cause = fault.text(), "an undo failed");
                }
                Event::TaskNotReturned { step } => tracing::error!(%run, step, "a step's task did not return after its cancellation"),
                Event::Turned { turn } => tracing::info!(%run, why = turn.why(), step = turn.step(), "the run left the forward path"),
                Event::Ended { ending } => tracing::info!(%run, saga = self.facts.definition.name, ending = ending.word(), "run ended"),
                _ => tracing::debug!(%run, seq = record.seq, step, attempt, "journaled"),
            }
        }
    }
}

impl Open {
    fn stop(&mut self, why: &Fault) {
        if self.cancelled.is_none() {
            self.cancel.cancel();
            self.cancelled = Some((Instant::now(), why.clone()));
        }
    }

    /// When the executor has to look after this attempt.
    fn looks_at(&self, grace: Duration, options: &super::Options) -> Option<Instant> {
        match &self.cancelled {
            None => Some(self.times_out),
            Some((since, _)) if !self.given_up => Some(*since + grace),
            Some((since, _)) if !self.not_returned => Some(*since + options.task_patience),
            Some(_) => None,
        }
    }
}
