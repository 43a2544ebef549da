//! A data platform in memory. Objects bear their run's mark, a drop seals against a late create of the same key, and
//! removes only its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use domain::ports::{BackendSpec, Backends, CallError};
use saga::{CancellationToken, Fault, RunId};

#[derive(Default)]
pub struct FakeBackends {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By name; the value is the mark.
    objects: BTreeMap<String, Mark>,
    seals: BTreeSet<String>,
}

#[derive(Clone, PartialEq, Eq)]
struct Mark {
    run: RunId,
    key: String,
}

impl FakeBackends {
    /// Every object with its mark.
    #[must_use]
    pub fn objects(&self) -> BTreeSet<String> {
        self.lock().objects.iter().map(|(name, mark)| format!("{name} of {}", mark.key)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `name` for `key`, or finds that it is made.
    ///
    /// # Errors
    /// The key is sealed, or the name is another's.
    pub async fn put(&self, name: &str, run: RunId, key: &str) -> Result<(), CallError> {
        // Two calls at once meet in either order.
        tokio::task::yield_now().await;
        let mut state = self.lock();
        let mark = Mark { run, key: key.to_owned() };
        if state.seals.contains(key) {
            return Err(CallError::Failed(Fault::new("sealed", "The key is sealed: what it made was dropped")));
        }
        match state.objects.get(name) {
            Some(there) if *there != mark => Err(CallError::Failed(Fault::new("taken", "The name is taken by another key"))),
            _ => {
                state.objects.insert(name.to_owned(), mark);
                Ok(())
            }
        }
    }

    /// Seals `key`, and takes `name` away if it bears the mark of `run`.
    pub async fn take(&self, name: &str, run: RunId, key: &str) {
        tokio::task::yield_now().await;
        let mut state = self.lock();
        state.seals.insert(key.to_owned());
        if state.objects.get(name).is_some_and(|mark| mark.run == run) {
            state.objects.remove(name);
        }
    }
}

fn name(spec: &BackendSpec) -> String {
    format!("backend-workspace {} in {} for {}", spec.id, spec.environment.as_str(), spec.workspace_id)
}

#[async_trait]
impl Backends for FakeBackends {
    fn name(&self, _region: &str) -> Option<String> {
        Some("local".to_owned())
    }

    async fn create(&self, spec: &BackendSpec, _stop: &CancellationToken) -> Result<String, CallError> {
        self.put(&name(spec), spec.run, &spec.key).await?;
        Ok(format!("ws_{}", spec.id))
    }

    async fn drop(&self, spec: &BackendSpec, _stop: &CancellationToken) -> Result<(), CallError> {
        self.take(&name(spec), spec.run, &spec.key).await;
        Ok(())
    }

    async fn login(&self, spec: &BackendSpec, _stop: &CancellationToken) -> Result<(), CallError> {
        if self.lock().objects.contains_key(&name(spec)) {
            return Ok(());
        }
        Err(CallError::Failed(Fault::new("no_such_workspace", "There is nothing to log in to").retryable()))
    }
}
