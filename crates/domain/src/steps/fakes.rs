//! A small world for the tests of steps: a permission system and backends in memory that can lose a request or a reply.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use saga::{Attempt, CancellationToken, Fault, RunId, StoreError};
use serde_json::Value;
use uuid::Uuid;

use super::input::{CreateAccountInput, CreateWorkspaceInput, EnvironmentInput, PurgeWorkspaceInput};
use crate::model::{EnvironmentName, TenancyModel};
use crate::permissions::{Cause, Check, Consistency, Filter, Object, PermissionsError, Precondition, Relationship, Update};
use crate::ports::{BackendSpec, CallError, FreezeSet, LoginAnswer, login_frozen};
use crate::{Principal, PrincipalKind};

/// The answer of a future that has nothing to wait for: these fakes are always ready.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a fake was not ready"),
    }
}

pub fn attempt(step: &str, input: &Value) -> Attempt {
    attempt_of(1, step, input)
}

/// The same step of another run: what a retry makes.
pub fn attempt_of(run: u128, step: &str, input: &Value) -> Attempt {
    Attempt {
        run: RunId(Uuid::from_u128(run)),
        step: step.to_owned(),
        number: 1,
        input: Arc::new(input.clone()),
        with: Value::Null,
        outputs: Arc::new(BTreeMap::new()),
        cancelled: CancellationToken::new(),
    }
}

fn user() -> Principal {
    Principal { kind: PrincipalKind::User, id: Uuid::from_u128(0x55) }
}

pub fn workspace_input() -> CreateWorkspaceInput {
    let environment = |name, n: u128| EnvironmentInput {
        id: Uuid::from_u128(0xe0 + n),
        name,
        is_default: name == EnvironmentName::Prod,
        backend_workspace_id: Uuid::from_u128(0xb0 + n),
    };
    CreateWorkspaceInput {
        workspace_id: Uuid::from_u128(0x11),
        account_id: Uuid::from_u128(0xaa),
        name: "Sales".to_owned(),
        region: "eu".to_owned(),
        tenancy_model: TenancyModel::Shared,
        creator: user(),
        environments: vec![
            environment(EnvironmentName::Dev, 0),
            environment(EnvironmentName::Staging, 1),
            environment(EnvironmentName::Prod, 2),
        ],
    }
}

/// Of the workspace of [`workspace_input`], made by run 1.
pub fn purge_input() -> PurgeWorkspaceInput {
    PurgeWorkspaceInput::of(RunId(Uuid::from_u128(1)), workspace_input())
}

pub fn account_input() -> CreateAccountInput {
    CreateAccountInput { account_id: Uuid::from_u128(0xaa), name: "Acme".to_owned(), creator: user(), default_workspace: None }
}

/// What the next call loses on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing happens.
    Request,
    /// It happens, and nobody hears of it.
    Reply,
}

/// Relationships with preconditions; a check holds if the tuple `resource#permission@subject` was [allowed](Self::allow).
#[derive(Default)]
pub struct Permissions {
    tuples: Mutex<BTreeSet<Relationship>>,
    revision: Mutex<u64>,
    loss: Mutex<Option<Loss>>,
}

impl Permissions {
    pub fn put(&self, relationship: Relationship) {
        self.tuples.lock().unwrap().insert(relationship);
    }

    pub fn remove(&self, relationship: &Relationship) {
        assert!(self.tuples.lock().unwrap().remove(relationship), "there was none");
    }

    pub fn allow(&self, resource: Object, permission: &str, subject: Object) {
        self.put(Relationship::new(resource, permission, subject));
    }

    pub fn lose(&self, loss: Loss) {
        *self.loss.lock().unwrap() = Some(loss);
    }

    pub fn token(&self) -> String {
        self.revision.lock().unwrap().to_string()
    }

    pub fn relationships(&self) -> Vec<Relationship> {
        self.tuples.lock().unwrap().iter().cloned().collect()
    }

    pub fn without_seals(&self) -> Vec<Relationship> {
        self.relationships().into_iter().filter(|r| r.relation != "sealed").collect()
    }
}

#[async_trait]
impl crate::permissions::Permissions for Permissions {
    async fn check(&self, checks: &[Check], consistency: &Consistency) -> Result<Vec<bool>, PermissionsError> {
        assert_eq!(*consistency, Consistency::FullyConsistent, "a saga verifies at full consistency");
        if self.loss.lock().unwrap().take().is_some() {
            return Err(PermissionsError::Unavailable("lost".to_owned()));
        }
        let tuples = self.tuples.lock().unwrap();
        Ok(checks.iter().map(|c| tuples.contains(&Relationship::new(c.resource.clone(), &c.permission, c.subject.clone()))).collect())
    }

    async fn write(&self, updates: &[Update], preconditions: &[Precondition], _: &Cause) -> Result<String, PermissionsError> {
        let loss = self.loss.lock().unwrap().take();
        if loss == Some(Loss::Request) {
            return Err(PermissionsError::Unavailable("lost".to_owned()));
        }
        let mut tuples = self.tuples.lock().unwrap();
        for (index, precondition) in preconditions.iter().enumerate() {
            let holds = match precondition {
                Precondition::MustMatch(filter) => tuples.iter().any(|t| filter.matches(t)),
                Precondition::MustNotMatch(filter) => !tuples.iter().any(|t| filter.matches(t)),
            };
            if !holds {
                return Err(PermissionsError::PreconditionFailed { index });
            }
        }
        for update in updates {
            match update {
                Update::Touch(r) => drop(tuples.insert(r.clone())),
                Update::Delete(r) => drop(tuples.remove(r)),
                Update::Create(_) => panic!("a step's write must bear repetition"),
            }
        }
        let mut revision = self.revision.lock().unwrap();
        *revision += 1;
        if loss == Some(Loss::Reply) {
            return Err(PermissionsError::Unknown("lost".to_owned()));
        }
        Ok(revision.to_string())
    }

    async fn read(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        Ok(self.relationships().into_iter().filter(|r| filter.matches(r)).collect())
    }

    async fn lookup(&self, _: &str, _: &str, _: &Object, _: &Consistency) -> Result<Vec<String>, PermissionsError> {
        panic!("no step looks up")
    }

    async fn ready(&self) -> Result<(), PermissionsError> {
        Ok(())
    }
}

/// One backend in region `eu`, with seals.
#[derive(Default)]
pub struct Backends {
    /// By id the key that made it; `None` is a seal.
    objects: Mutex<BTreeMap<Uuid, Option<String>>>,
    /// Orders about logins: revision, and whether it opens.
    logins: Mutex<BTreeMap<Uuid, (i64, bool)>>,
    loss: Mutex<Option<Loss>>,
}

impl Backends {
    /// The order that the login bears; `None` for one that never got one.
    pub fn login_of(&self, id: Uuid) -> Option<(i64, bool)> {
        self.logins.lock().unwrap().get(&id).copied()
    }

    pub fn lose(&self, loss: Loss) {
        *self.loss.lock().unwrap() = Some(loss);
    }

    pub fn existing(&self) -> Vec<(Uuid, String)> {
        self.objects.lock().unwrap().iter().filter_map(|(id, key)| Some((*id, key.clone()?))).collect()
    }

    fn call<T>(&self, effect: impl FnOnce(&mut BTreeMap<Uuid, Option<String>>) -> Result<T, CallError>) -> Result<T, CallError> {
        let loss = self.loss.lock().unwrap().take();
        let fault = Fault::new("lost", "Lost on the way").retryable();
        if loss == Some(Loss::Request) {
            return Err(CallError::Failed(fault));
        }
        let answer = effect(&mut self.objects.lock().unwrap());
        if loss == Some(Loss::Reply) { Err(CallError::Unknown(fault)) } else { answer }
    }
}

#[async_trait]
impl crate::ports::Backends for Backends {
    fn name(&self, region: &str) -> Option<String> {
        (region == "eu").then(|| "local".to_owned())
    }

    async fn create(&self, spec: &BackendSpec, _: &CancellationToken) -> Result<String, CallError> {
        self.call(|objects| match objects.entry(spec.id).or_insert_with(|| Some(spec.key.clone())) {
            Some(key) if *key == spec.key => Ok(format!("eu/{}", spec.id)),
            Some(_) => Err(CallError::Failed(Fault::new("name_taken", "Another key made this"))),
            None => Err(CallError::Failed(Fault::new("sealed", "Sealed"))),
        })
    }

    async fn drop(&self, spec: &BackendSpec, _: &CancellationToken) -> Result<(), CallError> {
        self.call(|objects| {
            objects.insert(spec.id, None);
            Ok(())
        })
    }

    async fn login(&self, spec: &BackendSpec, _: &CancellationToken) -> Result<(), CallError> {
        self.call(|objects| match objects.get(&spec.id) {
            Some(Some(_)) if self.login_of(spec.id).is_some_and(|(_, open)| !open) => Err(CallError::Failed(login_frozen())),
            Some(Some(_)) => Ok(()),
            _ => Err(CallError::Failed(Fault::new("login_failed", "There is nothing to log in to"))),
        })
    }

    async fn set_login(&self, spec: &BackendSpec, open: bool, revision: i64, _: &CancellationToken) -> Result<LoginAnswer, CallError> {
        self.call(|objects| {
            if !matches!(objects.get(&spec.id), Some(Some(_))) {
                return Ok(LoginAnswer::Absent);
            }
            let mut logins = self.logins.lock().unwrap();
            let stands = logins.entry(spec.id).or_insert((0, true));
            if (revision, open) < *stands {
                return Ok(LoginAnswer::NewerStands);
            }
            *stands = (revision, open);
            Ok(LoginAnswer::Set)
        })
    }
}

/// The set of the one workspace that a test is about.
#[derive(Default)]
pub struct Freezes {
    set: Mutex<Option<FreezeSet>>,
    broken: Mutex<bool>,
}

impl Freezes {
    pub fn set(&self, set: Option<FreezeSet>) {
        *self.set.lock().unwrap() = set;
    }

    /// The next read fails.
    pub fn break_down(&self) {
        *self.broken.lock().unwrap() = true;
    }
}

#[async_trait]
impl crate::ports::FreezeSets for Freezes {
    async fn current(&self, _: Uuid) -> Result<Option<FreezeSet>, StoreError> {
        if std::mem::take(&mut *self.broken.lock().unwrap()) {
            return Err(StoreError::Unavailable("down".to_owned()));
        }
        Ok(self.set.lock().unwrap().clone())
    }
}

/// Remembers what was ordered last: workspace, frozen, revision.
#[derive(Default)]
pub struct Tokens(Mutex<Option<(Uuid, bool, i64)>>);

impl Tokens {
    pub fn last(&self) -> Option<(Uuid, bool, i64)> {
        *self.0.lock().unwrap()
    }
}

#[async_trait]
impl crate::ports::Tokens for Tokens {
    async fn set_frozen(&self, workspace: Uuid, frozen: bool, revision: i64) -> Result<(), CallError> {
        *self.0.lock().unwrap() = Some((workspace, frozen, revision));
        Ok(())
    }
}
