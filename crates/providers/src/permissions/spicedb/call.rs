//! One call: deadlines, what is tried again, and a budget that keeps an outage from being answered with more load.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tonic::{Request, Status};

use super::connection::{Clients, Connection};
use super::fault::{self, Fate};
use super::key::OpenKey;

/// How long one try may take, and all of them together.
pub(super) struct Limits {
    pub each: Duration,
    pub all: Duration,
}

impl Limits {
    /// For a stream: each of its reads has the limit of a try, and all of them that of the call.
    pub fn drained(&self) -> Self {
        Self { each: self.all, all: self.all }
    }
}

/// What a try that may have had its effect is followed by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// Another one: it only reads.
    Freely,
    /// Another one, whose refusal proves nothing.
    Harmlessly,
}

/// How a call ended that was not answered well.
pub(super) struct Failed {
    pub status: Status,
    /// Whether a try before this one may have had its effect.
    pub unsure: bool,
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self { status, unsure: false }
    }
}

/// Tries that may be repeated: each repetition takes one, each success gives a tenth back.
struct Budget(Mutex<f64>);

const BUDGET: f64 = 20.0;
const GIVEN_BACK: f64 = 0.1;

impl Budget {
    fn take(&self) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = *left >= 1.0;
        if enough {
            *left -= 1.0;
        }
        enough
    }

    fn give(&self) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *left = (*left + GIVEN_BACK).min(BUDGET);
    }
}

const FIRST_BACK_OFF: Duration = Duration::from_millis(20);
const LAST_BACK_OFF: Duration = Duration::from_millis(500);

pub(super) struct Caller {
    connection: Connection,
    key: OpenKey,
    budget: Budget,
    jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
}

/// The answer, or that there was none in time.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    match timeout(limit, work).await {
        Ok(answer) => answer,
        Err(_) => Err(Status::deadline_exceeded(format!("no answer within {limit:?}"))),
    }
}

impl Caller {
    pub fn new(connection: Connection, key: OpenKey, jitter: Arc<dyn Fn() -> f64 + Send + Sync>) -> Self {
        Self { connection, key, budget: Budget(Mutex::new(BUDGET)), jitter }
    }

    pub async fn call<M: Clone, T, F>(
        &self,
        limits: &Limits,
        retry: Retry,
        message: M,
        send: impl Fn(Clients, Request<M>) -> F,
    ) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let end = Instant::now() + limits.all;
        let mut back_off = FIRST_BACK_OFF;
        let mut unsure = false;
        let mut refused_key = false;
        loop {
            let limit = limits.each.min(end.saturating_duration_since(Instant::now()));
            let mut request = Request::new(message.clone());
            // The server stops as well; ours is the one that counts.
            request.set_timeout(limit);
            request.metadata_mut().insert("authorization", self.key.bearer().await);
            let (clients, generation) = self.connection.clients();
            let status = match timeout(limit, send(clients, request)).await {
                Ok(Ok(answer)) => {
                    self.budget.give();
                    return Ok(answer);
                }
                Ok(Err(status)) => status,
                Err(_) => {
                    // A connection on which nothing comes any more may be one that leads nowhere.
                    self.connection.renew(generation);
                    Status::deadline_exceeded(format!("no answer within {limit:?}"))
                }
            };
            let fate = fault::fate(&status);
            let again = match fate {
                Fate::KeyRefused => !std::mem::replace(&mut refused_key, true) && self.key.reread().await,
                Fate::Passed => true,
                Fate::NotDone => self.budget.take(),
                Fate::Unsure { again } => again && self.budget.take(),
                Fate::Final => false,
            };
            let pause = back_off.mul_f64(0.5 + (self.jitter)() / 2.0);
            if !again || Instant::now() + pause >= end {
                return Err(Failed { status, unsure: unsure && retry == Retry::Harmlessly });
            }
            unsure |= matches!(fate, Fate::Unsure { .. });
            tracing::debug!(code = ?status.code(), message = status.message(), ?fate, "SpiceDB is asked again");
            tokio::time::sleep(pause).await;
            back_off = (back_off * 2).min(LAST_BACK_OFF);
        }
    }
}
