//! `berth dev`: a whole Berth in one process, with nothing to set up.
//!
//! API, worker, SQLite, embedded permissions, a token issuer and the `local` backend over one data folder. It may be
//! killed at any moment; the next start takes up what was left. SIGTERM and SIGINT drain it within 30 seconds.

mod control;
mod environment_file;
mod first_start;
mod grant;
mod house;
mod housekeeping;
mod inventory;
pub mod token;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{ExportOptions, Limits, Pace, Streams, TrustedProxies};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::config::{Config, Environment};
use crate::data_folder::DataFolder;
use crate::failure::Failure;
use crate::ids::system_time;
use crate::telemetry;
use control::Control;
use house::House;

pub use inventory::inventory;

/// After this a drain is over, whatever is still at work; the journal takes care of it.
const DRAINED_WITHIN: Duration = Duration::from_secs(28);
/// What tasks that do not look up get when all else has ended.
const LAST_TASKS: Duration = Duration::from_millis(500);

/// Serves until it is told to stop.
///
/// # Errors
/// It cannot start; the sentence says what to do.
pub fn run(config: &Config, environment: &Environment) -> Result<(), Failure> {
    // Spans are flushed when this goes, after the runtime.
    let _telemetry = telemetry::start(&config.log, environment)?;
    on_runtime(serve(config))
}

/// Runs a future on a runtime of its own, and does not wait for what it leaves behind.
fn on_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("the runtime cannot start: {e}. Free some memory or threads, then start again")))?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_TASKS);
    result
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let folder = DataFolder::open(&config.data.dir)?;
    let listener = bind(config.server.listen, "--listen", "server.listen").await?;
    let admin_listener = bind(config.server.admin_listen, "--admin-listen", "server.admin_listen").await?;
    let url = format!("http://{}", reachable(address(&listener)?));
    let admin_url = format!("http://{}", reachable(address(&admin_listener)?));
    let metrics = admin::recorder()?;
    admin::describe();
    let House { berth, store, issuer, worker } = house::open(config, &folder).await?;
    let control = Control::listen(&folder)?;

    let stop = CancellationToken::new();
    let mut worker = tokio::spawn(worker.run(stop.clone()));
    let tenant = tokio::select! {
        tenant = first_start::ensure(&berth) => tenant?,
        _ = signals.next() => return Ok(()),
    };
    let lines = environment_file::write(&folder, &config.data.dir, &issuer, &berth, &tenant, &url)?;

    let mut state = api::State::new(berth.clone(), issuer.clone(), Arc::new(system_time));
    state.limits = Limits {
        body_bytes: usize::try_from(config.server.body_limit.0).unwrap_or(usize::MAX),
        body_timeout: config.server.body_timeout.0,
    };
    state.streams = Streams::new(config.server.streams as usize, Pace { longest: config.server.stream_for.0, ..Pace::default() });
    state.exports =
        ExportOptions { default_format: config.export.default_format, slow_reader_timeout: config.export.slow_reader_timeout.0 };
    state.trusted_proxies = TrustedProxies::parse(&config.server.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>())
        .map_err(|e| Failure::new(format!("`server.trusted_proxies`: {e}")))?;
    state.trace_link = telemetry::link_request;
    state.name_span = telemetry::name_span;
    state.draining = stop.clone();
    let denials = state.denials.clone();
    let flushed = tokio::spawn(denials.clone().run(stop.clone()));
    let admin = admin::router(Admin { berth: berth.clone(), engine: Arc::new(store.clone()), metrics });
    let served = tokio::spawn(api::serve::serve(listener, api::router(state), stop.clone(), DRAINED_WITHIN));
    let watched = tokio::spawn(api::serve::serve(admin_listener, admin, stop.clone(), Duration::from_secs(1)));
    let poll = config.worker.poll.0.mul_f64(config.dev.time_scale);
    let housekept = tokio::spawn(housekeeping::run(berth.clone(), poll, stop.clone()));
    let controlled = tokio::spawn(control.serve(berth, issuer, stop.clone()));

    crate::print(&format!("Berth is ready on {url} (metrics and readiness on {admin_url}).\n\n{lines}"))?;
    let ended_early = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "draining");
            false
        }
        ended = &mut worker => {
            tracing::error!(panicked = ended.is_err(), "the worker ended by itself; draining");
            true
        }
    };
    stop.cancel();
    let drained = async {
        let worker = async {
            if !ended_early {
                let _ = worker.await;
            }
        };
        let _ = tokio::join!(worker, served, watched, controlled, flushed, housekept);
        // After the last request: nothing can be denied any more.
        denials.drain().await;
    };
    tokio::select! {
        () = drained => tracing::info!("drained"),
        () = tokio::time::sleep(DRAINED_WITHIN) => tracing::warn!("stopped before all had ended; the next start takes it up"),
        _ = signals.next() => tracing::warn!("stopped at once; the next start takes up what was at work"),
    }
    store.db().close().await;
    if ended_early { Err(Failure::new("the worker ended by itself. The log says why; start again")) } else { Ok(()) }
}

async fn bind(wanted: SocketAddr, flag: &str, setting: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(wanted).await.map_err(|e| {
        let advice = match e.kind() {
            std::io::ErrorKind::AddrInUse => "Another process has this port",
            std::io::ErrorKind::PermissionDenied => "Ports below 1024 need privileges",
            _ => "This machine cannot listen there",
        };
        Failure::new(format!("cannot listen on {wanted}: {e}. {advice}: choose another with {flag} ADDRESS:PORT, or in `{setting}`"))
    })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|e| Failure::new(format!("the listener has no address: {e}")))
}

/// The address that a client on this machine uses.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let make = |kind| signal(kind).map_err(|e| Failure::new(format!("signals cannot be received: {e}")));
        Ok(Self { terminate: make(SignalKind::terminate())?, interrupt: make(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
