//! A registration and its lease. What may have ended counts as ended: the last good renewal is dated when it was sent.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Options, Shared};
use crate::ports::Renewal;
use crate::{RunId, WorkerId};

/// The part of the lease after which a worker without a good renewal stops: 8 s of 10.
const TRUSTED_PART: f64 = 0.8;

pub(super) struct Lease {
    pub worker: WorkerId,
    /// Fires when the lease is, or may be, lost.
    pub lost: CancellationToken,
    trusted_until: Instant,
}

/// A lease that is being renewed.
pub(super) struct Kept {
    /// Renews at once.
    pub renew_now: Arc<Notify>,
    /// Runs with requests, as they are heard of.
    pub requested: mpsc::UnboundedReceiver<Vec<RunId>>,
    /// When the first of the other workers is dead, unless it renews.
    pub others_until: watch::Receiver<Option<Instant>>,
    pub renewing: AbortOnDropHandle<()>,
}

impl Lease {
    pub fn new(worker: WorkerId, sent: Instant, options: &Options) -> Self {
        Self { worker, lost: CancellationToken::new(), trusted_until: sent + options.lease.mul_f64(TRUSTED_PART) }
    }

    /// Renews until the lease is lost, or until what is answered is dropped: a worker that is dropped must not look alive.
    pub fn keep<C: Clone + Send + Sync + 'static>(self, shared: Arc<Shared<C>>) -> Kept {
        let renew_now = Arc::new(Notify::new());
        let (heard, requested) = mpsc::unbounded_channel();
        let (others, others_until) = watch::channel(None);
        let task = self.renew(shared, renew_now.clone(), heard, others);
        Kept { renew_now, requested, others_until, renewing: AbortOnDropHandle::new(tokio::spawn(task)) }
    }

    async fn renew<C: Clone + Send + Sync + 'static>(
        mut self,
        shared: Arc<Shared<C>>,
        renew_now: Arc<Notify>,
        heard: mpsc::UnboundedSender<Vec<RunId>>,
        others: watch::Sender<Option<Instant>>,
    ) {
        let options = &shared.options;
        // At once: what is paused must be known before anything is claimed.
        let mut due = Instant::now();
        loop {
            tokio::select! {
                () = sleep_until(due) => {}
                () = renew_now.notified() => {}
                () = self.lost.cancelled() => return,
            }
            let sent = Instant::now();
            due = sent + options.renew_every;
            match timeout_at(self.trusted_until, shared.runs.renew(self.worker, options.lease)).await {
                Ok(Ok(Renewal::Alive { now, requested, pauses, others_until, is_first })) => {
                    shared.hear(pauses);
                    shared.first.send_if_modified(|was| std::mem::replace(was, is_first) != is_first);
                    others.send_replace(others_until.map(|until| Instant::now() + until.since(now)));
                    self.trusted_until = sent + options.lease.mul_f64(TRUSTED_PART);
                    if !requested.is_empty() && heard.send(requested).is_err() {
                        return;
                    }
                }
                Ok(Ok(Renewal::Dead)) => {
                    tracing::warn!(worker = %self.worker, "the lease had ended; dropping all runs");
                    return self.lost.cancel();
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "cannot renew the lease");
                    // Soon again, but not in a tight loop.
                    due = Instant::now() + options.renew_every / 10;
                }
                Err(_) => {}
            }
            if Instant::now() >= self.trusted_until {
                tracing::warn!(worker = %self.worker, "no good renewal in time; dropping all runs");
                return self.lost.cancel();
            }
        }
    }
}
