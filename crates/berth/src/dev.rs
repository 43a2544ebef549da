//! `berth dev`: a whole Berth in one process, with nothing to set up.
//!
//! API, worker, SQLite, embedded permissions, a token issuer and the `local` backend over one data folder. It may be
//! killed at any moment; the next start takes up what was left. SIGTERM and SIGINT drain it within 30 seconds.

mod control;
mod environment_file;
mod first_start;
pub mod folder;
pub mod token;

use crate::config::{Config, Environment, Rates};
use crate::data_folder::DataFolder;
use crate::failure::Failure;
use crate::house::House;
use crate::house::reconciliation::Reconciliation;
use crate::process::{Process, bind, on_runtime, url};
use crate::telemetry;
use control::Control;

/// Serves until it is told to stop.
///
/// # Errors
/// It cannot start; the sentence says what to do.
pub fn run(config: &Config, environment: &Environment) -> Result<(), Failure> {
    // Spans are flushed when this goes, after the runtime.
    let _telemetry = telemetry::start(&config.log, environment)?;
    on_runtime(serve(config))
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let mut process = Process::new()?;
    let data = DataFolder::open(&config.data.dir)?;
    let listener = bind(config.server.listen, "--listen", "server.listen").await?;
    let admin_listener = bind(config.server.admin_listen, "--admin-listen", "server.admin_listen").await?;
    let (url, admin_url) = (url(&listener)?, url(&admin_listener)?);
    let (House { berth, store, worker, held, .. }, issuer) = folder::open(config, &data).await?;
    let control = Control::listen(&data)?;

    process.work(config, &berth, worker, config.worker.poll.0);
    if let Some(reconciliation) = Reconciliation::new(config, berth.clone(), store.clone(), held) {
        process.spawn(|stop| reconciliation.run(stop));
    }
    let tenant = tokio::select! {
        tenant = first_start::ensure(&berth) => tenant?,
        _ = process.told() => return Ok(()),
    };
    let lines = environment_file::write(&data, &config.data.dir, &issuer, &berth, &tenant, &url).await?;
    // Whoever tries something is not to be slowed down, unless it is just that.
    let mut served = config.clone();
    if served.rates == Rates::default() {
        served.rates = Rates { principal: 0, account: 0, failures_per_source: 0, failures_per_credential: 0 };
    }
    process.serve(&served, &berth, issuer.clone(), issuer.clone(), listener)?;
    process.observe(&berth, &store, admin_listener, None);
    process.spawn(|stop| control.serve(berth, issuer, stop));

    crate::print(&format!("Berth is ready on {url} (metrics and readiness on {admin_url}).\n\n{lines}"))?;
    process.run(&store).await
}
