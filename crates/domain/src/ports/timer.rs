//! Waiting, for use cases that answer before all is done.

use std::pin::Pin;
use std::time::Duration;

pub trait Timer: Send + Sync + 'static {
    /// Ready when the time is over.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}
