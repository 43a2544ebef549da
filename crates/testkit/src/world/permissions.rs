//! A permission system that remembers every write, so that a copy of each can arrive once more, late.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::permissions::{Cause, Check, Consistency, Filter, Object, Permissions, PermissionsError, Precondition, Relationship, Update};

/// One write, as it was asked for.
type Write = (Vec<Update>, Vec<Precondition>, Cause);

pub struct RememberedWrites {
    inner: Arc<dyn Permissions>,
    writes: Mutex<Vec<Write>>,
}

impl RememberedWrites {
    #[must_use]
    pub fn new(inner: Arc<dyn Permissions>) -> Self {
        Self { inner, writes: Mutex::default() }
    }

    /// A copy of each write since the last time arrives now, oldest first, and then once more the other way round. What they
    /// come to, nobody hears.
    pub async fn late_copies(&self) {
        let writes = std::mem::take(&mut *self.writes.lock().unwrap_or_else(PoisonError::into_inner));
        for (updates, preconditions, cause) in writes.iter().chain(writes.iter().rev()) {
            let _nobody_hears = self.inner.write(updates, preconditions, cause).await;
        }
    }
}

#[async_trait]
impl Permissions for RememberedWrites {
    async fn check(&self, checks: &[Check], consistency: &Consistency) -> Result<Vec<bool>, PermissionsError> {
        self.inner.check(checks, consistency).await
    }

    async fn write(&self, updates: &[Update], preconditions: &[Precondition], cause: &Cause) -> Result<String, PermissionsError> {
        let copy = (updates.to_vec(), preconditions.to_vec(), cause.clone());
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
        self.inner.write(updates, preconditions, cause).await
    }

    async fn read(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        self.inner.read(filter).await
    }

    async fn lookup(
        &self,
        kind: &str,
        permission: &str,
        subject: &Object,
        consistency: &Consistency,
    ) -> Result<Vec<String>, PermissionsError> {
        self.inner.lookup(kind, permission, subject, consistency).await
    }

    async fn ready(&self) -> Result<(), PermissionsError> {
        self.inner.ready().await
    }
}
