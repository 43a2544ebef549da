//! Submits runs, at most so many at once, and measures each from before its submission until its end is durable.

use std::collections::HashMap;
use std::time::Duration;

use domain::ids::within;
use domain::{Principal, PrincipalKind};
use saga::{DefinitionId, RunId};
use store::Bench;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::crew::Crew;
use super::refused;
use super::sample::Sample;
use super::tap::Ended;
use crate::failure::Failure;

/// The most runs that one commit submits.
const BATCH: usize = 500;
/// A run that nobody has ended for so long will not be ended.
const PATIENCE: Duration = Duration::from_mins(2);

/// Submits for one account.
pub struct Driver {
    bench: Bench,
    account: Uuid,
    definition: DefinitionId,
    steps: u32,
    ended: UnboundedReceiver<Ended>,
}

/// What a number of runs took, first submission to last end.
pub struct Drained {
    pub elapsed: Duration,
    /// Until the last one was submitted.
    pub submitted: Duration,
    pub sample: Sample,
}

impl Driver {
    /// # Errors
    /// The account cannot be made.
    pub async fn new(bench: Bench, definition: DefinitionId, steps: u32, ended: UnboundedReceiver<Ended>) -> Result<Self, Failure> {
        let account = Uuid::new_v4();
        bench.account(account, creator(account)).await.map_err(refused)?;
        Ok(Self { bench, account, definition, steps, ended })
    }

    /// Has `runs` executed by `crew`, at most `in_flight` between submission and end.
    ///
    /// # Errors
    /// A run fails, or none ends for long.
    pub async fn drain(&mut self, crew: &mut Crew, runs: usize, in_flight: usize) -> Result<Drained, Failure> {
        let mut open: HashMap<RunId, Instant> = HashMap::new();
        let (mut left, mut heard, mut sample) = (runs, Vec::new(), Sample::default());
        let began = Instant::now();
        let (mut submitted, mut last) = (Duration::ZERO, began);
        while left > 0 || !open.is_empty() {
            let room = in_flight.saturating_sub(open.len()).min(left).min(BATCH);
            if room > 0 {
                let ids: Vec<RunId> = (0..room).map(|_| RunId(within(self.account, Uuid::now_v7()))).collect();
                let at = Instant::now();
                let creator = creator(self.account);
                self.bench.submit(self.account, creator, &self.definition, self.steps, &ids).await.map_err(refused)?;
                crew.wake().await;
                open.extend(ids.into_iter().map(|id| (id, at)));
                left -= room;
                submitted = began.elapsed();
            } else {
                let some = timeout(PATIENCE, self.ended.recv_many(&mut heard, BATCH)).await;
                match some {
                    Ok(1..) => {}
                    Ok(_) => return Err(Failure::new("the workers are gone")),
                    Err(_) => return Err(Failure::new(format!("{} runs do not end: no run has ended for two minutes", open.len()))),
                }
            }
            while let Ok(more) = self.ended.try_recv() {
                heard.push(more);
            }
            for Ended { run, at, succeeded } in heard.drain(..) {
                if let Some(began) = open.remove(&run) {
                    if !succeeded {
                        return Err(Failure::new(format!("the run {run} did not succeed")));
                    }
                    sample.add(at.saturating_duration_since(began));
                    last = last.max(at);
                }
            }
        }
        Ok(Drained { elapsed: last - began, submitted, sample })
    }
}

/// Whoever it is, nothing is asked of him.
fn creator(account: Uuid) -> Principal {
    Principal { kind: PrincipalKind::ServiceAccount, id: account }
}
