//! Who waits for the end of which run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use saga::RunId;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::crew;
use super::tap::Ended;
use crate::failure::Failure;

/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// A run's end may be heard of before anybody waits for it.
enum Slot {
    Waiting(oneshot::Sender<Ended>),
    Ended(Ended),
}

type Slots = Arc<Mutex<HashMap<RunId, Slot>>>;

#[derive(Clone)]
pub struct Ends(Slots);

impl Ends {
    /// And where ends are told.
    pub fn new() -> (Self, UnboundedSender<Ended>) {
        let (sender, mut told) = crew::ears();
        let slots = Slots::default();
        let kept = slots.clone();
        tokio::spawn(async move {
            while let Some(ended) = told.recv().await {
                let mut slots = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(Slot::Waiting(waiter)) = slots.remove(&ended.run) {
                    let _ = waiter.send(ended);
                } else {
                    slots.insert(ended.run, Slot::Ended(ended));
                }
            }
        });
        (Self(slots), sender)
    }

    /// When the run had succeeded.
    ///
    /// # Errors
    /// It did not succeed, or does not end.
    pub async fn of(&self, run: RunId) -> Result<Instant, Failure> {
        let (waiter, heard) = oneshot::channel();
        let known = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match slots.remove(&run) {
                Some(Slot::Ended(ended)) => Some(ended),
                Some(Slot::Waiting(_)) | None => {
                    slots.insert(run, Slot::Waiting(waiter));
                    None
                }
            }
        };
        let ended = match known {
            Some(ended) => ended,
            None => match timeout(PATIENCE, heard).await {
                Ok(Ok(ended)) => ended,
                _ => return Err(Failure::new(format!("the run {run} does not end"))),
            },
        };
        if ended.succeeded { Ok(ended.at) } else { Err(Failure::new(format!("the run {run} did not succeed"))) }
    }
}
