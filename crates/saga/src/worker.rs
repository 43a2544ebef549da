//! Executes runs: claims what is due, keeps a lease, and gives each claimed run an [`executor`] of its own.
//!
//! Promises: intent is durable before an effect can happen; a worker that may have lost its lease starts nothing; an
//! attempt is over only when its task has returned; a drain leaves every run released.

mod attempt;
mod batcher;
mod executor;
mod lease;
mod options;
mod pauses;
mod plan;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::ports::{Claim, ClaimedRun, Runs};
use crate::{DefinitionId, Registry, RunId, WorkerId};
use attempt::Tasks;
use batcher::{Batcher, Batches, batcher};
use executor::Executor;
use lease::Lease;
pub use options::{AttemptSpan, Options};
use pauses::Pauses;

/// Executes the runs of one process.
pub struct Worker<C: 'static> {
    shared: Arc<Shared<C>>,
    batches: Batches<C>,
}

/// What a worker's executors have in common.
pub(crate) struct Shared<C: 'static> {
    pub runs: Arc<dyn Runs<C>>,
    pub registry: Arc<Registry<C>>,
    pub options: Options,
    pub tasks: Tasks,
    pub pauses: Pauses,
    pub commits: Batcher<C>,
    /// A run may be due, or a request may wait for its owner.
    pub wake: Arc<Notify>,
    /// No attempt starts any more.
    pub draining: CancellationToken,
}

/// Tells a worker of its process that something is due. Losing the hint costs a poll, nothing else.
#[derive(Clone)]
pub struct Handle {
    wake: Arc<Notify>,
}

impl Handle {
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

impl<C: Clone + Send + Sync + 'static> Worker<C> {
    #[must_use]
    pub fn new(runs: Arc<dyn Runs<C>>, registry: Arc<Registry<C>>, options: Options) -> (Self, Handle) {
        let wake = Arc::new(Notify::new());
        let handle = Handle { wake: wake.clone() };
        let (tasks, pauses) = (Tasks::default(), Pauses::default());
        let (commits, batches) = batcher();
        let shared = Shared { runs, registry, options, tasks, pauses, commits, wake, draining: CancellationToken::new() };
        (Self { shared: Arc::new(shared), batches }, handle)
    }

    /// Works until `shutdown` fires, then drains: attempts get `drain_for`, then are cancelled; every run is released.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { shared, batches } = self;
        // It ends with this future: a worker that is dropped commits nothing more.
        let _committing = AbortOnDropHandle::new(tokio::spawn(batches.run(shared.runs.clone())));
        let tenant = Tenant { shared };
        while !shutdown.is_cancelled() {
            let Some(lease) = tenant.register(&shutdown).await else { return };
            tenant.tenure(lease, &shutdown).await;
        }
    }
}

/// A worker under its registrations, one after the other.
struct Tenant<C: 'static> {
    shared: Arc<Shared<C>>,
}

impl<C: Clone + Send + Sync + 'static> Tenant<C> {
    /// Registers under a fresh id, trying until it works.
    async fn register(&self, shutdown: &CancellationToken) -> Option<Lease> {
        let options = &self.shared.options;
        loop {
            let (worker, sent) = (WorkerId(Uuid::now_v7()), Instant::now());
            match self.shared.runs.register(worker, options.lease).await {
                Ok(_) => {
                    self.name_unknown().await;
                    return Some(Lease::new(worker, sent, options));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot register a worker; trying again");
                    tokio::select! {
                        () = shutdown.cancelled() => return None,
                        () = sleep(options.poll_every) => {}
                    }
                }
            }
        }
    }

    /// Live runs that this binary cannot execute must be seen; they stop nobody.
    async fn name_unknown(&self) {
        match self.shared.runs.unknown(&self.known()).await {
            Ok(unknown) => {
                for (id, runs) in unknown {
                    tracing::warn!(saga = id.name, version = id.version, runs, "live runs of a definition that this binary does not know");
                }
            }
            Err(error) => tracing::warn!(%error, "cannot count the runs of unknown definitions"),
        }
    }

    fn known(&self) -> Vec<DefinitionId> {
        self.shared.registry.all().map(|s| s.definition.id.clone()).collect()
    }

    /// Works under one registration until it is lost, or until the drain has ended.
    async fn tenure(&self, lease: Lease, shutdown: &CancellationToken) {
        let shared = &self.shared;
        let (worker, lost) = (lease.worker, lease.lost.clone());
        let (renew_now, mut requested, renewing) = lease.keep(shared.clone());
        let mut executors = Executors::default();
        let mut poll_at = Instant::now();
        loop {
            let has_room = executors.set.len() < shared.options.concurrency;
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = lost.cancelled() => break,
                () = shared.wake.notified() => {
                    if !executors.set.is_empty() {
                        renew_now.notify_one();
                    }
                    poll_at = Instant::now();
                }
                () = sleep_until(poll_at), if has_room => poll_at = self.claim(worker, &lost, &mut executors).await,
                Some(runs) = requested.recv() => executors.notify(&runs),
                Some(ended) = executors.set.join_next_with_id() => {
                    if !executors.ended(&ended) {
                        lost.cancel();
                    }
                    if !has_room {
                        poll_at = Instant::now();
                    }
                }
            }
        }
        if shutdown.is_cancelled() {
            shared.draining.cancel();
        }
        // Executors end by themselves: each cancels its attempts, and releases its run if it still may.
        let patience = shared.options.drain_for + shared.options.cancel_grace + shared.options.task_patience;
        let all_ended = timeout(patience, async { while executors.set.join_next().await.is_some() {} }).await;
        if all_ended.is_err() {
            tracing::error!(left = executors.set.len(), "executors did not end in time");
        }
        drop(renewing);
        if let Err(error) = shared.runs.retire(worker).await {
            tracing::warn!(%error, "cannot end the registration; its lease will");
        }
    }

    /// Claims what is due; returns when to ask again.
    async fn claim(&self, worker: WorkerId, lost: &CancellationToken, executors: &mut Executors) -> Instant {
        let options = &self.shared.options;
        let poll = Instant::now() + options.poll_every.mul_f64(0.75 + (options.jitter)() / 2.0);
        if let Err(error) = self.shared.runs.bury().await {
            tracing::warn!(%error, "cannot look for dead workers");
        }
        let room = u32::try_from(options.concurrency - executors.set.len()).unwrap_or(u32::MAX);
        let asked = Instant::now();
        let claimed = match self.shared.runs.claim(&Claim { worker, limit: room, definitions: self.known() }).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(%error, "cannot claim runs; trying again");
                return poll;
            }
        };
        self.shared.hear(claimed.pauses);
        let (now, full) = (claimed.now, claimed.runs.len() >= room as usize);
        for run in claimed.runs {
            executors.spawn(&self.shared, run, now, asked, lost);
        }
        if full {
            // There may be more than there was room for; a full house asks again when somebody leaves.
            return Instant::now();
        }
        claimed.next_due.map_or(poll, |due| poll.min(Instant::now() + due.since(now)))
    }
}

/// The executors of one registration.
#[derive(Default)]
struct Executors {
    set: JoinSet<RunId>,
    inboxes: HashMap<RunId, (tokio::task::Id, Arc<Notify>)>,
}

impl Executors {
    fn spawn<C: Clone + Send + Sync + 'static>(
        &mut self,
        shared: &Arc<Shared<C>>,
        run: ClaimedRun,
        now: crate::Time,
        asked: Instant,
        lost: &CancellationToken,
    ) {
        let id = run.facts.run;
        let inbox = Arc::new(Notify::new());
        let Some(executor) = Executor::new(shared.clone(), run, now, asked, lost.clone(), inbox.clone()) else {
            tracing::error!(run = %id, "claimed a run of a definition that this binary does not know");
            return;
        };
        let task = self.set.spawn(async move {
            executor.execute().await;
            id
        });
        self.inboxes.insert(id, (task.id(), inbox));
    }

    fn notify(&self, runs: &[RunId]) {
        for (_, inbox) in runs.iter().filter_map(|run| self.inboxes.get(run)) {
            inbox.notify_one();
        }
    }

    /// False if the executor itself failed: its run would stay owned, and nobody would work on it.
    fn ended(&mut self, ended: &Result<(tokio::task::Id, RunId), tokio::task::JoinError>) -> bool {
        let task = match ended {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        self.inboxes.retain(|_, (id, _)| *id != task);
        if let Err(error) = ended {
            tracing::error!(%error, "an executor failed; its worker registers anew");
        }
        ended.is_ok()
    }
}
