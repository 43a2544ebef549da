//! Subjects that were read, for as long as their revision is the present one: whether it is, the store tells in one small row, which all
//! who ask at once share. A write anywhere makes all of it worthless, and is noticed by the next check.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use domain::permissions::{Object, Revision, Wanted};
use hashbrown::{Equivalent, HashMap};

/// Questions and subjects that are kept at most, some tens of megabytes; when there are more, all are forgotten.
const MOST: usize = 65_536;

/// What was asked, and the subjects that there are.
pub(super) type Subjects = HashMap<Arc<Wanted>, Arc<[Object]>>;

/// A [`Wanted`] that is put together only to be looked for. It has the same hash.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Key<'a> {
    pub resource: &'a Object,
    pub relation: &'static str,
    pub subject: Option<&'a Object>,
}

impl Key<'_> {
    pub fn to_wanted(self) -> Wanted {
        Wanted { resource: self.resource.clone(), relation: self.relation, subject: self.subject.cloned() }
    }
}

impl Equivalent<Arc<Wanted>> for Key<'_> {
    fn equivalent(&self, key: &Arc<Wanted>) -> bool {
        self.relation == key.relation && *self.resource == key.resource && self.subject == key.subject.as_ref()
    }
}

#[derive(Default)]
pub(super) struct Remembered(RwLock<State>);

#[derive(Default)]
struct State {
    revision: Option<Revision>,
    subjects: Subjects,
    size: usize,
}

/// All that is remembered of one revision, for a moment.
pub(super) struct Recalled<'a>(RwLockReadGuard<'a, State>);

impl Recalled<'_> {
    pub fn get(&self, key: &Key<'_>) -> Option<(&Arc<Wanted>, &Arc<[Object]>)> {
        self.0.subjects.get_key_value(key)
    }
}

impl Remembered {
    /// The revision of all that is remembered; `None`: nothing is.
    pub fn revision(&self) -> Option<Revision> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).revision
    }

    /// What is remembered, if it is of this revision.
    pub fn at(&self, revision: Revision) -> Option<Recalled<'_>> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (state.revision == Some(revision)).then(|| Recalled(state))
    }

    /// Takes in what was read at `revision`. What was read at another one goes, be it an older or a newer one: nothing of it is believed
    /// before the store has named its revision again.
    pub fn learn(&self, revision: Revision, read: &[(Arc<Wanted>, Arc<[Object]>)]) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if state.revision != Some(revision) || state.size >= MOST {
            *state = State { revision: Some(revision), ..State::default() };
        }
        for (wanted, subjects) in read {
            state.size += 1 + subjects.len();
            state.subjects.insert(wanted.clone(), subjects.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use super::*;

    #[test]
    fn a_key_finds_what_it_stands_for_and_nothing_else() {
        let (a, b) = (Object::new("account", "a"), Object::new("account", "b"));
        let keys = [
            Key { resource: &a, relation: "owner", subject: Some(&b) },
            Key { resource: &b, relation: "owner", subject: Some(&b) },
            Key { resource: &a, relation: "admin", subject: Some(&b) },
            Key { resource: &a, relation: "owner", subject: Some(&a) },
            Key { resource: &a, relation: "owner", subject: None },
        ];
        let hasher = Subjects::default().hasher().clone();
        for (at, key) in keys.iter().enumerate() {
            assert_eq!(hasher.hash_one(key), hasher.hash_one(key.to_wanted()));
            for (other, wanted) in keys.iter().map(|key| Arc::new(key.to_wanted())).enumerate() {
                assert_eq!(key.equivalent(&wanted), at == other, "{key:?} and {wanted:?}");
            }
        }
    }
}
