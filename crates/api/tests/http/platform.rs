//! The data platform of a test's Berth.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use domain::ports::{BackendSpec, Backends, CallError, LoginAnswer};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// A data platform that does as it is told: it can be held, and let go.
pub struct Platform {
    gate: Semaphore,
    refuses_drops: AtomicBool,
}

/// More calls than any test makes.
const OPEN: u32 = 1_000_000;

impl Platform {
    pub fn open() -> Self {
        Self { gate: Semaphore::new(OPEN as usize), refuses_drops: AtomicBool::new(false) }
    }

    /// From now on creating a backend workspace waits.
    pub async fn hold(&self) {
        self.gate.acquire_many(OPEN).await.unwrap().forget();
    }

    pub fn release(&self) {
        self.gate.add_permits(OPEN as usize);
    }

    /// From now on nothing can be taken away: a person is needed.
    pub fn refuse_drops(&self) {
        self.refuses_drops.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Backends for Platform {
    fn name(&self, _: &str) -> Option<String> {
        Some("local".to_owned())
    }

    async fn create(&self, spec: &BackendSpec, stop: &CancellationToken) -> Result<String, CallError> {
        tokio::select! {
            permit = self.gate.acquire() => drop(permit.unwrap()),
            () = stop.cancelled() => return Err(CallError::Unknown(saga::Fault::new("stopped", "The call was stopped"))),
        }
        Ok(spec.id.to_string())
    }

    async fn drop(&self, _: &BackendSpec, _: &CancellationToken) -> Result<(), CallError> {
        if self.refuses_drops.load(Ordering::SeqCst) {
            return Err(CallError::Failed(saga::Fault::new("refused", "The platform refuses")));
        }
        Ok(())
    }

    async fn login(&self, _: &BackendSpec, _: &CancellationToken) -> Result<(), CallError> {
        Ok(())
    }

    async fn set_login(&self, _: &BackendSpec, _: bool, _: i64, _: &CancellationToken) -> Result<LoginAnswer, CallError> {
        Ok(LoginAnswer::Set)
    }
}
