//! A data platform that does everything at once and remembers nothing: what remains is what Berth costs.

use async_trait::async_trait;
use domain::ports::{BackendSpec, Backends, CallError, LoginAnswer};
use saga::CancellationToken;

/// The `local` backend's name, so that rows look as they do elsewhere.
const NAME: &str = "local";

pub struct Instant;

#[async_trait]
impl Backends for Instant {
    fn name(&self, _: &str) -> Option<String> {
        Some(NAME.to_owned())
    }

    async fn create(&self, spec: &BackendSpec, _: &CancellationToken) -> Result<String, CallError> {
        Ok(format!("bench/{}", spec.id))
    }

    async fn drop(&self, _: &BackendSpec, _: &CancellationToken) -> Result<(), CallError> {
        Ok(())
    }

    async fn login(&self, _: &BackendSpec, _: &CancellationToken) -> Result<(), CallError> {
        Ok(())
    }

    async fn set_login(&self, _: &BackendSpec, _: bool, _: i64, _: &CancellationToken) -> Result<LoginAnswer, CallError> {
        Ok(LoginAnswer::Set)
    }
}
