//! Pauses: kept with their audit entries, told to workers, and what goes on when one is over.

use std::time::Duration;

use domain::Change;
use domain::pauses::{Kind, Scope};
use domain::ports::{AuditLog, NewPause, PauseAnswer, Pauses, ProvisioningRuns};
use rstest::rstest;
use saga::journal::{Event, Turn};
use saga::ports::{ClaimedRun, Commit, Disposition, Head, Pause, Renewal, Runs, State, WaitingFor};
use saga::{RunId, Time};
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{LEASE, World, claim, draft, head, kept, record, user};

fn pause(scope: &Scope, undo: bool) -> NewPause {
    NewPause { scope: scope.clone(), undo, comment: "why".to_owned(), created_by: user(), audit: draft(scope.account(), None, "pause.set") }
}

async fn lift(world: &World, scope: &Scope) -> bool {
    world.store.lift(scope, draft(scope.account(), None, "pause.lift")).await.unwrap()
}

async fn resume(world: &World) -> u64 {
    Runs::<Change>::resume(&world.store, Duration::from_mins(1)).await.unwrap()
}

fn backend() -> Scope {
    Scope::new(Kind::Backend, "local")
}

/// What the engine commits when a pause holds back all that is due.
fn held_back(run: &ClaimedRun, by: &[&Scope], due_at: Time) -> Commit<Change> {
    let by: Vec<String> = by.iter().map(ToString::to_string).collect();
    let head = Head { waiting_for: Some(WaitingFor::Backend), paused_by: by.clone(), ..head(State::Waiting, None) };
    let seq = run.journal.last().map_or(1, |r| r.seq + 1);
    let records = vec![record(seq, Event::Paused { by, whole: false })];
    Commit { head, disposition: Disposition::Release { due_at: Some(due_at) }, ..kept(run, records) }
}

/// This many runs that `by` hold back until long after any resume.
async fn waiting(world: &World, runs: usize, by: &[&Scope]) -> Vec<RunId> {
    let account = world.account(1000).await;
    for n in 0..runs {
        world.workspace(account, &format!("data-{n}")).await;
    }
    let worker = world.worker().await;
    let claimed = Runs::<Change>::claim(&world.store, &claim(worker)).await.unwrap();
    for run in &claimed.runs {
        world.committed(held_back(run, by, claimed.now + Duration::from_hours(1))).await;
    }
    claimed.runs.iter().map(|run| run.facts.run).collect()
}

#[rstest]
#[tokio::test]
async fn a_pause_is_set_once_changed_and_lifted_with_an_entry_each(#[values(Sqlite, Postgres)] backend_kind: Backend) {
    let world = World::new(backend_kind).await;
    let account = Scope::new(Kind::Account, world.account(3).await);
    for scope in [account, backend()] {
        let entries = async || world.store.of_account(scope.account(), 0, 100).await.unwrap();
        let before = entries().await.len();
        let first = pause(&scope, false);
        let PauseAnswer::Set(set) = world.store.set(first.clone()).await.unwrap() else { panic!("not set") };
        assert_eq!((&set.scope, set.undo, set.comment.as_str(), set.created_by), (&scope, false, "why", first.created_by));
        assert_eq!(world.store.set(pause(&scope, false)).await.unwrap(), PauseAnswer::Unchanged(set));
        assert!(matches!(world.store.set(pause(&scope, true)).await.unwrap(), PauseAnswer::Changed(p) if p.undo));
        assert_eq!(Pauses::list(&world.store).await.unwrap().len(), 1);
        assert!(lift(&world, &scope).await);
        assert!(!lift(&world, &scope).await, "there is nothing to lift");
        let actions: Vec<String> = entries().await.into_iter().skip(before).map(|e| e.action).collect();
        assert_eq!(actions, ["pause.set", "pause.set", "pause.lift"], "what changes nothing leaves nothing");
    }
    assert!(Pauses::list(&world.store).await.unwrap().is_empty());
    let nobody = Scope::new(Kind::Account, Uuid::now_v7());
    assert!(!lift(&world, &nobody).await, "nor of an account that there is not");
}

#[rstest]
#[tokio::test]
async fn workers_hear_of_pauses_with_every_renewal(#[values(Sqlite, Postgres)] backend_kind: Backend) {
    let world = World::new(backend_kind).await;
    let account = world.account(3).await;
    world.workspace(account, "data").await;
    let worker = world.worker().await;
    let paused = [Scope::new(Kind::Saga, "create-workspace"), backend(), Scope::new(Kind::Account, account)];
    for (n, scope) in paused.iter().enumerate() {
        world.store.set(pause(scope, n == 0)).await.unwrap();
    }
    let wanted: Vec<Pause> = paused.iter().rev().map(|scope| Pause { scope: scope.to_string(), undo: scope.kind == Kind::Saga }).collect();
    let mut wanted = wanted;
    wanted.sort_by(|a, b| a.scope.cmp(&b.scope));
    let claimed = Runs::<Change>::claim(&world.store, &claim(worker)).await.unwrap();
    assert_eq!(claimed.runs[0].facts.scopes, [format!("account:{account}"), "saga:create-workspace".to_owned()]);
    let Renewal::Alive { pauses, .. } = Runs::<Change>::renew(&world.store, worker, LEASE).await.unwrap() else { panic!("dead") };
    assert_eq!(pauses, wanted);
}

#[rstest]
#[tokio::test]
async fn what_waited_goes_on_evenly_spread_over_the_time(#[values(Sqlite, Postgres)] backend_kind: Backend) {
    const RUNS: usize = 60;
    let world = World::new(backend_kind).await;
    let scope = backend();
    world.store.set(pause(&scope, false)).await.unwrap();
    let runs = waiting(&world, RUNS, &[&scope]).await;
    let shown = ProvisioningRuns::get(&world.store, runs[0]).await.unwrap().unwrap().run;
    assert_eq!((shown.paused_by, shown.waiting_for), (vec!["backend:local".to_owned()], Some(WaitingFor::Backend)));
    assert_eq!(resume(&world).await, 0, "nothing goes on while it is paused");
    lift(&world, &scope).await;
    assert_eq!(resume(&world).await, RUNS as u64);
    assert_eq!(resume(&world).await, 0, "what goes on already stays as it is");
    let worker = world.worker().await;
    let mut per_slot = Vec::new();
    for _ in 0..=7 {
        let claimed = Runs::<Change>::claim(&world.store, &claim(worker)).await.unwrap();
        per_slot.push(claimed.runs.len());
        world.test.db.advance(Duration::from_secs(10));
    }
    assert_eq!(per_slot.iter().sum::<usize>(), RUNS, "all of them within the time: {per_slot:?}");
    // The database's own clock goes on a little while the test looks.
    assert!(per_slot[0] <= 5 && per_slot[1..6].iter().all(|n| (5..=15).contains(n)), "{per_slot:?}");
}

#[rstest]
#[tokio::test]
async fn a_run_that_another_pause_holds_back_as_well_stays(#[values(Sqlite, Postgres)] backend_kind: Backend) {
    let world = World::new(backend_kind).await;
    let (scope, saga) = (backend(), Scope::new(Kind::Saga, "create-workspace"));
    for scope in [&scope, &saga] {
        world.store.set(pause(scope, false)).await.unwrap();
    }
    waiting(&world, 2, &[&scope, &saga]).await;
    lift(&world, &scope).await;
    assert_eq!(resume(&world).await, 0);
    lift(&world, &saga).await;
    assert_eq!(resume(&world).await, 2);
}

#[rstest]
#[tokio::test]
async fn a_run_that_has_turned_is_held_back_by_pauses_of_undo_only(#[values(Sqlite, Postgres)] backend_kind: Backend) {
    let world = World::new(backend_kind).await;
    let scope = backend();
    world.store.set(pause(&scope, true)).await.unwrap();
    let account = world.account(3).await;
    world.workspace(account, "data").await;
    let worker = world.worker().await;
    let run = world.claim_one(worker).await;
    let mut commit = held_back(&run, &[&scope], Time::from_micros(i64::MAX / 4_000));
    commit.head.turn = Some(Turn::Cancelled);
    commit.head.state = State::Compensating;
    world.committed(commit).await;
    assert_eq!(resume(&world).await, 0);
    world.store.set(pause(&scope, false)).await.unwrap();
    assert_eq!(resume(&world).await, 1, "the pause lets undo go on");
}

#[rstest]
#[tokio::test]
async fn what_somebody_owns_or_a_verb_made_due_is_left_to_them(#[values(Sqlite, Postgres)] backend_kind: Backend) {
    let world = World::new(backend_kind).await;
    let scope = backend();
    let runs = waiting(&world, 2, &[&scope]).await;
    world.test.db.advance(Duration::from_hours(2));
    let worker = world.worker().await;
    assert_eq!(world.claim(worker).await.len(), runs.len(), "the look behind a resume");
    assert_eq!(resume(&world).await, 0);
}
