//! Retries of runs that have ended.

use saga::RunId;

use super::{Idempotency, NewRun};
use crate::audit::Draft;
use crate::model::{AccountStatus, Freeze};

/// A retry of a `failed` or `cancelled` run: a new run for the same workspace or account.
#[derive(Debug, Clone)]
pub struct RetryRun {
    pub run: NewRun,
    pub audit: Draft,
    pub idempotency: Option<Idempotency>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RetryAnswer {
    Created,
    /// The run has been forgotten in the meantime.
    Forgotten,
    /// Somebody retried it before.
    RetriedAlready {
        by: RunId,
    },
    RunInProgress {
        run: RunId,
    },
    /// Not `failed` any more.
    NotFailed {
        status: &'static str,
    },
    SlugTaken {
        slug: String,
    },
    QuotaExceeded {
        max: i64,
    },
    AccountNotActive {
        status: Option<AccountStatus>,
    },
    /// The workspace's gate is shut.
    Frozen(Vec<Freeze>),
}
