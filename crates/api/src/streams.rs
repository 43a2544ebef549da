//! Answers that go on for long: how many there may be, and when each has to end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// When what happens to an event stream.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// A comment is sent after this long without news, so that nobody in between takes the connection for dead.
    pub heartbeat: Duration,
    /// How often token and rights are checked again.
    pub recheck: Duration,
    /// After this a stream ends whatever happens: its client comes back with the last id.
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { heartbeat: Duration::from_secs(15), recheck: Duration::from_secs(30), longest: Duration::from_mins(30) }
    }
}

/// The event streams of a process; cheap to clone.
#[derive(Debug, Clone)]
pub struct Streams {
    pub(crate) pace: Pace,
    places: Arc<Semaphore>,
    most: usize,
}

/// A place that is taken; dropping it frees the place.
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Default for Streams {
    fn default() -> Self {
        Self::new(10_000, Pace::default())
    }
}

impl Streams {
    /// Streams of which `most` may be open at once.
    #[must_use]
    pub fn new(most: usize, pace: Pace) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { pace, places: Arc::new(Semaphore::new(most)), most }
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.most - self.places.available_permits()
    }

    /// `None` if all places are taken.
    #[must_use]
    pub fn enter(&self) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        Some(Place { _permit: permit })
    }
}
