//! The loop behind [`domain::drift`]: compares the permission system with the database on a timer, counts what differs, and repairs
//! it where the settings say so. A page at a time with a rest after each, so that it takes little from those who wait for answers.

use std::sync::Arc;
use std::time::Duration;

use domain::Berth;
use domain::drift::{Class, Fate, Mode, Sides, Stretch, Walk, step};
use domain::permissions::RelationshipPages;
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::ids::system_time;

/// After a page; an outage is waited for longer.
const REST: Duration = Duration::from_millis(100);
const OUTAGE_REST: Duration = Duration::from_secs(30);
/// Differences that are told one by one in the log; the rest are counted.
const TOLD: u64 = 20;
/// A process that has just started has other things to do.
const FIRST_AFTER: Duration = Duration::from_mins(5);

/// What is compared, and how.
pub struct Reconciliation {
    pub berth: Berth,
    pub store: Store,
    pub held: Arc<dyn RelationshipPages>,
    every: Duration,
    mode: Mode,
    rest: (Duration, Duration),
}

impl Reconciliation {
    /// As the settings have it; `None`: never.
    pub fn new(config: &Config, berth: Berth, store: Store, held: Arc<dyn RelationshipPages>) -> Option<Self> {
        let (every, scale) = (config.permissions.compare_every.0, config.dev.time_scale);
        let mode = Mode { repair: config.permissions.repair, remove_unknown: false };
        (!every.is_zero()).then(|| Self { berth, store, held, every, mode, rest: (REST.mul_f64(scale), OUTAGE_REST.mul_f64(scale)) })
    }

    pub async fn run(self, stop: CancellationToken) {
        let mut rest = self.every.min(FIRST_AFTER);
        let (mut walk, mut tally) = (Walk::default(), Tally::default());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
            let sides = Sides { berth: &self.berth, intents: &self.store, held: &*self.held };
            rest = match step(&sides, &mut walk, self.mode).await {
                Ok(stretch) => {
                    tally.add(&stretch);
                    if stretch.is_last {
                        tally.publish();
                        (walk, tally) = (Walk::default(), Tally::default());
                        self.every
                    } else {
                        self.rest.0
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the permission system cannot be compared with the database now; trying again");
                    // A page of a snapshot that is gone would never come: from the beginning.
                    (walk, tally) = (Walk::default(), Tally::default());
                    self.rest.1
                }
            };
        }
    }
}

#[derive(Default)]
struct Tally {
    left: [u64; Class::ALL.len()],
    left_alone: u64,
    looked_at: u64,
    told: u64,
}

impl Tally {
    fn add(&mut self, stretch: &Stretch) {
        self.looked_at += stretch.looked_at;
        self.left_alone += stretch.left_alone;
        for (drift, fate) in &stretch.found {
            if *fate == Fate::Repaired {
                metrics::counter!("berth_permissions_repaired_total", "class" => drift.class.as_str()).increment(1);
            } else if let Some(left) = Class::ALL.iter().position(|class| *class == drift.class) {
                self.left[left] += 1;
            }
            self.told += 1;
            if self.told <= TOLD {
                tracing::warn!(class = drift.class.as_str(), fate = fate.as_str(), drift = %drift.json(), "the permission system has drifted");
            }
        }
    }

    fn publish(&self) {
        for (class, left) in Class::ALL.iter().zip(self.left) {
            metrics::gauge!("berth_permissions_drift", "class" => class.as_str()).set(gauge(left));
        }
        metrics::gauge!("berth_permissions_left_alone").set(gauge(self.left_alone));
        metrics::gauge!("berth_permissions_compared_at_seconds").set(gauge(u64::try_from(system_time().micros() / 1_000_000).unwrap_or(0)));
        let differ: u64 = self.left.iter().sum();
        tracing::info!(
            looked_at = self.looked_at,
            left_alone = self.left_alone,
            differ,
            "compared the permission system with the database"
        );
    }
}

/// Counts and seconds since 1970 stay below 2^32 for a long time.
fn gauge(n: u64) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
