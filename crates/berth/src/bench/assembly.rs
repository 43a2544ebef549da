//! Puts the ports of a Berth together over the bench's store.

use std::sync::Arc;

use domain::berth::{Region, Settings};
use domain::permissions::{Permissions, Tuples};
use domain::ports::Wake;
use domain::{Berth, Change};
use providers::permissions::Embedded;
use saga::Registry;
use saga::worker::Worker;
use store::Store;
use tokio::sync::mpsc::UnboundedSender;

use super::house::REGION;
use super::instant::Instant;
use super::refused;
use super::tap::{Ended, Tap};
use super::worker::options;
use crate::config::Config;
use crate::failure::Failure;
use crate::ids::{RandomIds, RealTimer};
use crate::sagas;

struct WakeWorker(saga::worker::Handle);

impl Wake for WakeWorker {
    fn wake(&self) {
        self.0.wake();
    }

    fn new_run(&self) {
        self.0.new_run();
    }
}

/// A Berth and its worker, which tells `ended` of each run's end.
///
/// # Errors
/// A saga cannot be loaded.
pub fn assemble(store: &Store, ended: UnboundedSender<Ended>, concurrency: usize) -> Result<(Berth, Worker<Change>), Failure> {
    let config = Config::default();
    let tuples: Arc<dyn Tuples> = Arc::new(store.clone());
    let permissions: Arc<dyn Permissions> = Arc::new(Embedded::new(tuples));
    let steps = domain::steps::all(&domain::steps::Outside {
        permissions: permissions.clone(),
        backends: Arc::new(Instant),
        freezes: Arc::new(store.clone()),
        tokens: Arc::new(store.clone()),
    });
    let mut registry = Registry::default();
    for definition in sagas::definitions(None)? {
        registry.add(definition, &steps, domain::steps::on_end).map_err(refused)?;
    }
    let registry = Arc::new(registry);
    let tap = Arc::new(Tap::new(store.clone(), ended));
    let (worker, handle) = Worker::new(tap, registry.clone(), options(store, concurrency));
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
        wake: Arc::new(WakeWorker(handle)),
        timer: Arc::new(RealTimer),
        sagas: registry,
        settings: Arc::new(Settings {
            regions: vec![Region { name: REGION.to_owned(), backend: REGION.to_owned() }],
            workspaces_max: i64::from(u32::MAX),
            self_serve_accounts: true,
            default_workspace: None,
            mint_creates: true,
            purge_after: config.workspaces.purge_after.0,
        }),
    };
    Ok((berth, worker))
}
