//! How often something may happen, for each of many keys, in bounded memory: the generic cell rate algorithm, which keeps one time per key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use saga::Time;

/// Keys that are kept. Whoever has its whole quota needs no place.
const KEYS_MAX: usize = 65_536;

/// What a key has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub remaining: u64,
    /// Until all of the quota is there again.
    pub whole_in: Duration,
}

/// So many in a window, which refills steadily: all of it may be used at once.
pub struct Quota<K> {
    pub per_window: u32,
    pub window: Duration,
    /// When all that a key has used will have come back.
    used: Mutex<HashMap<K, Time>>,
}

impl<K: Hash + Eq> Quota<K> {
    /// `per_window` is not zero.
    pub fn new(per_window: u32, window: Duration) -> Self {
        Self { per_window, window, used: Mutex::default() }
    }

    fn used(&self) -> MutexGuard<'_, HashMap<K, Time>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long one takes to come back.
    fn interval(&self) -> Duration {
        self.window / self.per_window.max(1)
    }

    /// Whether one is left.
    ///
    /// # Errors
    /// How long until there is.
    pub fn look(&self, key: &K, now: Time) -> Result<(), Duration> {
        let whole_at = self.used().get(key).copied().unwrap_or(now);
        let over = whole_at + self.interval();
        if over <= now + self.window { Ok(()) } else { Err(over.since(now + self.window)) }
    }

    /// Takes one.
    ///
    /// # Errors
    /// None is left; how long until there is.
    pub fn take(&self, key: K, now: Time) -> Result<Left, Duration> {
        let mut used = self.used();
        let whole_at = used.get(&key).copied().filter(|at| *at > now).unwrap_or(now) + self.interval();
        if whole_at > now + self.window {
            return Err(whole_at.since(now + self.window));
        }
        if used.len() >= KEYS_MAX && !used.contains_key(&key) {
            make_room(&mut used, now);
        }
        used.insert(key, whole_at);
        let remaining = (now + self.window).since(whole_at).as_micros() / self.interval().as_micros().max(1);
        Ok(Left { remaining: u64::try_from(remaining).unwrap_or(u64::MAX), whole_in: whole_at.since(now) })
    }
}

/// Forgets who has a whole quota again; everybody, if that makes little room: to look through all of them for each new one would cost more
/// than what the limit keeps away.
fn make_room<K: Hash + Eq>(used: &mut HashMap<K, Time>, now: Time) {
    used.retain(|_, whole_at| *whole_at > now);
    if used.len() > KEYS_MAX / 4 * 3 {
        used.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_micros(1_800_000_000_000_000);

    fn after(seconds: u64) -> Time {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn a_quota_may_be_used_at_once_and_comes_back_steadily() {
        let quota = Quota::new(6, Duration::from_mins(1));
        let left: Vec<_> = (0..6).map(|_| quota.take("a", START).unwrap()).collect();
        assert_eq!(left.iter().map(|l| l.remaining).collect::<Vec<_>>(), [5, 4, 3, 2, 1, 0]);
        assert_eq!(left[5].whole_in, Duration::from_mins(1));
        assert_eq!((quota.take("a", START), quota.look(&"a", START)), (Err(Duration::from_secs(10)), Err(Duration::from_secs(10))));
        assert!(quota.take("b", START).is_ok(), "each has its own");
        assert_eq!(quota.take("a", after(9)), Err(Duration::from_secs(1)), "to be refused costs nothing");
        assert_eq!(quota.take("a", after(10)).unwrap().remaining, 0);
        assert_eq!(quota.take("a", after(10)), Err(Duration::from_secs(10)));
        assert_eq!(quota.take("a", after(1000)).unwrap().remaining, 5);
    }

    #[test]
    fn to_look_takes_nothing() {
        let quota = Quota::new(1, Duration::from_mins(1));
        assert!((0..10).all(|_| quota.look(&1, START).is_ok()));
        assert!(quota.take(1, START).is_ok() && quota.look(&1, START).is_err());
    }

    #[test]
    fn a_clock_that_is_put_back_locks_nobody_out_for_longer_than_it_was_put_back() {
        let quota = Quota::new(1, Duration::from_mins(1));
        assert!(quota.take(1, after(100)).is_ok());
        assert_eq!(quota.take(1, after(40)), Err(Duration::from_mins(2)));
        assert!(quota.take(1, after(160)).is_ok());
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let quota = Quota::new(1, Duration::from_mins(1));
        for key in 0..KEYS_MAX {
            assert!(quota.take(key, after(u64::from(key % 2 == 1) * 30)).is_ok());
        }
        assert!(quota.take(KEYS_MAX, after(61)).is_ok());
        assert_eq!(quota.used().len(), KEYS_MAX / 2 + 1, "those who have all of it back are forgotten first");
        assert!(quota.take(1, after(61)).is_err(), "and no others");
        for key in 0..3 * KEYS_MAX {
            let _taken = quota.take(key, after(61));
            assert!(quota.used().len() <= KEYS_MAX);
        }
    }
}
