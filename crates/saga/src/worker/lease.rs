//! A registration and its lease. What may have ended counts as ended: the last good renewal is dated when it was sent.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};
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

impl Lease {
    pub fn new(worker: WorkerId, sent: Instant, options: &Options) -> Self {
        Self { worker, lost: CancellationToken::new(), trusted_until: sent + options.lease.mul_f64(TRUSTED_PART) }
    }

    /// Renews until the lease is lost. Answers: a way to renew at once, the runs with requests as they are heard of, and
    /// the task, which ends with its handle: a worker that is dropped must not look alive.
    pub fn keep<C: Clone + Send + Sync + 'static>(
        self,
        shared: Arc<Shared<C>>,
    ) -> (Arc<Notify>, mpsc::UnboundedReceiver<Vec<RunId>>, AbortOnDropHandle<()>) {
        let now = Arc::new(Notify::new());
        let (heard, requested) = mpsc::unbounded_channel();
        let task = AbortOnDropHandle::new(tokio::spawn(self.renew(shared, now.clone(), heard)));
        (now, requested, task)
    }

    async fn renew<C: Clone + Send + Sync + 'static>(
        mut self,
        shared: Arc<Shared<C>>,
        now: Arc<Notify>,
        heard: mpsc::UnboundedSender<Vec<RunId>>,
    ) {
        let options = &shared.options;
        let mut due = Instant::now() + options.renew_every;
        loop {
            tokio::select! {
                () = sleep_until(due) => {}
                () = now.notified() => {}
                () = self.lost.cancelled() => return,
            }
            let sent = Instant::now();
            due = sent + options.renew_every;
            match timeout_at(self.trusted_until, shared.runs.renew(self.worker, options.lease)).await {
                Ok(Ok(Renewal::Alive { requested, pauses, .. })) => {
                    shared.hear(pauses);
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
