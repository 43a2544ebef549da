//! What was denied lately: pure, the time is passed in.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use saga::Time;

use super::{Counted, Denial, MANY, Told};
use crate::Principal;
use crate::audit::Target;

/// How long equal denials are counted before they are told.
pub const WINDOW: Duration = Duration::from_mins(1);
/// Kinds of denials of one caller that are told apart.
const KINDS_OF_ONE: usize = 100;
/// Of all callers; and callers whose further denials are told apart.
const KINDS: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Kind(Principal, String, Vec<Target>),
    /// A caller's denials that are too many to tell apart.
    Caller(Principal),
    /// Callers that are too many to tell apart.
    All,
}

/// Equal denials until `ends`.
#[derive(Debug)]
struct Open {
    ends: Time,
    latest: Option<Denial>,
    counted: Option<Counted>,
}

/// The open minutes of all kinds.
#[derive(Debug, Default)]
pub struct Book {
    open: HashMap<Key, Open>,
    /// In the order of their ends; one that was opened again stands here twice.
    ends: VecDeque<(Time, Key)>,
    kinds: HashMap<Principal, usize>,
    callers: usize,
}

impl Book {
    /// Takes a denial down. Returns what is to be told now: the first of its kind, and before it what was counted of the same
    /// kind in a minute that has ended.
    #[must_use]
    pub fn note(&mut self, denial: Denial, now: Time) -> Vec<Told> {
        let caller = denial.caller.principal;
        let kind = Key::Kind(caller, denial.action.clone(), denial.targets.clone());
        let mut told = Vec::new();
        if self.open.get(&kind).is_some_and(|open| open.ends <= now) {
            told.extend(self.close(&kind));
        }
        if self.open.contains_key(&kind) {
            self.count(&kind, Some(denial), now);
        } else if self.kinds.get(&caller).copied().unwrap_or_default() < KINDS_OF_ONE && self.open.len() < KINDS {
            self.open(kind, now);
            told.push(Told { denial: Some(denial), counted: Counted { count: 1, from: now, to: now, at_once: true } });
        } else {
            self.count_with_others(denial, now);
        }
        told
    }

    /// What was counted in minutes that have ended.
    #[must_use]
    pub fn due(&mut self, now: Time) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some((ends, key)) = self.ends.pop_front_if(|(ends, _)| *ends <= now) {
            if self.open.get(&key).is_some_and(|open| open.ends == ends) {
                told.extend(self.close(&key));
            }
        }
        told
    }

    /// What was counted, ended or not: the process stops.
    #[must_use]
    pub fn all(&mut self) -> Vec<Told> {
        let keys: Vec<Key> = std::mem::take(&mut self.ends).into_iter().map(|(_, key)| key).collect();
        keys.iter().filter_map(|key| self.close(key)).collect()
    }

    /// Counts again what could not be written.
    pub fn put_back(&mut self, told: Told, now: Time) {
        let key = match &told.denial {
            None => Key::All,
            Some(denial) if denial.action == MANY => Key::Caller(denial.caller.principal),
            Some(denial) => Key::Kind(denial.caller.principal, denial.action.clone(), denial.targets.clone()),
        };
        if !self.open.contains_key(&key) {
            self.open(key.clone(), now);
        }
        let Some(open) = self.open.get_mut(&key) else { return };
        let back = told.counted;
        open.latest = open.latest.take().or(told.denial);
        open.counted = Some(match open.counted {
            None => Counted { at_once: false, ..back },
            Some(more) => {
                Counted { count: more.count + back.count, from: back.from.min(more.from), to: back.to.max(more.to), at_once: false }
            }
        });
    }

    fn count_with_others(&mut self, mut denial: Denial, now: Time) {
        let key = Key::Caller(denial.caller.principal);
        if !self.open.contains_key(&key) {
            if self.callers >= KINDS {
                if !self.open.contains_key(&Key::All) {
                    self.open(Key::All, now);
                }
                return self.count(&Key::All, None, now);
            }
            self.open(key.clone(), now);
        }
        MANY.clone_into(&mut denial.action);
        denial.targets.clear();
        self.count(&key, Some(denial), now);
    }

    fn open(&mut self, key: Key, now: Time) {
        let ends = now + WINDOW;
        match &key {
            Key::Kind(caller, ..) => *self.kinds.entry(*caller).or_default() += 1,
            Key::Caller(_) => self.callers += 1,
            Key::All => {}
        }
        self.ends.push_back((ends, key.clone()));
        self.open.insert(key, Open { ends, latest: None, counted: None });
    }

    fn count(&mut self, key: &Key, denial: Option<Denial>, now: Time) {
        let Some(open) = self.open.get_mut(key) else { return };
        open.latest = denial;
        let counted = open.counted.get_or_insert(Counted { count: 0, from: now, to: now, at_once: false });
        counted.count += 1;
        counted.to = now;
    }

    fn close(&mut self, key: &Key) -> Option<Told> {
        let open = self.open.remove(key)?;
        match key {
            Key::Kind(caller, ..) => {
                if let Some(kinds) = self.kinds.get_mut(caller) {
                    *kinds -= 1;
                    if *kinds == 0 {
                        self.kinds.remove(caller);
                    }
                }
            }
            Key::Caller(_) => self.callers -= 1,
            Key::All => {}
        }
        open.counted.map(|counted| Told { denial: open.latest, counted })
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize, usize) {
        (self.open.len(), self.ends.len(), self.kinds.len())
    }
}
