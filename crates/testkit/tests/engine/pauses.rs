//! Pauses: a run that waits for days, workers that are killed meanwhile, what goes on.

use std::time::Duration;

use domain::model::RunDetail;
use domain::pauses::{Kind, Scope};
use rstest::rstest;
use saga::Event;
use saga::journal::Ending;
use saga::ports::{State, WaitingFor};
use testkit::Backend::{self, Postgres, Sqlite};

use crate::world::{World, count, started, there};

#[rstest]
#[tokio::test]
async fn a_run_waits_for_days_while_workers_are_killed_and_then_has_all_its_time(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    world.pause(&there(), false).await;
    let first = world.start();
    let run = world.ask().await;
    first.handle.wake();
    let waits = |d: &RunDetail| d.run.waiting_for == Some(WaitingFor::Backend);
    let detail = world.seen(run, "it waits", waits).await;
    assert_eq!((detail.run.state, detail.run.paused_by.as_slice()), (State::Waiting, &["backend:there".to_owned()][..]));
    assert_eq!(started(&detail), ["here"], "its sibling goes on");
    first.kill().await;

    // The look behind a resume falls due, and every deadline has passed twice over: another process finds it paused.
    let second = world.start();
    for _ in 0..2 {
        let before = world.seen(run, "it waits", waits).await.run.version;
        world.test.db.advance(Duration::from_hours(2));
        second.handle.wake();
        let again = world.seen(run, "it is looked at", |d| d.run.version > before && waits(d)).await;
        assert_eq!(again.journal, detail.journal, "a pause is told of once");
    }
    world.resume(&there()).await;
    second.handle.wake();
    let ended = world.seen(run, "it ends", |d| d.run.ending.is_some()).await;
    assert_eq!((ended.run.ending, ended.run.turn.clone()), (Some(Ending::Succeeded), None));
    assert_eq!(started(&ended), ["here", "there", "after"]);
    let told = (count(&ended, |e| matches!(e, Event::Paused { .. })), count(&ended, |e| matches!(e, Event::PauseEnded)));
    assert_eq!(told, (1, 1));
    let stood = ended.run.deadline_at.unwrap().since(ended.run.created_at);
    assert!(stood >= Duration::from_hours(4), "the deadline stood still for {stood:?}");
    second.kill().await;
}

#[rstest]
#[tokio::test]
async fn what_is_at_work_finishes_its_attempts_and_nothing_else_begins(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let saga = Scope::new(Kind::Saga, "two-platforms");
    let held = world.gate.clone().acquire_many_owned(1000).await.unwrap();
    let process = world.start();
    let run = world.ask().await;
    process.handle.wake();
    world.seen(run, "both calls are open", |d| started(d).len() == 2).await;
    world.pause(&saga, false).await;
    let waits = |d: &RunDetail| d.run.waiting_for == Some(WaitingFor::Operator);
    // Another run that waits shows that the worker has heard of it; one that was claimed before is at work as the first is.
    let mut others = Vec::new();
    loop {
        let other = world.ask().await;
        others.push(other);
        process.handle.wake();
        if waits(&world.seen(other, "it waits or is at work", |d| waits(d) || started(d).len() == 2).await) {
            break;
        }
    }
    drop(held);
    let paused = world.seen(run, "it waits", waits).await;
    assert_eq!((started(&paused), paused.run.done), (vec!["here", "there"], 2));
    world.resume(&saga).await;
    process.handle.wake();
    for run in others.into_iter().chain([run]) {
        let ended = world.seen(run, "it ends", |d| d.run.ending.is_some()).await;
        assert_eq!(ended.run.ending, Some(Ending::Succeeded));
    }
    process.kill().await;
}

/// The process that resumed, and every worker with it, was killed before the runs were made due: the next one sees to them.
#[rstest]
#[tokio::test]
async fn a_resume_that_nobody_heard_of_is_made_good_by_the_next_worker(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    world.pause(&there(), false).await;
    let first = world.start();
    let run = world.ask().await;
    first.handle.wake();
    world.seen(run, "it waits", |d| d.run.waiting_for == Some(WaitingFor::Backend)).await;
    first.kill().await;
    world.resume(&there()).await;
    let second = world.start();
    let ended = world.seen(run, "it ends", |d| d.run.ending.is_some()).await;
    assert_eq!(ended.run.ending, Some(Ending::Succeeded));
    second.kill().await;
}
