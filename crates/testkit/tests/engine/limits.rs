//! Limits of what attempts draw on: so many at once and no more, and whoever waits stands in nobody's way.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::model::RunDetail;
use rstest::rstest;
use saga::journal::Ending;
use saga::worker::Options;
use testkit::Backend::{self, Postgres, Sqlite};

use crate::world::{World, started};

const SHORT: Duration = Duration::from_millis(50);

fn options() -> Options {
    // More than may have an attempt, fewer than there are: those that wait must make room.
    Options { concurrency: 5, draws: BTreeMap::from([("backend".to_owned(), 2)]), keep_for: SHORT, full_for: SHORT, ..Options::default() }
}

#[rstest]
#[tokio::test]
async fn a_backend_is_called_so_often_at_once_and_who_waits_for_it_makes_room_for_others(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let held = world.gate.clone().acquire_many_owned(1000).await.unwrap();
    let process = world.start_with(options());
    let mut runs = Vec::new();
    for _ in 0..8 {
        runs.push(world.ask().await);
    }
    process.handle.wake();
    let full = ["backend:here", "backend:there"];
    let mut open = Vec::new();
    for run in &runs {
        // Each has been looked at, whether or not there was a place for it.
        world.seen(*run, "it is looked at", |d| d.run.version > 1).await;
    }
    let other = world.ask_for_none().await;
    process.handle.wake();
    let ended = world.seen(other, "what draws on nothing goes on", |d| d.run.ending.is_some()).await;
    assert_eq!(ended.run.ending, Some(Ending::Succeeded));
    for run in &runs {
        open.extend(started(&world.seen(*run, "it is there", |_| true).await).into_iter().map(ToOwned::to_owned));
    }
    assert_eq!((open.iter().filter(|s| *s == "here").count(), open.iter().filter(|s| *s == "there").count()), (2, 2), "{open:?}");
    drop(held);
    for run in runs {
        let ended = world.seen(run, "it ends", |d: &RunDetail| d.run.ending.is_some()).await;
        assert_eq!(ended.run.ending, Some(Ending::Succeeded));
        assert_eq!(started(&ended).len(), 3, "what waited is no attempt: {:?}", ended.journal);
    }
    let most = world.most.lock().unwrap().clone();
    assert_eq!(full.map(|platform| most[platform]), [(0, 2), (0, 2)]);
    process.kill().await;
}
