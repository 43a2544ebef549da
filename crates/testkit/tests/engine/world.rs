//! A store with sagas that call two platforms, and processes with workers that are killed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::audit::Draft;
use domain::ids::within;
use domain::model::{Role, RunDetail};
use domain::pauses::{Kind, Scope};
use domain::ports::{Accounts, Ids, NewAccount, NewPause, NewRun, Pauses, ProvisioningRuns};
use domain::{Change, Principal, PrincipalKind};
use saga::ports::OnFailure;
use saga::worker::{Handle, Options, Worker};
use saga::{Attempt, CancellationToken, Definition, Event, Outcome, Registry, RunId, Step, UndoOutcome};
use serde_json::{Value, json};
use store::Store;
use testkit::Backend;
use testkit::TestDb;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use uuid::Uuid;

const TWO_PLATFORMS: &str = "# Calls two platforms at once.
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

const NO_PLATFORM: &str = "# Calls nobody.
saga: no-platform
version: 1
start_within: 1h
deadline: 30m
hold_for: 7d
defaults: { timeout: 1h, undo_timeout: 1h, undo_for: 24h, retry: { attempts: 3, first: 1s, max: 10s }, undo_retry: { first: 1s, max: 5m } }
stages:
  - { name: note, do: note, undo: { none: does nothing } }
";

/// Does nothing.
struct Note;

#[async_trait]
impl Step<Change> for Note {
    fn action(&self) -> &'static str {
        "note"
    }

    fn undo_action(&self) -> Option<&'static str> {
        None
    }

    async fn run(&self, _: &Attempt) -> Outcome<Change> {
        Outcome::done(json!({}))
    }

    async fn undo(&self, _: &Attempt) -> UndoOutcome<Change> {
        UndoOutcome::Undone { change: None }
    }
}

/// Calls the platform that its `with` names, once it is let.
struct Call {
    gate: Arc<Semaphore>,
    most: Arc<Mutex<Counted>>,
}

/// Calls of each platform: under way now, and how many there were at most.
pub type Counted = HashMap<String, (usize, usize)>;

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
        let platform = self.draws_on(&attempt.input, &attempt.with).unwrap_or_default();
        {
            let mut most = self.most.lock().unwrap();
            let (now, at_most) = most.entry(platform.clone()).or_default();
            *now += 1;
            *at_most = (*at_most).max(*now);
        }
        tokio::select! {
            permit = self.gate.acquire() => drop(permit.unwrap()),
            () = attempt.cancelled.cancelled() => {}
        }
        self.most.lock().unwrap().get_mut(&platform).unwrap().0 -= 1;
        Outcome::done(json!({}))
    }

    async fn undo(&self, _: &Attempt) -> UndoOutcome<Change> {
        UndoOutcome::Undone { change: None }
    }
}

pub struct World {
    pub test: TestDb,
    pub store: Arc<Store>,
    definitions: Vec<Definition>,
    /// What calls wait for.
    pub gate: Arc<Semaphore>,
    pub most: Arc<Mutex<Counted>>,
}

/// A process with a worker.
pub struct Process {
    task: JoinHandle<()>,
    pub handle: Handle,
}

impl Process {
    /// Dropped wherever it is: nothing is released, nothing is journaled.
    pub async fn kill(self) {
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

pub fn there() -> Scope {
    Scope::new(Kind::Backend, "there")
}

impl World {
    pub async fn new(backend: Backend) -> Self {
        let test = TestDb::new(backend).await;
        let definitions = [TWO_PLATFORMS, NO_PLATFORM].map(|text| saga::definition::load("a saga", text).unwrap()).to_vec();
        Self { store: Arc::new(test.store()), test, definitions, gate: Arc::new(Semaphore::new(1000)), most: Arc::default() }
    }

    /// A run that calls two platforms, about an account of its own.
    pub async fn ask(&self) -> RunId {
        self.ask_for(&self.definitions[0]).await
    }

    /// One that calls none.
    pub async fn ask_for_none(&self) -> RunId {
        self.ask_for(&self.definitions[1]).await
    }

    async fn ask_for(&self, definition: &Definition) -> RunId {
        let account = Uuid::new_v4();
        let run = NewRun {
            id: RunId(within(account, Uuid::now_v7())),
            definition: definition.id.clone(),
            account_id: account,
            workspace_id: None,
            retry_of: None,
            input: json!({}),
            on_failure: OnFailure::Rollback,
            exclusive: true,
            total: u32::try_from(definition.steps.len()).unwrap(),
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

    pub fn start(&self) -> Process {
        self.start_with(Options::default())
    }

    pub fn start_with(&self, options: Options) -> Process {
        let mut registry: Registry<Change> = Registry::default();
        let steps: [Arc<dyn Step<Change>>; 2] = [Arc::new(Call { gate: self.gate.clone(), most: self.most.clone() }), Arc::new(Note)];
        for definition in &self.definitions {
            registry.add(definition.clone(), &steps, |_, _, _| None).unwrap();
        }
        let options = Options { poll_every: Duration::from_millis(50), resume_over: Duration::from_millis(200), ..options };
        let (worker, handle) = Worker::new(self.store.clone(), Arc::new(registry), options);
        Process { task: tokio::spawn(worker.run(CancellationToken::new())), handle }
    }

    pub async fn pause(&self, scope: &Scope, undo: bool) {
        let audit = Draft::by_berth(&FreshIds, scope.account(), None, "pause.set");
        let new = NewPause { scope: scope.clone(), undo, comment: "why".to_owned(), created_by: USER, audit };
        self.store.set(new).await.unwrap();
    }

    pub async fn resume(&self, scope: &Scope) {
        assert!(self.store.lift(scope, Draft::by_berth(&FreshIds, scope.account(), None, "pause.lift")).await.unwrap());
    }

    pub async fn seen(&self, run: RunId, what: &str, wanted: impl Fn(&RunDetail) -> bool) -> RunDetail {
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

pub fn count(detail: &RunDetail, wanted: fn(&Event) -> bool) -> usize {
    detail.journal.iter().filter(|record| wanted(&record.event)).count()
}

pub fn started(detail: &RunDetail) -> Vec<&str> {
    let start = |record: &saga::Record| matches!(record.event, Event::StepStarted { .. });
    detail.journal.iter().filter(|record| start(record)).filter_map(|record| record.event.attempt_of()).map(|(step, _)| step).collect()
}
