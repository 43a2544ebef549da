//! Everything below HTTP, put together: the ports of a running Berth, the definitions of its sagas, and the worker that
//! executes them. `berth dev`, `serve` and `work` differ in what they bring ([`Parts`]) and in what they run of it.

pub mod backends;
pub mod housekeeping;
pub mod issuer;
pub mod outside;
pub mod reconciliation;

use std::sync::Arc;

use domain::berth::{DefaultWorkspace, Region, Settings};
use domain::names::Name;
use domain::permissions::RelationshipPages;
use domain::ports::{Backends, Ids as _, Wake};
use domain::{Berth, Change};
use saga::Registry;
use saga::worker::{Handle, Options, Worker};
use store::{Hint, Hints, Store};

use crate::config::Config;
use crate::failure::Failure;
use crate::ids::{RandomIds, RealTimer};
use crate::permissions::{self, Opened};
use crate::{sagas, telemetry};

/// What a house is put together from.
pub struct Parts {
    pub store: Store,
    pub backends: Arc<dyn Backends>,
}

/// A Berth that can do everything but be asked. Runs that nobody executes stay due: whoever does not run `worker` leaves them
/// to other processes.
pub struct House {
    pub berth: Berth,
    pub store: Store,
    pub worker: Worker<Change>,
    /// The worker of this process.
    pub handle: Handle,
    /// What other processes are told.
    pub hints: Hints,
    /// What the permission system holds, from one end to the other.
    pub held: Arc<dyn RelationshipPages>,
}

/// Tells this process's worker, and through the database those of others.
struct WakeWorkers {
    here: Handle,
    elsewhere: Hints,
}

impl Wake for WakeWorkers {
    fn wake(&self) {
        self.here.wake();
        self.elsewhere.tell(Hint::Wake);
    }

    fn new_run(&self) {
        self.here.new_run();
        self.elsewhere.tell(Hint::NewRun);
    }
}

/// Puts a house together; starts nothing.
///
/// # Errors
/// A saga file that is broken, or that names code which this binary does not have; a key or certificate of the permission system's
/// that cannot be read.
pub async fn assemble(config: &Config, parts: Parts) -> Result<House, Failure> {
    let Parts { store, backends } = parts;
    let Opened { permissions, held } = permissions::open(config, &store).await?;
    let steps = domain::steps::all(&domain::steps::Outside {
        permissions: permissions.clone(),
        backends,
        freezes: Arc::new(store.clone()),
        tokens: Arc::new(store.clone()),
    });
    let mut registry = Registry::default();
    for definition in sagas::definitions(config.dev.sagas.as_deref())? {
        registry
            .add(definition.scaled(config.dev.time_scale), &steps, domain::steps::on_end)
            .map_err(|e| Failure::new(format!("a saga names code that this binary does not have: {e}. Mend the file, or start the version of Berth that it was written for")))?;
    }
    let registry = Arc::new(registry);
    let options = Options { commits_at_once: store.commits_at_once(), ..options(config) };
    let (worker, handle) = Worker::new(Arc::new(store.clone()), registry.clone(), options);
    let hints = Hints::new(RandomIds.free());
    let berth = Berth {
        accounts: Arc::new(store.clone()),
        workspaces: Arc::new(store.clone()),
        freezes: Arc::new(store.clone()),
        edits: Arc::new(store.clone()),
        deletions: Arc::new(store.clone()),
        members: Arc::new(store.clone()),
        runs: Arc::new(store.clone()),
        audit: Arc::new(store.clone()),
        exports: Arc::new(store.exports(config.export.concurrent as usize)),
        retention: Arc::new(store.clone()),
        principals: Arc::new(store.clone()),
        service_accounts: Arc::new(store.clone()),
        api_tokens: Arc::new(store.clone()),
        tokens: Arc::new(store.clone()),
        account_settings: Arc::new(store.clone()),
        identities: Arc::new(store.clone()),
        pauses: Arc::new(store.clone()),
        health: Arc::new(store.clone()),
        permissions,
        ids: Arc::new(RandomIds),
        wake: Arc::new(WakeWorkers { here: handle.clone(), elsewhere: hints.clone() }),
        timer: Arc::new(RealTimer),
        sagas: registry,
        settings: Arc::new(settings(config)),
    };
    Ok(House { berth, store, worker, handle, hints, held })
}

fn settings(config: &Config) -> Settings {
    Settings {
        regions: config.regions.iter().map(|r| Region { name: r.name.clone(), backend: r.backend.clone() }).collect(),
        workspaces_max: i64::from(config.accounts.workspaces_max),
        self_serve_accounts: config.accounts.self_serve,
        default_workspace: default_workspace(config),
        mint_creates: config.tokens.create_workspaces,
        purge_after: config.workspaces.purge_after.0,
    }
}

/// As the settings have it, which were checked when they were read.
fn default_workspace(config: &Config) -> Option<DefaultWorkspace> {
    let name = Name::parse("", config.accounts.default_workspace.as_deref()?).ok()?;
    let region = config.accounts.default_workspace_region.as_ref().or(config.regions.first().map(|only| &only.name))?;
    Some(DefaultWorkspace { name, region: region.clone() })
}

fn options(config: &Config) -> Options {
    let worker = &config.worker;
    Options {
        concurrency: worker.concurrency as usize,
        lease: worker.lease.0,
        renew_every: worker.renew.0,
        poll_every: worker.poll.0,
        drain_for: worker.drain.0,
        draws: worker.per_backend.map(|attempts| ("backend".to_owned(), attempts as usize)).into_iter().collect(),
        limits: worker.per_account.map(|runs| ("account".to_owned(), runs as usize)).into_iter().collect(),
        span: Arc::new(telemetry::attempt_span),
        ..Options::default()
    }
    .scaled(config.dev.time_scale)
}
