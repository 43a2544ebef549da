//! Pauses on the engine, on both databases: a run that waits for days, workers that are killed meanwhile, what goes on.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::audit::Draft;
use domain::ids::within;
use domain::model::{Role, RunDetail};
use domain::pauses::{Kind, Scope};
use domain::ports::{Accounts, Ids, NewAccount, NewPause, NewRun, Pauses, ProvisioningRuns};
use domain::{Change, Principal, PrincipalKind};
use rstest::rstest;
use saga::journal::Ending;
use saga::ports::{OnFailure, State, WaitingFor};
use saga::worker::{Handle, Options, Worker};
use saga::{Attempt, CancellationToken, Definition, Event, Outcome, Registry, RunId, Step, UndoOutcome};
use serde_json::{Value, json};
use store::Store;
use testkit::Backend::{self, Postgres, Sqlite};
use testkit::TestDb;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use uuid::Uuid;

const SAGA: &str = "# Calls two platforms at once.
saga: two-platforms
version: 1
start_within: 1h
deadline: 30m
hold_for: 7d
defaults: { timeout: 1h, undo_timeout: 1h, undo_for: 24h, retry: { attempts: 3, first: 1s, max: 10s }, undo_retry: { first: 1s, max: 5m } }
stages:
  - parallel:
      - { name: here, do: call, with: { backend: here }, undo: uncall }
      - { name: there, do: call, with: { backend: there }, undo: uncall }
  - { name: after, do: call, with: {}, undo: uncall }
";

/// Calls the platform that its `with` names, once it is let.
struct Call(Arc<Semaphore>);

#[async_trait]
impl Step<Change> for Call {
    fn action(&self) -> &'static str {
        "call"
    }

    fn undo_action(&self) -> Option<&'static str> {
        Some("uncall")
    }

    fn draws_on(&self, _: &Value, with: &Value) -> Option<String> {
        Some(Scope::new(Kind::Backend, with.get("backend")?.as_str()?).to_string())
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        tokio::select! {
            permit = self.0.acquire() => drop(permit.unwrap()),
            () = attempt.cancelled.cancelled() => {}
        }
        Outcome::done(json!({}))
    }

    async fn undo(&self, _: &Attempt) -> UndoOutcome<Change> {
        UndoOutcome::Undone { change: None }
    }
}

struct World {
    test: TestDb,
    store: Arc<Store>,
    definition: Definition,
    /// What calls wait for.
    gate: Arc<Semaphore>,
}

/// A process with a worker.
struct Process {
    task: JoinHandle<()>,
    handle: Handle,
}

impl Process {
    /// Dropped wherever it is: nothing is released, nothing is journaled.
    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

struct FreshIds;

impl Ids for FreshIds {
    fn account(&self) -> Uuid {
        Uuid::new_v4()
    }
    fn within(&self, account: Uuid) -> Uuid {
        within(account, Uuid::now_v7())
    }
    fn free(&self) -> Uuid {
        Uuid::now_v7()
    }
    fn key(&self) -> [u8; 32] {
        [7; 32]
    }
}

const USER: Principal = Principal { kind: PrincipalKind::User, id: Uuid::from_u128(7) };

fn there() -> Scope {
    Scope::new(Kind::Backend, "there")
}

impl World {
    async fn new(backend: Backend) -> Self {
        let test = TestDb::new(backend).await;
        let definition = saga::definition::load("two-platforms", SAGA).unwrap();
        Self { store: Arc::new(test.store()), test, definition, gate: Arc::new(Semaphore::new(1000)) }
    }

    /// A run of the saga, about an account of its own.
    async fn ask(&self) -> RunId {
        let account = Uuid::new_v4();
        let run = NewRun {
            id: RunId(within(account, Uuid::now_v7())),
            definition: self.definition.id.clone(),
            account_id: account,
            workspace_id: None,
            retry_of: None,
            input: json!({}),
            on_failure: OnFailure::Rollback,
            exclusive: true,
            total: 3,
            created_by: USER,
            trace: HashMap::new(),
        };
        let id = run.id;
        let new = NewAccount {
            id: account,
            name: "Acme".to_owned(),
            slug: "acme".to_owned(),
            created_by: USER,
            role: Role::Owner,
            workspaces_max: 1,
            run,
            audit: Draft::by_berth(&FreshIds, account, None, "account.create"),
            idempotency: None,
        };
        Accounts::create(&*self.store, new).await.unwrap();
        id
    }

    fn start(&self) -> Process {
        let mut registry: Registry<Change> = Registry::default();
        let call: Arc<dyn Step<Change>> = Arc::new(Call(self.gate.clone()));
        registry.add(self.definition.clone(), &[call], |_, _, _| None).unwrap();
        let options = Options { poll_every: Duration::from_millis(50), resume_over: Duration::from_millis(200), ..Options::default() };
        let (worker, handle) = Worker::new(self.store.clone(), Arc::new(registry), options);
        Process { task: tokio::spawn(worker.run(CancellationToken::new())), handle }
    }

    async fn pause(&self, scope: &Scope, undo: bool) {
        let audit = Draft::by_berth(&FreshIds, scope.account(), None, "pause.set");
        let new = NewPause { scope: scope.clone(), undo, comment: "why".to_owned(), created_by: USER, audit };
        self.store.set(new).await.unwrap();
    }

    async fn resume(&self, scope: &Scope) {
        assert!(self.store.lift(scope, Draft::by_berth(&FreshIds, scope.account(), None, "pause.lift")).await.unwrap());
    }

    async fn seen(&self, run: RunId, what: &str, wanted: impl Fn(&RunDetail) -> bool) -> RunDetail {
        let looking = async {
            let mut looks = tokio::time::interval(Duration::from_millis(20));
            loop {
                let detail = ProvisioningRuns::get(&*self.store, run).await.unwrap().unwrap();
                if wanted(&detail) {
                    return detail;
                }
                looks.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(2), looking).await.unwrap_or_else(|_| panic!("never came true: {what}"))
    }
}

fn count(detail: &RunDetail, wanted: fn(&Event) -> bool) -> usize {
    detail.journal.iter().filter(|record| wanted(&record.event)).count()
}

fn started(detail: &RunDetail) -> Vec<&str> {
    let start = |record: &saga::Record| matches!(record.event, Event::StepStarted { .. });
    detail.journal.iter().filter(|record| start(record)).filter_map(|record| record.event.attempt_of()).map(|(step, _)| step).collect()
}

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
