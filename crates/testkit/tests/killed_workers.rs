//! Worker tasks killed at random moments under a stream of creates, on a backend that fails, hangs and loses replies.
//!
//! What `kill -9` does to `berth dev` is tested on the real process; this is the same for PostgreSQL, where other workers
//! go on meanwhile. In the end every run has ended and the whole installation is as it should be.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::berth::{Region, Reply, Settings};
use domain::model::{AccountStatus, TenancyModel, WorkspaceStatus};
use domain::permissions::{Cause, Object, Permissions, Relationship, Update};
use domain::ports::{BackendSpec, Backends, CallError, Ids, LoginAnswer, Page, RunFilter, Wake};
use domain::workspaces::create::{self, Request};
use domain::workspaces::status;
use domain::{Berth, Caller, Change, PrincipalKind};
use providers::backends::{Faulty, Local, Rates};
use providers::permissions::Embedded;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use saga::journal::Ending;
use saga::ports::OnFailure;
use saga::worker::{Options, Worker};
use saga::{CancellationToken, Registry};
use store::Store;
use testkit::{Backend, TestDb, whole};
use tokio::task::JoinHandle;
use uuid::Uuid;

const KILLS: usize = 120;
const CREATES: usize = 150;
const REGION: &str = "local";
/// Of faults and moments.
const SEED: u64 = 20_261_122;

struct RandomIds;

impl Ids for RandomIds {
    fn account(&self) -> Uuid {
        Uuid::new_v4()
    }
    fn within(&self, account: Uuid) -> Uuid {
        domain::ids::within(account, Uuid::now_v7())
    }
    fn free(&self) -> Uuid {
        Uuid::now_v7()
    }
    fn key(&self) -> [u8; 32] {
        let halves = [Uuid::new_v4(), Uuid::new_v4()];
        std::array::from_fn(|i| halves[i / 16].as_bytes()[i % 16])
    }
}

struct NoWake;

impl Wake for NoWake {
    fn wake(&self) {}
}

/// `Faulty` wants a backend of its own; the test wants to look into it.
struct Shared(Arc<Local>);

#[async_trait::async_trait]
impl Backends for Shared {
    fn name(&self, region: &str) -> Option<String> {
        self.0.name(region)
    }
    async fn create(&self, spec: &BackendSpec, stop: &CancellationToken) -> Result<String, CallError> {
        self.0.create(spec, stop).await
    }
    async fn drop(&self, spec: &BackendSpec, stop: &CancellationToken) -> Result<(), CallError> {
        (*self.0).drop(spec, stop).await
    }
    async fn login(&self, spec: &BackendSpec, stop: &CancellationToken) -> Result<(), CallError> {
        self.0.login(spec, stop).await
    }
    async fn set_login(&self, spec: &BackendSpec, open: bool, revision: i64, stop: &CancellationToken) -> Result<LoginAnswer, CallError> {
        self.0.set_login(spec, open, revision, stop).await
    }
}

/// Everything but the workers.
struct Installation {
    berth: Berth,
    store: Store,
    local: Arc<Local>,
    caller: Caller,
    operator: Relationship,
}

fn registry(outside: &domain::steps::Outside) -> Arc<Registry<Change>> {
    let steps = domain::steps::all(outside);
    let mut registry = Registry::default();
    for (file, text) in domain::steps::DEFINITIONS {
        let mut definition = saga::definition::load(file, text).unwrap().scaled(0.02);
        for step in &mut definition.steps {
            // Calls that hang are told to stop soon; nothing else depends on it.
            step.timeout = Duration::from_millis(500);
            step.undo_timeout = Duration::from_millis(500);
        }
        registry.add(definition, &steps, domain::steps::on_end).unwrap();
    }
    Arc::new(registry)
}

impl Installation {
    async fn new(db: &TestDb, folder: &Path, rates: Rates) -> Self {
        let store = db.store();
        let permissions: Arc<dyn Permissions> = Arc::new(Embedded::new(Arc::new(store.clone())));
        let ids: Arc<dyn Ids> = Arc::new(RandomIds);
        let local = Arc::new(Local::open(folder, [REGION.to_owned()], ids.clone()).unwrap());
        let backends: Arc<dyn Backends> = Arc::new(Faulty::new(Shared(local.clone()), rates, SEED).unwrap());
        let port = Arc::new(store.clone());
        let settings = Settings {
            regions: vec![Region { name: REGION.to_owned(), backend: "local".to_owned() }],
            workspaces_max: 10_000,
            self_serve_accounts: true,
            default_workspace: None,
            mint_creates: true,
            purge_after: std::time::Duration::from_hours(720),
        };
        let berth = Berth {
            accounts: port.clone(),
            workspaces: port.clone(),
            edits: port.clone(),
            deletions: port.clone(),
            freezes: port.clone(),
            members: port.clone(),
            runs: port.clone(),
            audit: port.clone(),
            exports: Arc::new(port.exports(1)),
            retention: port.clone(),
            principals: port.clone(),
            service_accounts: port.clone(),
            api_tokens: port.clone(),
            tokens: port.clone(),
            account_settings: port.clone(),
            identities: port.clone(),
            pauses: port.clone(),
            health: port,
            sagas: registry(&domain::steps::Outside {
                permissions: permissions.clone(),
                backends,
                freezes: Arc::new(store.clone()),
                tokens: Arc::new(store.clone()),
            }),
            permissions,
            ids,
            wake: Arc::new(NoWake),
            timer: Arc::new(testkit::RealTimer),
            settings: Arc::new(settings),
        };
        let user = berth.principals.ensure(PrincipalKind::User, "someone", None, Uuid::now_v7()).await.unwrap();
        let operator = Relationship::new(Object::platform(), "operator", user.principal.into());
        berth.permissions.write(&[Update::Touch(operator.clone())], &[], &Cause::Hand("test")).await.unwrap();
        let caller = Caller {
            principal: user.principal,
            on_behalf_of: None,
            workspace: None,
            credential_id: None,
            source_ip: None,
            user_agent: None,
            request_id: Uuid::now_v7().to_string(),
            traceparent: None,
        };
        Self { berth, store, local, caller, operator }
    }

    fn start(&self) -> JoinHandle<()> {
        // Short leases: the others take over soon.
        let options = Options {
            lease: Duration::from_secs(1),
            renew_every: Duration::from_millis(200),
            poll_every: Duration::from_millis(50),
            cancel_grace: Duration::from_millis(500),
            task_patience: Duration::from_secs(5),
            ..Options::default()
        };
        let (worker, _) = Worker::new(Arc::new(self.store.clone()), self.berth.sagas.clone(), options);
        tokio::spawn(worker.run(CancellationToken::new()))
    }

    async fn account(&self) -> Uuid {
        let created = domain::accounts::create(&self.berth, &self.caller, "Account".to_owned(), None).await.unwrap();
        let Reply::Fresh(accepted) = created else { panic!("nothing to replay") };
        until("the account is active", async || {
            self.berth.accounts.get(accepted.account_id).await.unwrap().is_some_and(|a| a.status == AccountStatus::Active)
        })
        .await;
        accepted.account_id
    }

    async fn create(&self, account_id: Uuid, name: String) -> Uuid {
        let request = Request {
            account_id,
            name,
            region: REGION.to_owned(),
            slug: None,
            tenancy_model: TenancyModel::Shared,
            on_failure: OnFailure::Rollback,
            labels: domain::labels::Labels::new(),
            termination_protection: false,
        };
        let Reply::Fresh(accepted) = create::create(&self.berth, &self.caller, request, None).await.unwrap() else {
            panic!("nothing to replay")
        };
        accepted.workspace_id
    }

    /// Sets or lifts a freeze, wherever the workspace stands; false where it has come to a state that rules it out.
    async fn set_frozen(&self, workspace: Uuid, frozen: bool) -> bool {
        let request = status::Request {
            wanted: if frozen { status::Wanted::Frozen } else { status::Wanted::Active },
            source: None,
            sources: None,
            mode: None,
            reason: frozen.then(|| ("test".to_owned(), None)),
            expires_at: None,
        };
        match status::change(&self.berth, &self.caller, workspace, request, None).await {
            Ok(_) => true,
            Err(domain::Error::InvalidTransition { .. }) => false,
            Err(other) => panic!("{other:?}"),
        }
    }

    async fn live(&self) -> u64 {
        self.berth.runs.counts().await.unwrap().by_state.iter().map(|(_, n)| n).sum()
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let all = async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while !holds().await {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(4), all).await.unwrap_or_else(|_| panic!("never came true: {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_leave_no_orphan() {
    let db = TestDb::new(Backend::Postgres).await;
    let folder = tempfile::tempdir().unwrap();
    let rates = Rates { fail: 0.15, hang: 0.05, lose_reply: 0.15 };
    let installation = Arc::new(Installation::new(&db, folder.path(), rates).await);
    let mut workers = [installation.start(), installation.start()];
    let account = installation.account().await;

    let stream = tokio::spawn({
        let installation = installation.clone();
        async move {
            let (mut workspaces, mut changes) = (Vec::new(), 0);
            let mut dice = StdRng::seed_from_u64(SEED + 1);
            for n in 0..CREATES {
                workspaces.push(installation.create(account, format!("Workspace {n}")).await);
                for _ in 0..dice.random_range(0..3) {
                    // New ones more often than old ones: their runs are still at work.
                    let among = if dice.random_bool(0.5) { 4 } else { usize::MAX };
                    let age = dice.random_range(0..workspaces.len().min(among));
                    let workspace = workspaces[workspaces.len() - 1 - age];
                    changes += u32::from(installation.set_frozen(workspace, dice.random_bool(0.6)).await);
                }
            }
            // A parked run waits for its unfreeze; those that are still frozen at the end have been active before.
            for workspace in &workspaces {
                let row = installation.berth.workspaces.get(*workspace).await.unwrap().unwrap();
                if row.status == WorkspaceStatus::Provisioning && !row.freezes.is_empty() {
                    changes += u32::from(installation.set_frozen(*workspace, false).await);
                }
            }
            changes
        }
    });
    let mut dice = StdRng::seed_from_u64(SEED);
    for kill in 0..KILLS {
        // A random moment: so many looks at the database later.
        for _ in 0..dice.random_range(1..20) {
            installation.live().await;
        }
        // Dropped wherever it is, with all its attempts: nothing is released, nothing is journaled.
        let victim = &mut workers[kill % 2];
        victim.abort();
        assert!((&mut *victim).await.unwrap_err().is_cancelled());
        *victim = installation.start();
    }
    let changes = stream.await.unwrap();
    until("every run has ended", async || installation.live().await == 0).await;
    for worker in &workers {
        worker.abort();
    }

    let runs = installation.berth.runs.list(None, &RunFilter::default(), Page { after: None, limit: 1000 }).await.unwrap();
    let (carriers, runs): (Vec<_>, Vec<_>) = runs.into_iter().partition(|r| r.definition.name == status::SAGA);
    assert_eq!(runs.len(), CREATES + 1, "each accepted request has its run");
    let existing = installation.local.inventory().unwrap().iter().map(|e| (e.id, e.login.open)).collect();
    let foreign = [installation.operator.clone()];
    let wrong = whole::discrepancies(&installation.store, &*installation.berth.permissions, &existing, &foreign).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    let failed = runs.iter().filter(|r| r.ending == Some(Ending::Failed)).count();
    let shut = installation.local.inventory().unwrap().iter().filter(|e| !e.login.open).count();
    println!(
        "{KILLS} workers killed, {CREATES} creates, {failed} of them failed and left nothing; {changes} freezes and unfreezes by {} runs, \
         {shut} logins shut",
        carriers.len()
    );
    assert!(shut > 0 && changes > 50, "{changes} changes, {shut} shut: nothing was tried");
    assert!(failed > 0 && failed < CREATES, "the faults must hit some and leave some");
}
