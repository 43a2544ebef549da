//! Executes runs: claims what is due, keeps a lease, and gives each claimed run an [`executor`] of its own.
//!
//! Promises: intent is durable before an effect can happen; a worker that may have lost its lease starts nothing; an
//! attempt is over only when its task has returned; a drain leaves every run released.

mod attempt;
mod batcher;
mod executor;
mod executors;
mod lease;
mod options;
mod pauses;
mod plan;

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::ports::{Claim, Runs, Sought, StoreError};
use crate::{DefinitionId, Registry, WorkerId};
use attempt::Tasks;
use batcher::Batcher;
use executors::Executors;
use lease::{Kept, Lease};
pub use options::{AttemptSpan, Options};
use pauses::Pauses;

/// Executes the runs of one process.
pub struct Worker<C: 'static> {
    shared: Arc<Shared<C>>,
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
    /// There may be a new run.
    pub fresh: Arc<Notify>,
    /// No attempt starts any more.
    pub draining: CancellationToken,
    /// None of the living workers has been registered for longer than this one.
    pub first: watch::Sender<bool>,
}

/// Tells a worker of its process that something is due. Losing the hint costs a poll, nothing else.
#[derive(Clone)]
pub struct Handle {
    wake: Arc<Notify>,
    fresh: Arc<Notify>,
}

impl Handle {
    /// Something may be due, or asked of a run, or paused.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// A new run waits to be claimed.
    pub fn new_run(&self) {
        self.fresh.notify_one();
    }
}

impl<C: Clone + Send + Sync + 'static> Worker<C> {
    #[must_use]
    pub fn new(runs: Arc<dyn Runs<C>>, registry: Arc<Registry<C>>, options: Options) -> (Self, Handle) {
        let (wake, fresh) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let handle = Handle { wake: wake.clone(), fresh: fresh.clone() };
        let (tasks, pauses) = (Tasks::default(), Pauses::default());
        let commits = Batcher::new(runs.clone(), options.commits_at_once);
        let (draining, first) = (CancellationToken::new(), watch::Sender::new(false));
        let shared = Shared { runs, registry, options, tasks, pauses, commits, wake, fresh, draining, first };
        (Self { shared: Arc::new(shared) }, handle)
    }

    /// Whether none of the living workers has been registered for longer than this one, as its last renewal told: one of them, but for
    /// moments. What needs to be done by one only, and does no harm when two do it, can go by this.
    #[must_use]
    pub fn is_first(&self) -> watch::Receiver<bool> {
        self.shared.first.subscribe()
    }

    /// Works until `shutdown` fires, then drains: attempts get `drain_for`, then are cancelled; every run is released.
    pub async fn run(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let Some(lease) = self.register(&shutdown).await else { return };
            self.tenure(lease, &shutdown).await;
        }
    }

    /// Registers under a fresh id, trying until it works.
    async fn register(&self, shutdown: &CancellationToken) -> Option<Lease> {
        let options = &self.shared.options;
        loop {
            let (worker, sent) = (WorkerId(Uuid::now_v7()), Instant::now());
            match self.shared.runs.register(worker, options.lease, &self.known()).await {
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
        let Kept { renew_now, mut requested, mut others_until, renewing } = lease.keep(shared.clone());
        let mut executors = Executors::default();
        let mut poll_at = Instant::now();
        // Nothing is claimed before it is known what is paused.
        tokio::select! {
            heard = others_until.changed() => if heard.is_err() { lost.cancel() },
            () = shutdown.cancelled() => {}
            () = lost.cancelled() => {}
        }
        others_until.mark_changed();
        // Dead workers are looked for when the first of the others is dead, unless it is heard of before; and now and then.
        let (mut sweep_at, mut other_dead_at) = (Instant::now(), None);
        loop {
            let has_room = executors.set.len() < shared.options.concurrency;
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = lost.cancelled() => break,
                () = shared.wake.notified() => {
                    renew_now.notify_one();
                    poll_at = Instant::now();
                }
                () = shared.fresh.notified(), if has_room => {
                    if let Some(at) = self.claim(worker, Sought::New, &lost, &mut executors).await {
                        poll_at = poll_at.min(at);
                    }
                }
                () = sleep_until(poll_at), if has_room => {
                    let poll = Instant::now() + shared.options.poll_every.mul_f64(0.75 + (shared.options.jitter)() / 2.0);
                    poll_at = self.claim(worker, Sought::All, &lost, &mut executors).await.map_or(poll, |at| at.min(poll));
                }
                () = sleep_until(other_dead_at.map_or(sweep_at, |at| sweep_at.min(at))) => {
                    sweep_at = Instant::now() + shared.options.sweep_every.mul_f64(0.75 + (shared.options.jitter)() / 2.0);
                    other_dead_at = None;
                    if self.bury().await {
                        poll_at = Instant::now();
                    }
                }
                Ok(()) = others_until.changed() => {
                    // Not all at once: the first that comes does it for all.
                    let late = shared.options.lease.mul_f64((shared.options.jitter)() / 20.0);
                    other_dead_at = others_until.borrow_and_update().map(|until| until + late);
                }
                Some(runs) = requested.recv() => executors.notify(&runs),
                Some(ended) = executors.set.join_next_with_id() => {
                    shared.commits.expect(executors.set.len());
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

    /// Takes their runs from workers that are dead; answers whether there may be some now.
    async fn bury(&self) -> bool {
        match self.shared.runs.bury().await {
            Ok(buried) => buried > 0,
            Err(error) => {
                tracing::warn!(%error, "cannot look for dead workers; the next renewal tells of them again");
                false
            }
        }
    }

    /// Claims what there is room for; answers when to ask again before the next poll, if so.
    async fn claim(&self, worker: WorkerId, sought: Sought, lost: &CancellationToken, executors: &mut Executors) -> Option<Instant> {
        let options = &self.shared.options;
        let room = u32::try_from(executors.room(options)).unwrap_or(u32::MAX);
        let asked = Instant::now();
        let claim = Claim { worker, limit: room, definitions: self.known(), without: executors.saturated(options), sought };
        let claimed = match self.shared.runs.claim(&claim).await {
            Ok(claimed) => claimed,
            Err(StoreError::Unknown(error)) => {
                // Runs may be ours that nobody here works on: they are free again with the registration's end.
                tracing::warn!(error, "it is not known what was claimed; the worker registers anew");
                lost.cancel();
                return None;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot claim runs; trying again");
                return None;
            }
        };
        let (now, full) = (claimed.now, claimed.runs.len() >= room as usize);
        for run in claimed.runs {
            executors.spawn(&self.shared, run, now, asked, lost);
        }
        if full {
            // There may be more than there was room for; a full house asks again when somebody leaves.
            return Some(Instant::now());
        }
        claimed.next_due.map(|due| Instant::now() + due.since(now))
    }
}
