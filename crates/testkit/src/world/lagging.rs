//! A permission system whose quickest answers are five seconds old, as those of a SpiceDB may be: what is asked with
//! `minimize_latency` is answered from what was known then, by a clock that a test moves.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::permissions::{Cause, Check, Consistency, Filter, Object, Permissions, PermissionsError, Precondition, Relationship, Update};

/// How old the quickest answers are.
pub const LAG: Duration = Duration::from_secs(5);

pub struct Lagging {
    now: Arc<dyn Permissions>,
    /// What `now` was, [`LAG`] ago.
    then: Arc<dyn Permissions>,
    /// Writes that `then` does not have yet, with when they were made and the token that they have.
    on_the_way: Mutex<VecDeque<(Duration, String, Vec<Update>)>>,
    clock: Mutex<Duration>,
    stale: AtomicU64,
}

impl Lagging {
    /// `then` is empty, and hears of nothing but what is written here.
    #[must_use]
    pub fn new(now: Arc<dyn Permissions>, then: Arc<dyn Permissions>) -> Self {
        Self { now, then, on_the_way: Mutex::default(), clock: Mutex::default(), stale: AtomicU64::new(0) }
    }

    /// # Panics
    /// If a write that was made cannot be made again.
    pub async fn advance(&self, by: Duration) {
        let until = {
            let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
            *clock += by;
            clock.saturating_sub(LAG)
        };
        loop {
            let next = {
                let mut waiting = self.waiting();
                if waiting.front().is_some_and(|(at, ..)| *at <= until) { waiting.pop_front() } else { None }
            };
            let Some((_, _, updates)) = next else { return };
            self.then.write(&updates, &[], &Cause::Hand("lag")).await.expect("what was written can be written");
        }
    }

    /// How many answers were given that the present would have given otherwise.
    #[must_use]
    pub fn stale_answers(&self) -> u64 {
        self.stale.load(Ordering::SeqCst)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<(Duration, String, Vec<Update>)>> {
        self.on_the_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the old state may answer.
    fn may_be_old(&self, consistency: &Consistency) -> bool {
        match consistency {
            Consistency::FullyConsistent => false,
            // A token of before the lag is served by the old state, as it would be by a replica that has it.
            Consistency::AtLeastAsFresh(token) => !self.waiting().iter().any(|(_, on_the_way, _)| on_the_way == token),
            Consistency::MinimizeLatency => true,
        }
    }
}

#[async_trait]
impl Permissions for Lagging {
    async fn check(&self, checks: &[Check], consistency: &Consistency) -> Result<Vec<bool>, PermissionsError> {
        if !self.may_be_old(consistency) {
            return self.now.check(checks, consistency).await;
        }
        let old = self.then.check(checks, &Consistency::FullyConsistent).await?;
        let new = self.now.check(checks, &Consistency::FullyConsistent).await?;
        self.stale.fetch_add(old.iter().zip(&new).filter(|(old, new)| old != new).count() as u64, Ordering::SeqCst);
        Ok(old)
    }

    async fn write(&self, updates: &[Update], preconditions: &[Precondition], cause: &Cause) -> Result<String, PermissionsError> {
        let token = self.now.write(updates, preconditions, cause).await?;
        let at = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting().push_back((at, token.clone(), updates.to_vec()));
        Ok(token)
    }

    async fn read(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        self.now.read(filter).await
    }

    async fn lookup(
        &self,
        kind: &str,
        permission: &str,
        subject: &Object,
        consistency: &Consistency,
    ) -> Result<Vec<String>, PermissionsError> {
        if self.may_be_old(consistency) {
            return self.then.lookup(kind, permission, subject, &Consistency::FullyConsistent).await;
        }
        self.now.lookup(kind, permission, subject, consistency).await
    }

    async fn ready(&self) -> Result<(), PermissionsError> {
        self.now.ready().await
    }
}
