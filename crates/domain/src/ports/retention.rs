//! Forgetting what was kept long enough.

use std::time::Duration;

use async_trait::async_trait;
use saga::{RunId, StoreError, Time};

/// A stretch of runs that was looked at, in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub forgotten: u64,
    /// Where the next stretch begins; `None`: there is none that is old enough to be looked at.
    pub next: Option<RunId>,
    pub now: Time,
}

#[async_trait]
pub trait Retention: Send + Sync + 'static {
    /// Looks at the `limit` runs that follow `after`, and deletes those that ended `kept` ago or earlier, with their journals and
    /// requests, in one transaction. A run stays that something refers to which is there itself: an account's or a workspace's
    /// own runs, the retries that led to them, the last run of `apply-freezes`. A purged workspace needs no runs.
    async fn forget_runs(&self, after: Option<RunId>, limit: u32, kept: Duration) -> Result<Stretch, StoreError>;

    /// Deletes at most `limit` idempotency records that count no more; answers how many.
    async fn forget_keys(&self, limit: u32) -> Result<u64, StoreError>;
}
