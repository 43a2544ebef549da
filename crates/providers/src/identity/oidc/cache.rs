//! Keys that are kept: one question at a time, back-off while nobody answers, and no question too many for a stranger's key id.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::ports::KeysAway;
use saga::Time;
use serde_json::Value;

use super::{Clock, Times};

/// Key ids that are remembered as not published; more are asked for in vain until the next question.
const MISSED_MAX: usize = 64;
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_mins(1);

/// Where the keys come from.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// All keys that are published now, or why they cannot be had.
    async fn fetch(&self) -> Result<Vec<Value>, String>;
}

pub struct Cache<S> {
    issuer: String,
    source: S,
    times: Times,
    clock: Clock,
    known: Mutex<Known>,
    /// Held by who asks the source.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    set: Option<Set>,
    /// Since the last answer.
    failures: u32,
    cause: String,
    /// The source is not asked before.
    next: Option<Time>,
}

struct Set {
    keys: Vec<Arc<Value>>,
    fetched_at: Time,
    /// Ids that were asked for and are not in it.
    missed: HashSet<String>,
}

/// What can be said without asking.
enum Said {
    Keys(Vec<Arc<Value>>),
    /// These, but it is time to ask again.
    Old(Vec<Arc<Value>>),
    Nothing,
}

impl<S: Source> Cache<S> {
    pub fn new(issuer: &str, source: S, times: Times, clock: Clock) -> Self {
        Self { issuer: issuer.to_owned(), source, times, clock, known: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    pub async fn keys(&self, id: Option<&str>) -> Result<Vec<Arc<Value>>, KeysAway> {
        match self.said(id) {
            Said::Keys(keys) => return Ok(keys),
            Said::Old(keys) => {
                // One request asks; the others go on with what there is.
                let Ok(turn) = self.turn.try_lock() else { return Ok(keys) };
                if !self.may_ask() {
                    return Ok(keys);
                }
                let asked = self.ask().await;
                drop(turn);
                if asked.is_err() {
                    return Ok(keys);
                }
            }
            Said::Nothing => {
                let _turn = self.turn.lock().await;
                // Whoever had the turn before may have been told.
                if let Said::Keys(keys) | Said::Old(keys) = self.said(id) {
                    return Ok(keys);
                }
                if !self.may_ask() {
                    return Err(self.away());
                }
                self.ask().await.map_err(|()| self.away())?;
            }
        }
        match self.said(id) {
            Said::Keys(keys) | Said::Old(keys) => Ok(keys),
            Said::Nothing => {
                self.missed(id);
                Ok(Vec::new())
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn said(&self, id: Option<&str>) -> Said {
        let now = (self.clock)();
        let known = self.known();
        let Some(set) = known.set.as_ref().filter(|set| now < set.fetched_at + self.times.kept_for) else { return Said::Nothing };
        let named = |key: &&Arc<Value>| id.is_none_or(|id| key["kid"].as_str() == Some(id));
        let keys: Vec<_> = set.keys.iter().filter(named).cloned().collect();
        let is_fresh = now < set.fetched_at + self.times.fresh_for;
        match keys.is_empty() {
            false if is_fresh => Said::Keys(keys),
            false => Said::Old(keys),
            true if is_fresh && id.is_some_and(|id| set.missed.contains(id)) && !elapsed(&known, now) => Said::Keys(keys),
            true => Said::Nothing,
        }
    }

    fn may_ask(&self) -> bool {
        elapsed(&self.known(), (self.clock)())
    }

    async fn ask(&self) -> Result<(), ()> {
        let fetched = self.source.fetch().await;
        let now = (self.clock)();
        let mut known = self.known();
        match fetched {
            Ok(keys) => {
                let keys = keys.into_iter().map(Arc::new).collect();
                *known = Known {
                    set: Some(Set { keys, fetched_at: now, missed: HashSet::new() }),
                    next: Some(now + self.times.ask_every),
                    ..Known::default()
                };
                Ok(())
            }
            Err(cause) => {
                tracing::warn!(issuer = self.issuer, cause, "the keys of an issuer cannot be fetched");
                let wait = BACK_OFF_FIRST.saturating_mul(1 << known.failures.min(16)).min(BACK_OFF_MAX);
                known.failures = known.failures.saturating_add(1);
                known.next = Some(now + wait);
                known.cause = cause;
                Err(())
            }
        }
    }

    fn missed(&self, id: Option<&str>) {
        if let (Some(id), Some(set)) = (id, &mut self.known().set)
            && set.missed.len() < MISSED_MAX
        {
            set.missed.insert(id.to_owned());
        }
    }

    fn away(&self) -> KeysAway {
        let known = self.known();
        let cause = if known.failures == 0 { "they were asked for a moment ago" } else { &known.cause };
        KeysAway { issuer: self.issuer.clone(), cause: cause.to_owned() }
    }
}

fn elapsed(known: &Known, now: Time) -> bool {
    known.next.is_none_or(|next| next <= now)
}

#[cfg(test)]
mod tests;
