//! The signing keys of an `OpenID` Connect provider: found by discovery, kept, and fetched again when they change.
//!
//! The promise: an answer is known for certain or is none. Keys that were fetched are good for a bounded time while the provider is away;
//! a key that nobody has heard of is asked for, not more often than once in a while; and whoever cannot be told is told so.

mod cache;
mod published;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ports::{IssuerKeys, KeysAway};
use saga::Time;
use serde_json::Value;

use cache::Cache;
use published::Published;

/// Tells the time; passed in, so that a test can choose it.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// How long fetched keys are good for.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Older keys are fetched again.
    pub fresh_for: Duration,
    /// Older keys are good for nothing; younger ones are, while the provider does not answer.
    pub kept_for: Duration,
    /// The least time between two questions for a key that is not among them.
    pub ask_every: Duration,
}

/// No client can be made, or the issuer's URL cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unusable(String);

/// The keys of one provider.
pub struct Provider(Cache<Published>);

impl Provider {
    /// Asks nobody yet. `keys`: where the keys are, if that is not to be asked of the issuer.
    ///
    /// # Errors
    /// One of the two is no URL with `https`, or with `http` on this machine; there is no client.
    pub fn new(issuer: &str, keys: Option<&str>, times: Times, clock: Clock) -> Result<Self, Unusable> {
        Ok(Self(Cache::new(issuer, Published::new(issuer, keys)?, times, clock)))
    }
}

#[async_trait]
impl IssuerKeys for Provider {
    async fn keys(&self, id: Option<&str>) -> Result<Vec<Arc<Value>>, KeysAway> {
        self.0.keys(id).await
    }
}
