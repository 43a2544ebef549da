//! Everything below HTTP, put together over a data folder: database, permissions, backends, issuer, sagas.

use std::sync::Arc;

use api::Issuer;
use domain::berth::{Region, Settings};
use domain::ports::{Backends, Wake};
use domain::{Berth, Change};
use providers::backends::{Faulty, Local, Rates};
use providers::tokens::NoTokens;
use saga::Registry;
use saga::worker::{Options, Worker};
use store::{Db, MigrateError, Store};

use crate::config::Config;
use crate::data_folder::{DataFolder, cannot};
use crate::failure::Failure;
use crate::ids::{RandomIds, RealTimer, system_time};
use crate::{permissions, sagas, telemetry};

const DATABASE: &str = "berth.db";
const ISSUER_KEY: &str = "issuer.key";
const ISSUER_NAME: &str = "berth-dev";
const BACKENDS: &str = "backends";

/// A Berth that can do everything but be asked.
pub struct House {
    pub berth: Berth,
    pub store: Store,
    pub issuer: Arc<Issuer>,
    pub worker: Worker<Change>,
}

struct WakeWorker(saga::worker::Handle);

impl Wake for WakeWorker {
    fn wake(&self) {
        self.0.wake();
    }
}

/// Whether a first start has made a database here.
pub fn has_database(folder: &DataFolder) -> bool {
    folder.path().join(DATABASE).exists()
}

/// Opens what is in the folder, and makes what is not there yet.
///
/// # Errors
/// A database of a newer version, a broken saga file, a key that is none, a full disk: each says what to do.
pub async fn open(config: &Config, folder: &DataFolder) -> Result<House, Failure> {
    let definitions = sagas::definitions(config.dev.sagas.as_deref())?;
    let store = open_store(folder).await?;
    let issuer = Arc::new(issuer(folder)?);
    let permissions = permissions::open(config, &store).await?;
    let backends: Arc<dyn Backends> = backends(config, folder)?;

    let steps = domain::steps::all(&domain::steps::Outside {
        permissions: permissions.clone(),
        backends,
        freezes: Arc::new(store.clone()),
        tokens: Arc::new(NoTokens),
    });
    let mut registry = Registry::default();
    for definition in definitions {
        registry
            .add(definition.scaled(config.dev.time_scale), &steps, domain::steps::on_end)
            .map_err(|e| Failure::new(format!("a saga names code that this binary does not have: {e}. Mend the file, or start the version of Berth that it was written for")))?;
    }
    let registry = Arc::new(registry);
    let (worker, handle) = Worker::new(Arc::new(store.clone()), registry.clone(), options(config));
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
        principals: Arc::new(store.clone()),
        pauses: Arc::new(store.clone()),
        health: Arc::new(store.clone()),
        permissions,
        ids: Arc::new(RandomIds),
        wake: Arc::new(WakeWorker(handle)),
        timer: Arc::new(RealTimer),
        sagas: registry,
        settings: Arc::new(settings(config)),
    };
    Ok(House { berth, store, issuer, worker })
}

async fn open_store(folder: &DataFolder) -> Result<Store, Failure> {
    let path = folder.path().join(DATABASE);
    let unusable = |e: String| Failure::new(format!("the database {} cannot be used: {e}", path.display()));
    let db = Db::open_sqlite(&path).await.map_err(|e| unusable(advised(&e.to_string())))?;
    db.migrate().await.map_err(|e| {
        unusable(match e {
            MigrateError::Failed(text) => advised(&text),
            other => other.to_string(),
        })
    })?;
    Ok(Store::new(db))
}

/// What to do about a sentence of SQLite's.
fn advised(text: &str) -> String {
    let advice = if text.contains("full") {
        "The disk is full: free some space, then start again"
    } else if text.contains("not a database") || text.contains("malformed") {
        "The file is damaged or is something else: restore a backup, or choose another folder with --data-dir DIR"
    } else if text.contains("readonly") || text.contains("unable to open") {
        "Give the user that runs Berth the right to write in the folder, or choose another one with --data-dir DIR"
    } else {
        "Restore a backup, or choose another folder with --data-dir DIR"
    };
    format!("{text}. {advice}")
}

fn issuer(folder: &DataFolder) -> Result<Issuer, Failure> {
    let path = folder.path().join(ISSUER_KEY);
    let key = match std::fs::read(&path) {
        Ok(key) => key,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let key = Issuer::generate_key().map_err(|e| Failure::new(format!("no signing key can be made: {e}")))?;
            folder.write_private(ISSUER_KEY, &key)?;
            key
        }
        Err(e) => return Err(cannot("read the signing key", &path, &e)),
    };
    Issuer::new(&key, ISSUER_NAME, Arc::new(system_time)).map_err(|e| {
        Failure::new(format!(
            "{} is no signing key: {e}. Restore it, or delete it: a new one is made, and all tokens become invalid",
            path.display()
        ))
    })
}

/// The `local` backend of every region, made to fail as `[dev]` says.
fn backends(config: &Config, folder: &DataFolder) -> Result<Arc<dyn Backends>, Failure> {
    let root = folder.path().join(BACKENDS);
    let regions = config.regions.iter().map(|r| r.name.clone());
    let local = Local::open(&root, regions, Arc::new(RandomIds)).map_err(|e| cannot("open the backends' folder", &root, &e))?;
    let dev = &config.dev;
    let rates = Rates { fail: dev.backend_fail_rate, hang: dev.backend_hang_rate, lose_reply: dev.backend_lose_reply_rate };
    let faulty = Faulty::new(local, rates, dev.seed).map_err(|e| Failure::new(format!("`dev`: {e}")))?;
    Ok(Arc::new(faulty))
}

fn settings(config: &Config) -> Settings {
    Settings {
        regions: config.regions.iter().map(|r| Region { name: r.name.clone(), backend: r.backend.clone() }).collect(),
        workspaces_max: i64::from(config.accounts.workspaces_max),
        self_serve_accounts: config.accounts.self_serve,
        purge_after: config.workspaces.purge_after.0,
    }
}

fn options(config: &Config) -> Options {
    let worker = &config.worker;
    Options {
        concurrency: worker.concurrency as usize,
        lease: worker.lease.0,
        renew_every: worker.renew.0,
        poll_every: worker.poll.0,
        drain_for: worker.drain.0,
        span: Arc::new(telemetry::attempt_span),
        ..Options::default()
    }
    .scaled(config.dev.time_scale)
}
