//! What is done at some time and nobody waits for.

use std::time::Duration;

use domain::housekeeping::{apply_freezes_again, expire_freezes};
use domain::ports::{Expired, Unapplied};

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
