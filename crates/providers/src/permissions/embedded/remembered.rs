//! Subjects that were read, for as long as their revision is the present one: whether it is, the store tells in one small row, which all
//! who ask at once share. A write anywhere makes all of it worthless, and is noticed by the next check.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use domain::permissions::{Object, Revision, Wanted};

/// Questions and subjects that are kept at most, some tens of megabytes; when there are more, all are forgotten.
const MOST: usize = 65_536;

#[derive(Default)]
pub(super) struct Remembered(RwLock<State>);

#[derive(Default)]
struct State {
    revision: Option<Revision>,
    subjects: HashMap<Wanted, Arc<[Object]>>,
    size: usize,
}

impl Remembered {
    /// The revision of all that is remembered; `None`: nothing is.
    pub fn revision(&self) -> Option<Revision> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).revision
    }

    /// Puts into `found` what is remembered, if it is of this revision; returns what is not.
    pub fn recall(&self, revision: Revision, wanted: Vec<Wanted>, found: &mut HashMap<Wanted, Arc<[Object]>>) -> Vec<Wanted> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if state.revision != Some(revision) {
            return wanted;
        }
        let mut missing = Vec::new();
        for wanted in wanted {
            match state.subjects.get(&wanted) {
                Some(subjects) => drop(found.insert(wanted, subjects.clone())),
                None => missing.push(wanted),
            }
        }
        missing
    }

    /// Takes in what was read at `revision`. What was read at another one goes, be it an older or a newer one: nothing of it is believed
    /// before the store has named its revision again.
    pub fn learn<'a>(&self, revision: Revision, read: impl Iterator<Item = (&'a Wanted, &'a Arc<[Object]>)>) {
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
