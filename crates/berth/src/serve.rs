//! `berth serve` and `berth work`: any number of processes on one PostgreSQL. They keep nothing of their own, and any of them
//! may die at any moment; what it was at is taken up by the others.

use std::time::Duration;

use api::KeyFile;
use store::{Hint, Store};

use crate::config::{Config, DatabaseUrl, Environment};
use crate::failure::Failure;
use crate::house::issuer::Keyring;
use crate::house::reconciliation::Reconciliation;
use crate::house::{self, House, Parts};
use crate::process::{Process, bind, on_runtime, url};
use crate::{database, telemetry};

/// How often a process without anything to do looks for what others have left to be done at some time.
const IDLE_HOUSEKEEPING: Duration = Duration::from_secs(20);

/// What a process does.
#[derive(Debug, Clone, Copy)]
pub struct Roles {
    /// Answers the API's requests.
    pub serves: bool,
    /// Executes runs, and does what nobody waits for.
    pub works: bool,
}

/// Runs until it is told to stop.
///
/// # Errors
/// It cannot start; the sentence says what to do.
pub fn run(config: &Config, environment: &Environment, roles: Roles) -> Result<(), Failure> {
    // Spans are flushed when this goes, after the runtime.
    let _telemetry = telemetry::start(&config.log, environment)?;
    on_runtime(run_here(config, roles))
}

async fn run_here(config: &Config, roles: Roles) -> Result<(), Failure> {
    let mut process = Process::new()?;
    let key_file = if roles.serves { Some(key_file(config)?) } else { None };
    let listener = if roles.serves { Some(bind(config.server.listen, "--listen", "server.listen").await?) } else { None };
    let admin_listener = bind(config.server.admin_listen, "--admin-listen", "server.admin_listen").await?;
    let admin_url = url(&admin_listener)?;
    let db = database::open(config).await?;
    let rewrites_audit = db
        .may_rewrite_audit()
        .await
        .map_err(|e| Failure::new(format!("the rights of the database's role cannot be read: {}", saga::StoreError::from(e))))?;
    if rewrites_audit {
        tracing::warn!(
            "the database's role may change and remove audit entries: connect as a role that `berth migrate --runtime-role NAME` has set up"
        );
    }
    if config.dev != crate::config::Dev::default() {
        tracing::warn!("settings of `dev` are in force: they are for trying and testing");
    }
    let backends = if roles.works { house::backends::open(config, &config.data.dir)? } else { house::backends::closed(config)? };
    let House { berth, store, worker, handle, hints, held } = house::assemble(config, Parts { store: Store::new(db), backends }).await?;

    let mut does = Vec::new();
    if let (Some(file), Some(listener)) = (key_file, listener) {
        let keyring = Keyring::new(config, &store, file);
        let issuer = keyring.open(&berth, &config.issuer.name, false).await?;
        does.push(format!("serves on {}", url(&listener)?));
        process.serve(config, &berth, issuer.clone(), issuer, listener)?;
    }
    if roles.works {
        does.push("works".to_owned());
        process.work(config, &berth, worker, IDLE_HOUSEKEEPING);
        if let Some(reconciliation) = Reconciliation::new(config, berth.clone(), store.clone(), held) {
            process.spawn(|stop| reconciliation.run(stop));
        }
        let (db, hints, direct) = (store.db().clone(), hints.clone(), config.database.direct_url.clone());
        process.spawn(move |stop| async move {
            let heard = |hint| match hint {
                Hint::NewRun => handle.new_run(),
                Hint::Wake => handle.wake(),
            };
            if let Err(error) = db.listen(direct.as_ref().map(DatabaseUrl::secret), &hints, stop, heard).await {
                tracing::warn!(%error, "hints of other processes are not heard: what they make is found by looking");
            }
        });
    }
    let db = store.db().clone();
    process.spawn(move |stop| async move { db.send(hints, stop).await });
    process.observe(&berth, &store, admin_listener, Some(rewrites_audit));
    crate::print(&format!("Berth {} (metrics and readiness on {admin_url}).\n", does.join(" and ")))?;
    process.run(&store).await
}

/// The key file that the settings name.
///
/// # Errors
/// None is named, or it cannot be used.
pub fn key_file(config: &Config) -> Result<KeyFile, Failure> {
    let path = config.issuer.key_file.as_deref().ok_or_else(|| {
        Failure::new(
            "tokens cannot be told apart without a key: make one with `berth generate-key FILE`, and name it in `issuer.key_file` \
             (BERTH_ISSUER__KEY_FILE), the same for all processes",
        )
    })?;
    let none = || Failure::new(format!("there is no signing key {}: make one with `berth generate-key FILE`", path.display()));
    house::issuer::read(path, "Name a file that `berth generate-key FILE` made")?.ok_or_else(none)
}
