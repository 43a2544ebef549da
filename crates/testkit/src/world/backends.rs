//! A data platform in memory. Objects bear their run's mark, a drop seals against a late create of the same key, and
//! removes only its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use domain::ports::{BackendSpec, Backends, CallError, LoginAnswer, login_frozen};
use saga::{CancellationToken, Fault, RunId};

#[derive(Default)]
pub struct FakeBackends {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By name; the value is the mark.
    objects: BTreeMap<String, Mark>,
    /// Keys and names that nothing is made under any more.
    seals: BTreeSet<String>,
    /// By name, the order that a login bears: revision, and whether it opens.
    logins: BTreeMap<String, (i64, bool)>,
    /// Every call since copies of them last arrived.
    calls: Vec<Call>,
}

#[derive(Clone)]
enum Call {
    Put { name: String, run: RunId, key: String },
    Take { name: String, run: RunId, key: String },
    Drop(BackendSpec),
    SetLogin { spec: BackendSpec, open: bool, revision: i64 },
}

#[derive(Clone, PartialEq, Eq)]
struct Mark {
    run: RunId,
    key: String,
}

impl FakeBackends {
    /// Every object with its mark, and its login where it has been ordered about.
    #[must_use]
    pub fn objects(&self) -> BTreeSet<String> {
        let state = self.lock();
        let objects = state.objects.iter().map(|(name, mark)| format!("object {name} of {}", mark.key));
        let logins = state.logins.iter().map(|(name, (revision, open))| format!("login {name} open={open} revision={revision}"));
        objects.chain(logins).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of each call since the last time arrives now, oldest first, and then once more the other way round. What they
    /// come to, nobody hears.
    pub async fn late_copies(&self) {
        let calls = std::mem::take(&mut self.lock().calls);
        let stop = CancellationToken::new();
        for call in calls.iter().chain(calls.iter().rev()) {
            match call {
                Call::Put { name, run, key } => drop(self.put(name, *run, key).await),
                Call::Take { name, run, key } => self.take(name, *run, key).await,
                Call::Drop(spec) => drop(Backends::drop(self, spec, &stop).await),
                Call::SetLogin { spec, open, revision } => drop(self.set_login(spec, *open, *revision, &stop).await),
            }
        }
        self.lock().calls.clear();
    }

    /// Makes `name` for `key`, or finds that it is made.
    ///
    /// # Errors
    /// The key is sealed, or the name is another's.
    pub async fn put(&self, name: &str, run: RunId, key: &str) -> Result<(), CallError> {
        // Two calls at once meet in either order.
        tokio::task::yield_now().await;
        let mut state = self.lock();
        state.calls.push(Call::Put { name: name.to_owned(), run, key: key.to_owned() });
        let mark = Mark { run, key: key.to_owned() };
        if state.seals.contains(key) || state.seals.contains(name) {
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
        state.calls.push(Call::Take { name: name.to_owned(), run, key: key.to_owned() });
        state.seals.insert(key.to_owned());
        if state.objects.get(name).is_some_and(|mark| mark.run == run) {
            state.objects.remove(name);
            state.logins.remove(name);
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
        let name = name(spec);
        self.take(&name, spec.run, &spec.key).await;
        // The name is of an id that is never given again: whichever key a late create bears.
        let mut state = self.lock();
        state.calls.push(Call::Drop(spec.clone()));
        state.seals.insert(name);
        Ok(())
    }

    async fn login(&self, spec: &BackendSpec, _stop: &CancellationToken) -> Result<(), CallError> {
        let (state, name) = (self.lock(), name(spec));
        match (state.objects.contains_key(&name), state.logins.get(&name)) {
            (false, _) => Err(CallError::Failed(Fault::new("no_such_workspace", "There is nothing to log in to").retryable())),
            (true, Some((_, false))) => Err(CallError::Failed(login_frozen())),
            (true, _) => Ok(()),
        }
    }

    async fn set_login(&self, spec: &BackendSpec, open: bool, revision: i64, _stop: &CancellationToken) -> Result<LoginAnswer, CallError> {
        // Two orders at once meet in either order.
        tokio::task::yield_now().await;
        let (mut state, name) = (self.lock(), name(spec));
        state.calls.push(Call::SetLogin { spec: spec.clone(), open, revision });
        if state.objects.get(&name).is_none_or(|mark| mark.run != spec.run) {
            return Ok(LoginAnswer::Absent);
        }
        let stands = state.logins.get(&name).copied().unwrap_or((0, true));
        if (revision, open) < stands {
            return Ok(LoginAnswer::NewerStands);
        }
        state.logins.insert(name, (revision, open));
        Ok(LoginAnswer::Set)
    }
}
