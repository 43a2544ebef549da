//! A process that serves or works until it is told to stop: its listeners, its worker and its loops, and how they end.
//!
//! SIGTERM and SIGINT drain it within 30 seconds: nothing new is begun, what is open ends or is handed on. A second signal
//! stops it at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{Authenticator, Denials, ExportOptions, Issuer, Issuers, Limits, Pace, PerMinute, Rates, Streams, TrustedProxies};
use domain::{Berth, Change};
use metrics_exporter_prometheus::PrometheusHandle;
use saga::worker::Worker;
use store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::config::{self, Config};
use crate::failure::Failure;
use crate::house::issuer::keep_fresh;
use crate::house::{housekeeping, outside};
use crate::ids::system_time;
use crate::telemetry;

/// After this a drain is over, whatever is still at work; the journal takes care of it.
const DRAINED_WITHIN: Duration = Duration::from_secs(28);
/// What tasks that do not look up get when all else has ended.
const LAST_TASKS: Duration = Duration::from_millis(500);

/// Runs a future on a runtime of its own, and does not wait for what it leaves behind.
///
/// # Errors
/// The future's, or that there is no runtime.
pub fn on_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("the runtime cannot start: {e}. Free some memory or threads, then start again")))?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(LAST_TASKS);
    result
}

/// What runs in this process. Everything hears of `stop`, and ends.
pub struct Process {
    signals: Signals,
    metrics: PrometheusHandle,
    stop: CancellationToken,
    worker: Option<JoinHandle<()>>,
    others: JoinSet<()>,
    denials: Option<Denials>,
}

impl Process {
    /// Nothing runs yet; from here on signals are heard and measurements kept.
    ///
    /// # Errors
    /// Signals cannot be received, or metrics not be set up.
    pub fn new() -> Result<Self, Failure> {
        let signals = Signals::new()?;
        let metrics = admin::recorder()?;
        admin::describe();
        Ok(Self { signals, metrics, stop: CancellationToken::new(), worker: None, others: JoinSet::new(), denials: None })
    }

    /// Waits for a signal to stop.
    pub async fn told(&mut self) -> &'static str {
        self.signals.next().await
    }

    /// Executes runs, and does what nobody waits for.
    pub fn work(&mut self, config: &Config, berth: &Berth, worker: Worker<Change>, housekeeping: Duration) {
        let (poll, is_first) = (housekeeping.mul_f64(config.dev.time_scale), worker.is_first());
        self.worker = Some(tokio::spawn(worker.run(self.stop.clone())));
        self.others.spawn(housekeeping::run(berth.clone(), poll, config.runs.keep.0, is_first, self.stop.clone()));
    }

    /// Answers the API's requests.
    ///
    /// # Errors
    /// A setting that the listener cannot use.
    pub fn serve(
        &mut self,
        config: &Config,
        berth: &Berth,
        authenticator: Arc<dyn Authenticator>,
        issuer: Arc<Issuer>,
        listener: TcpListener,
    ) -> Result<(), Failure> {
        let authenticator = Arc::new(Issuers::new(berth.clone(), authenticator, outside::issuers(config)?, Arc::new(system_time)));
        let mut state = api::State::new(berth.clone(), authenticator, Arc::new(system_time));
        state.issuer = Some(issuer.clone());
        self.spawn(move |stop| keep_fresh(issuer, stop));
        state.limits = Limits {
            body_bytes: usize::try_from(config.server.body_limit.0).unwrap_or(usize::MAX),
            body_timeout: config.server.body_timeout.0,
        };
        state.rates = Rates::new(per_minute(&config.rates), berth.clone(), Arc::new(system_time));
        state.streams = Streams::new(config.server.streams as usize, Pace { longest: config.server.stream_for.0, ..Pace::default() });
        state.exports =
            ExportOptions { default_format: config.export.default_format, slow_reader_timeout: config.export.slow_reader_timeout.0 };
        state.trusted_proxies = TrustedProxies::parse(&config.server.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>())
            .map_err(|e| Failure::new(format!("`server.trusted_proxies`: {e}")))?;
        state.trace_link = telemetry::link_request;
        state.name_span = telemetry::name_span;
        state.draining = self.stop.clone();
        let denials = state.denials.clone();
        self.others.spawn(denials.clone().run(self.stop.clone()));
        self.denials = Some(denials);
        self.spawn_listener(listener, api::router(state), DRAINED_WITHIN);
        Ok(())
    }

    /// Answers the operators' questions.
    /// `rewrites_audit`: whether the database would let this process change audit entries, where that can be told.
    pub fn observe(&mut self, berth: &Berth, store: &Store, listener: TcpListener, rewrites_audit: Option<bool>) {
        let (berth, engine, metrics) = (berth.clone(), Arc::new(store.clone()), self.metrics.clone());
        let admin = Admin { berth, engine, metrics, rewrites_audit, draining: self.stop.clone() };
        self.spawn_listener(listener, admin::router(admin), Duration::from_secs(1));
    }

    fn spawn_listener(&mut self, listener: TcpListener, router: axum::Router, drain: Duration) {
        let stop = self.stop.clone();
        self.others.spawn(async move {
            if let Err(error) = api::serve::serve(listener, router, stop, drain).await {
                tracing::error!(%error, "a listener ended by itself");
            }
        });
    }

    /// Runs something else that ends when it hears of the token.
    pub fn spawn<F: Future<Output = ()> + Send + 'static>(&mut self, task: impl FnOnce(CancellationToken) -> F) {
        let task = task(self.stop.clone());
        self.others.spawn(task);
    }

    /// Waits until the process is told to stop, and drains it.
    ///
    /// # Errors
    /// The worker ended by itself.
    pub async fn run(mut self, store: &Store) -> Result<(), Failure> {
        let ended_early = tokio::select! {
            signal = self.signals.next() => {
                tracing::info!(signal, "draining");
                false
            }
            panicked = ended(&mut self.worker) => {
                tracing::error!(panicked, "the worker ended by itself; draining");
                true
            }
        };
        self.stop.cancel();
        let drained = async {
            if !ended_early {
                ended_or_none(&mut self.worker).await;
            }
            while self.others.join_next().await.is_some() {}
            if let Some(denials) = &self.denials {
                // After the last request: nothing can be denied any more.
                denials.drain().await;
            }
        };
        tokio::select! {
            () = drained => tracing::info!("drained"),
            () = tokio::time::sleep(DRAINED_WITHIN) => tracing::warn!("stopped before all had ended; the next start takes it up"),
            _ = self.signals.next() => tracing::warn!("stopped at once; the next start takes up what was at work"),
        }
        store.db().close().await;
        if ended_early { Err(Failure::new("the worker ended by itself. The log says why; start again")) } else { Ok(()) }
    }
}

fn per_minute(rates: &config::Rates) -> PerMinute {
    PerMinute {
        requests_of_principal: rates.principal,
        requests_of_account: rates.account,
        failures_of_source: rates.failures_per_source,
        failures_of_credential: rates.failures_per_credential,
    }
}

/// Whether the worker panicked, once it has ended; never, where there is none.
async fn ended(worker: &mut Option<JoinHandle<()>>) -> bool {
    match worker {
        Some(worker) => worker.await.is_err(),
        None => std::future::pending().await,
    }
}

async fn ended_or_none(worker: &mut Option<JoinHandle<()>>) {
    if let Some(worker) = worker {
        let _ = worker.await;
    }
}

/// Listens; `flag` and `setting` are what the sentence of a refusal names.
///
/// # Errors
/// The address cannot be had.
pub async fn bind(wanted: SocketAddr, flag: &str, setting: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(wanted).await.map_err(|e| {
        let advice = match e.kind() {
            std::io::ErrorKind::AddrInUse => "Another process has this port",
            std::io::ErrorKind::PermissionDenied => "Ports below 1024 need privileges",
            _ => "This machine cannot listen there",
        };
        Failure::new(format!("cannot listen on {wanted}: {e}. {advice}: choose another with {flag} ADDRESS:PORT, or in `{setting}`"))
    })
}

/// The URL that a client on this machine uses.
///
/// # Errors
/// The listener has no address.
pub fn url(listener: &TcpListener) -> Result<String, Failure> {
    let mut address = listener.local_addr().map_err(|e| Failure::new(format!("the listener has no address: {e}")))?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(format!("http://{address}"))
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
