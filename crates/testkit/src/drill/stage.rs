//! Where a saga is drilled: one database with a bystander in it, an account to work in, and engines that come and go.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use domain::berth::{Region, Settings};
use domain::change::Subject;
use domain::model::RunDetail;
use domain::permissions::{Cause, Object, Permissions, Relationship, Update};
use domain::ports::{Ids, ProvisioningRuns, Wake};
use domain::{Berth, Caller, Change, Principal, PrincipalKind, ids, steps};
use providers::permissions::Embedded;
use saga::definition::load;
use saga::ports::State;
use saga::worker::{Handle, Options, Worker};
use saga::{CancellationToken, Definition, Registry, RunId, Step};
use store::Store;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::asking::{Asked, Kind};
use super::control::{Control, Drilled};
use super::engine::Watched;
use super::redirect::Redirect;
use super::snapshot::{Difference, World};
use crate::world::{FakeBackends, RememberedWrites};
use crate::{Backend, TestDb, sagas};

/// No drill takes this long, however busy the machine is.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// Every saga there is: Berth's own in all released versions, and those that only drills have.
///
/// # Panics
/// If one of them cannot be loaded.
#[must_use]
pub fn definitions() -> &'static [Definition] {
    static DEFINITIONS: LazyLock<Vec<Definition>> = LazyLock::new(|| {
        let files = steps::DEFINITIONS.iter().chain(sagas::DEFINITIONS);
        files.map(|(file, text)| load(file, text).expect("a definition that loads")).collect()
    });
    &DEFINITIONS
}

pub struct Stage {
    pub(super) test: TestDb,
    pub(super) store: Store,
    pub(super) backends: Arc<FakeBackends>,
    pub(super) permissions: Arc<dyn Permissions>,
    pub(super) definition: Definition,
    pub(super) berth: Berth,
    pub(super) caller: Caller,
    pub(super) account: Uuid,
    awake: Arc<Awake>,
    writes: Arc<RememberedWrites>,
    /// What a run that nothing happens to makes of the world.
    pub(super) wanted: Difference,
    serial: Mutex<u32>,
}

/// A worker of a process of its own.
pub(super) struct Engine {
    task: JoinHandle<()>,
    handle: Handle,
}

impl Engine {
    /// The process is gone: whatever it was at stops where it is.
    pub async fn kill(mut self) {
        self.task.abort();
        // Aborted tasks are gone when this is.
        let _aborted = (&mut self.task).await;
    }

    pub fn wake(&self) {
        self.handle.wake();
    }
}

/// A drill that failed must leave no engine behind to disturb the next one.
impl Drop for Engine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Default)]
struct Awake(Mutex<Option<Handle>>);

impl Wake for Awake {
    fn wake(&self) {
        if let Some(handle) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            handle.wake();
        }
    }
}

struct FreshIds;

impl Ids for FreshIds {
    fn account(&self) -> Uuid {
        Uuid::new_v4()
    }

    fn within(&self, account: Uuid) -> Uuid {
        ids::within(account, Uuid::now_v7())
    }

    fn free(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn key(&self) -> [u8; 32] {
        [7; 32]
    }
}

impl Stage {
    /// A database with a bystander, and the measure of what `definition` makes when nothing goes wrong.
    ///
    /// # Errors
    /// What went wrong although nothing was to.
    ///
    /// # Panics
    /// If there is no database to be had.
    pub async fn new(backend: Backend, definition: &Definition) -> Result<Self, String> {
        let test = TestDb::new(backend).await;
        let store = test.store();
        let backends = Arc::new(FakeBackends::default());
        let writes = Arc::new(RememberedWrites::new(Arc::new(Embedded::new(Arc::new(store.clone())))));
        let permissions: Arc<dyn Permissions> = writes.clone();
        let user = Principal { kind: PrincipalKind::User, id: Uuid::now_v7() };
        let caller = Caller {
            principal: user,
            on_behalf_of: None,
            workspace: None,
            credential_id: None,
            source_ip: None,
            user_agent: None,
            request_id: "drill".to_owned(),
            traceparent: None,
        };
        let operator = Relationship::new(Object::platform(), "operator", user.into());
        permissions.write(&[Update::Touch(operator)], &[], &Cause::Hand("drill")).await.expect("the operator can be granted");
        let awake = Arc::new(Awake::default());
        let mut sagas = Registry::default();
        for definition in definitions() {
            let all = all_steps(&store, &permissions, &backends);
            sagas.add(definition.clone(), &all, steps::on_end).expect("every definition has its code");
        }
        let (runs, redirect) = (Arc::new(store.clone()), Arc::new(Redirect::new(store.clone())));
        let berth = Berth {
            accounts: redirect.clone(),
            workspaces: redirect.clone(),
            freezes: redirect.clone(),
            edits: runs.clone(),
            deletions: redirect.clone(),
            members: runs.clone(),
            runs: runs.clone(),
            audit: runs.clone(),
            exports: Arc::new(store.exports(1)),
            retention: Arc::new(store.clone()),
            principals: runs.clone(),
            service_accounts: runs.clone(),
            api_tokens: runs.clone(),
            tokens: runs.clone(),
            account_settings: runs.clone(),
            identities: runs.clone(),
            pauses: runs.clone(),
            health: runs,
            permissions: permissions.clone(),
            ids: Arc::new(FreshIds),
            wake: awake.clone(),
            timer: Arc::new(crate::RealTimer),
            sagas: Arc::new(sagas),
            settings: Arc::new(Settings {
                regions: vec![Region { name: "local".to_owned(), backend: "local".to_owned() }],
                workspaces_max: 100_000,
                self_serve_accounts: true,
                default_workspace: None,
                mint_creates: true,
                purge_after: std::time::Duration::from_hours(720),
            }),
        };
        let (definition, wanted) = (definition.clone(), Difference::default());
        let mut stage = Self {
            test,
            store,
            backends,
            permissions,
            definition: definition.clone(),
            berth,
            caller,
            account: Uuid::nil(),
            awake,
            writes,
            wanted,
            serial: Mutex::new(0),
        };
        for _ in 0..2 {
            // The bystander's account, then the one that is worked in.
            let account = stage.ask_for_new(Kind::Account, stage.fresh_name()).await?;
            stage.run_clean(&account).await?;
            let Subject::Account(id) = account.subject else { return Err("an account's run is about it".to_owned()) };
            if stage.account.is_nil() {
                stage.account = id;
                let workspace = stage.ask_for_new(Kind::Workspace, stage.fresh_name()).await?;
                stage.run_clean(&workspace).await?;
            }
            stage.account = id;
        }
        redirect.to(Kind::of(&definition)?, definition);
        let ready = stage.ready().await?;
        let before = stage.look().await;
        let asked = stage.ask(&ready).await?;
        stage.run_clean(&asked).await?;
        stage.wanted = stage.look().await.since(&before, &asked);
        if stage.wanted.is_none() {
            return Err("a run of this saga makes nothing, so that no drill could tell".to_owned());
        }
        Ok(stage)
    }

    pub(super) async fn look(&self) -> World {
        World::look(&self.test.db, &self.permissions, &self.backends).await
    }

    /// A name that no other of this stage has.
    pub(super) fn fresh_name(&self) -> String {
        let mut serial = self.serial.lock().unwrap_or_else(PoisonError::into_inner);
        *serial += 1;
        format!("drill-{:05}-end", *serial)
    }

    pub(super) async fn detail(&self, run: RunId) -> Result<RunDetail, String> {
        ProvisioningRuns::get(&self.store, run).await.map_err(|e| e.to_string())?.ok_or_else(|| format!("there is no run {run}"))
    }

    /// Copies of all outside calls since the last time arrive now, in any order, and nobody waits for their answers.
    pub(super) async fn late_copies(&self) {
        self.backends.late_copies().await;
        self.writes.late_copies().await;
    }

    /// A run that nothing happens to.
    pub(super) async fn run_clean(&self, asked: &Asked) -> Result<(), String> {
        let control = Control::new(asked.run, Vec::new(), None);
        let engine = self.start(&control, |_| {}, Options::default().lease);
        let ended = self.ended(&control).await;
        engine.kill().await;
        match ended? {
            State::Succeeded => Ok(()),
            other => Err(format!("a run that nothing happened to is {other:?}\n{}", self.story(asked.run).await)),
        }
    }

    /// A process with a worker. Timeouts are generous and back-offs short, unless `tune` says otherwise of the drilled saga.
    pub(super) fn start(&self, control: &Arc<Control>, tune: impl Fn(&mut Definition), lease: Duration) -> Engine {
        let drilled: Vec<Arc<dyn Step<Change>>> = all_steps(&self.store, &self.permissions, &self.backends)
            .into_iter()
            .map(|inner| Arc::new(Drilled { inner, control: control.clone() }) as Arc<dyn Step<Change>>)
            .collect();
        let mut registry = Registry::default();
        for definition in definitions() {
            let is_drilled = definition.id == self.definition.id;
            let mut definition = patient(definition.clone());
            if is_drilled {
                tune(&mut definition);
            }
            registry.add(definition, &drilled, steps::on_end).expect("every definition has its code");
        }
        let runs = Arc::new(Watched { inner: Arc::new(self.store.clone()), control: control.clone() });
        let options = Options {
            lease,
            // Leases end when a drill says so.
            renew_every: lease,
            poll_every: Duration::from_secs(1),
            keep_for: Duration::from_secs(1),
            cancel_grace: PATIENCE,
            task_patience: PATIENCE,
            jitter: Arc::new(|| 0.5),
            ..Options::default()
        };
        let (worker, handle) = Worker::new(runs, Arc::new(registry), options);
        *self.awake.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle.clone());
        Engine { task: tokio::spawn(worker.run(CancellationToken::new())), handle }
    }

    /// What use cases ask for from now on comes from a process without a worker, until the next one is started.
    pub(super) fn wake_nobody(&self) {
        *self.awake.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Waits until what the store was told about the run is as wanted.
    pub(super) async fn seen<T>(
        &self,
        control: &Control,
        what: &str,
        wanted: impl Fn(&super::control::Progress) -> Option<T>,
    ) -> Result<T, String> {
        let mut progress = control.progress.subscribe();
        let waiting = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = wanted(&progress.borrow_and_update()) {
                    return found;
                }
                // The sender lives as long as the control.
                let _ = progress.changed().await;
            }
        });
        match waiting.await {
            Ok(found) => Ok(found),
            Err(_) => Err(format!("waited in vain for {what}\n{}", self.story(control.run).await)),
        }
    }

    pub(super) async fn ended(&self, control: &Control) -> Result<State, String> {
        self.seen(control, "the end", |p| p.head.as_ref().filter(|h| h.ending.is_some()).map(|h| h.state)).await
    }

    /// The journal, for whoever reads a failure.
    pub(super) async fn story(&self, run: RunId) -> String {
        match self.detail(run).await {
            Ok(detail) => {
                let lines = detail.journal.iter().map(|r| format!("  {} {}", r.seq, serde_json::to_string(&r.event).unwrap_or_default()));
                format!("  {:?}\n{}", detail.run.state, lines.collect::<Vec<_>>().join("\n"))
            }
            Err(e) => e,
        }
    }

    /// The code behind a step's name.
    pub(super) fn code(&self, step: usize) -> Arc<dyn Step<Change>> {
        let action = &self.definition.steps[step].action;
        let all = all_steps(&self.store, &self.permissions, &self.backends);
        all.into_iter().find(|s| s.action() == action).expect("every step has its code")
    }
}

fn all_steps(store: &Store, permissions: &Arc<dyn Permissions>, backends: &Arc<FakeBackends>) -> Vec<Arc<dyn Step<Change>>> {
    let mut all = steps::all(&steps::Outside {
        permissions: permissions.clone(),
        backends: backends.clone(),
        freezes: Arc::new(store.clone()),
        tokens: Arc::new(store.clone()),
    });
    all.extend(sagas::steps(backends));
    all
}

/// Hours where the definition has seconds, and milliseconds where it waits: nothing depends on how fast the machine is.
fn patient(definition: Definition) -> Definition {
    let mut definition = definition.scaled(0.01);
    let days = Duration::from_hours(48);
    (definition.start_within, definition.deadline, definition.hold_for) = (days, days, days);
    for step in &mut definition.steps {
        (step.timeout, step.undo_timeout, step.undo_for) = (PATIENCE, PATIENCE, days * 10);
    }
    definition
}
