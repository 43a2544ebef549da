//! What each signing key is good for at a time: told from the keys alone, so that every process comes to the same.

use std::time::Duration;

use saga::Time;

use crate::ports::StoredSigningKey;

/// How long every process, and whoever caches the public keys, has to learn of a key before it signs anything.
pub const PUBLISHED_FOR: Duration = Duration::from_mins(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStanding {
    /// It is known, and will sign.
    Next {
        from: Time,
    },
    Signs,
    /// A newer one signs; its tokens are accepted.
    Accepted {
        until: Time,
    },
    /// Its tokens are accepted no more.
    Past {
        since: Time,
    },
    Revoked {
        at: Time,
    },
}

/// What each of `keys`, in the order of their numbers, is good for; tokens of a key that signs no more are accepted for `accept_for`.
#[must_use]
pub fn standings(keys: &[StoredSigningKey], now: Time, accept_for: Duration) -> Vec<KeyStanding> {
    let standing = |(at, key): (usize, &StoredSigningKey)| {
        if let Some(at) = key.revoked_at {
            return KeyStanding::Revoked { at };
        }
        let heir = keys[at + 1..].iter().find(|later| later.revoked_at.is_none() && later.signs_from <= now);
        match heir {
            Some(heir) if heir.signs_from + accept_for > now => KeyStanding::Accepted { until: heir.signs_from + accept_for },
            Some(heir) => KeyStanding::Past { since: heir.signs_from + accept_for },
            None if key.signs_from > now => KeyStanding::Next { from: key.signs_from },
            None => KeyStanding::Signs,
        }
    };
    keys.iter().enumerate().map(standing).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn at(hours: u32) -> Time {
        Time::from_micros(0) + HOUR * hours
    }

    fn key(number: i64, signs_from: Time, revoked_at: Option<Time>) -> StoredSigningKey {
        let id = Uuid::from_u128(u128::try_from(number).unwrap());
        StoredSigningKey { id, number, public_key: Vec::new(), sealed_key: Vec::new(), created_at: at(0), signs_from, revoked_at }
    }

    #[test]
    fn a_key_is_next_then_signs_then_is_accepted_and_then_past() {
        let keys = [key(1, at(1), None), key(2, at(10), None)];
        let standing = |now| standings(&keys, at(now), HOUR * 5);
        assert_eq!(standing(0), [KeyStanding::Next { from: at(1) }, KeyStanding::Next { from: at(10) }]);
        assert_eq!(standing(9), [KeyStanding::Signs, KeyStanding::Next { from: at(10) }]);
        assert_eq!(standing(10), [KeyStanding::Accepted { until: at(15) }, KeyStanding::Signs]);
        assert_eq!(standing(15), [KeyStanding::Past { since: at(15) }, KeyStanding::Signs]);
    }

    #[test]
    fn where_the_newest_is_revoked_the_one_before_signs_again() {
        let keys = [key(1, at(1), Some(at(2))), key(2, at(2), None), key(3, at(3), Some(at(4)))];
        let expected = [KeyStanding::Revoked { at: at(2) }, KeyStanding::Signs, KeyStanding::Revoked { at: at(4) }];
        assert_eq!(standings(&keys, at(5), HOUR), expected);
    }
}
