//! What is done at some time and nobody waits for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::Berth;
use domain::housekeeping::{Walk, apply_freezes_again, expire_freezes, forget_keys, forget_runs};
use domain::ports::{Expired, Retention, Stretch, Unapplied};
use saga::{RunId, StoreError, Time};
use uuid::Uuid;

use crate::world::{ACCOUNT, WORKSPACE, World, ready};

#[test]
fn expired_freezes_are_carried_on_and_the_next_ones_awaited() {
    let world = World::new();
    let next = Some(Duration::from_secs(7));
    *world.expired.lock().unwrap() = Expired { due: vec![(ACCOUNT, WORKSPACE)], next };
    let done = ready(expire_freezes(&world.berth())).unwrap();
    assert!(done.trouble.is_empty());
    assert_eq!((done.next, world.wakes()), (next, 1));
    let entry = world.entries.lock().unwrap().pop().unwrap();
    assert_eq!((entry.action.as_str(), entry.account_id, entry.workspace_id), ("workspace.freeze_expired", ACCOUNT, Some(WORKSPACE)));
    assert_eq!((entry.actor, entry.targets[0].id), (None, WORKSPACE));
    *world.expired.lock().unwrap() = Expired::default();
    assert_eq!(ready(expire_freezes(&world.berth())).unwrap().next, None);
    assert_eq!(world.wakes(), 1);
}

#[test]
fn freezes_whose_run_was_given_up_are_begun_again_and_the_worker_is_woken() {
    let world = World::new();
    let next = Some(Duration::from_secs(7));
    *world.unapplied.lock().unwrap() = Unapplied { due: vec![WORKSPACE], next };
    let done = ready(apply_freezes_again(&world.berth())).unwrap();
    assert_eq!((done.next, done.trouble.len(), world.wakes()), (next, 0, 1));
    assert_eq!(ready(apply_freezes_again(&world.berth())).unwrap().next, next);
    assert_eq!(world.wakes(), 1, "once");
}

/// Runs 1 to `runs`, none of which is ever forgotten.
struct Shelf {
    runs: u128,
    now: Mutex<Time>,
    asked: Mutex<Vec<u128>>,
    keys: Mutex<u64>,
}

#[async_trait]
impl Retention for Shelf {
    async fn forget_runs(&self, after: Option<RunId>, limit: u32, kept: Duration) -> Result<Stretch, StoreError> {
        assert_eq!(kept, Duration::from_hours(9));
        let after = after.map_or(0, |run| run.0.as_u128());
        self.asked.lock().unwrap().push(after);
        let last = self.runs.min(after + u128::from(limit));
        let next = (last > after).then(|| RunId(Uuid::from_u128(last)));
        Ok(Stretch { forgotten: 0, next, now: *self.now.lock().unwrap() })
    }

    async fn forget_keys(&self, limit: u32) -> Result<u64, StoreError> {
        let mut left = self.keys.lock().unwrap();
        let taken = (*left).min(u64::from(limit));
        *left -= taken;
        Ok(taken)
    }
}

#[test]
fn runs_that_stay_are_looked_at_once_a_day() {
    let shelf = Arc::new(Shelf { runs: 300, now: Mutex::new(Time::from_micros(0)), asked: Mutex::default(), keys: Mutex::new(0) });
    let berth = Berth { retention: shelf.clone(), ..World::new().berth() };
    let mut walk = Walk::default();
    let mut look = || ready(forget_runs(&berth, &mut walk, Duration::from_hours(9))).unwrap().next;
    let at_once = Some(Duration::ZERO);
    assert_eq!([look(), look(), look(), look()], [at_once, at_once, None, None]);
    assert_eq!(*shelf.asked.lock().unwrap(), [0, 200, 300, 300], "it goes on where it has come to");
    let mut later = |hours| {
        *shelf.now.lock().unwrap() = Time::from_micros(0) + Duration::from_hours(hours);
        look();
        *shelf.asked.lock().unwrap().last().unwrap()
    };
    assert_eq!([later(23), later(24), later(24)], [300, 300, 0], "and begins again when a day is over");
}

#[test]
fn keys_are_forgotten_as_long_as_there_are_some() {
    let shelf = Arc::new(Shelf { runs: 0, now: Mutex::new(Time::from_micros(0)), asked: Mutex::default(), keys: Mutex::new(1500) });
    let berth = Berth { retention: shelf.clone(), ..World::new().berth() };
    let forget = || ready(forget_keys(&berth)).unwrap().next;
    assert_eq!([forget(), forget()], [Some(Duration::ZERO), None]);
    assert_eq!(*shelf.keys.lock().unwrap(), 0);
}
