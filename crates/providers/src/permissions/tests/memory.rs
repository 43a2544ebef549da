//! Tuples in memory.

use std::collections::{BTreeSet, HashSet};
use std::sync::Mutex;

use async_trait::async_trait;
use domain::permissions::Update::{self, Create, Delete, Touch};
use domain::permissions::{Filter, Object, PermissionsError, Precondition, Relationship, Revision, Tuples, Wanted};
use uuid::Uuid;

/// One consistent state; before its `moves_at`-th query the updates in `moves` are applied, as by somebody else; before each one where it
/// is `restless`.
#[derive(Default)]
pub struct Memory {
    pub restless: bool,
    pub mark: Mutex<Option<Uuid>>,
    pub state: Mutex<(i64, BTreeSet<Relationship>)>,
    pub queries: Mutex<usize>,
    pub moves_at: usize,
    pub moves: Vec<Update>,
}

impl Memory {
    fn query(&self) -> Vec<Relationship> {
        let mut queries = self.queries.lock().unwrap();
        *queries += 1;
        if self.restless || *queries == self.moves_at {
            self.apply(&self.moves);
        }
        self.state.lock().unwrap().1.iter().cloned().collect()
    }

    fn named(&self) -> Revision {
        Revision { number: self.state.lock().unwrap().0, mark: *self.mark.lock().unwrap() }
    }

    pub fn apply(&self, updates: &[Update]) -> i64 {
        let mut state = self.state.lock().unwrap();
        for update in updates {
            match update {
                Create(r) | Touch(r) => drop(state.1.insert(r.clone())),
                Delete(r) => drop(state.1.remove(r)),
            }
        }
        state.0 += 1;
        state.0
    }
}

#[async_trait]
impl Tuples for Memory {
    async fn revision(&self) -> Result<Revision, PermissionsError> {
        Ok(self.named())
    }

    async fn subjects(&self, wanted: &[Wanted]) -> Result<(Revision, Vec<Vec<Object>>), PermissionsError> {
        let tuples = self.query();
        let is_of = |r: &&Relationship, wanted: &Wanted| {
            r.resource == wanted.resource && r.relation == wanted.relation && wanted.subject.as_ref().is_none_or(|s| *s == r.subject)
        };
        let of = |wanted: &Wanted| tuples.iter().filter(|r| is_of(r, wanted)).map(|r| r.subject.clone()).collect();
        Ok((self.named(), wanted.iter().map(of).collect()))
    }

    async fn by_subject(&self, subjects: &[Object]) -> Result<(Revision, Vec<Relationship>), PermissionsError> {
        let wanted: HashSet<_> = subjects.iter().collect();
        let found = self.query().into_iter().filter(|r| wanted.contains(&r.subject)).collect();
        Ok((self.named(), found))
    }

    async fn matching(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        Ok(self.query().into_iter().filter(|r| filter.matches(r)).collect())
    }

    async fn page(&self, kind: &str, after: Option<&Relationship>, limit: u32) -> Result<Vec<Relationship>, PermissionsError> {
        let of_kind = self.query().into_iter().filter(|r| r.resource.kind == kind && after.is_none_or(|after| r > after));
        Ok(of_kind.take(limit as usize).collect())
    }

    async fn write(&self, updates: &[Update], preconditions: &[Precondition]) -> Result<i64, PermissionsError> {
        let tuples = self.state.lock().unwrap().1.clone();
        for (index, precondition) in preconditions.iter().enumerate() {
            let holds = match precondition {
                Precondition::MustMatch(f) => tuples.iter().any(|r| f.matches(r)),
                Precondition::MustNotMatch(f) => !tuples.iter().any(|r| f.matches(r)),
            };
            if !holds {
                return Err(PermissionsError::PreconditionFailed { index });
            }
        }
        if updates.iter().any(|u| matches!(u, Create(r) if tuples.contains(r))) {
            return Err(PermissionsError::AlreadyExists);
        }
        Ok(self.apply(updates))
    }
}
