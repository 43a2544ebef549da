//! The only HTTP of Berth: requests in, use cases called, answers and problems out.
//!
//! [`router`] makes the whole API from a [`State`]; [`serve::serve`] puts it on a socket. No rule of the domain is
//! decided here: a handler parses, calls one use case, and words its answer.

mod accounts;
mod api_tokens;
mod audit;
pub mod audited;
mod body;
mod caller;
mod cursor;
mod document;
mod exports;
mod freezes;
mod health;
mod idempotency;
pub mod identity;
mod if_match;
mod index;
mod issuing;
mod me;
mod members;
mod middleware;
mod openapi;
mod pages;
mod path;
mod pauses;
mod peer;
pub mod problem;
mod query;
mod rates;
mod regions;
mod routes;
mod runs;
pub mod scope;
pub mod serve;
mod service_accounts;
mod streams;
mod timestamp;
pub mod tokens;
mod users;
mod watch;
mod workspaces;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use domain::Berth;
use tokio_util::sync::CancellationToken;

pub use audited::Denials;
pub use exports::ExportOptions;
pub use identity::{Issuers, OutsideAlgorithm, OutsideIssuer, Trust};
pub use middleware::{NameSpan, TraceLink, forward_trace, leave_unnamed};
pub use openapi::openapi_yaml;
pub use peer::TrustedProxies;
pub use rates::{PerMinute, Rates};
pub use streams::{Pace, Streams};
pub use tokens::{
    Authenticator, Claims, Clock, Grant, Issuer, KeyError, KeyFile, KeyStore, PrivateKey, Rejection, SigningKey, TokenError, TokenKind,
};
pub use watch::Watch;

/// What the handlers work with: one pointer, because each layer of each request takes a copy. A handle can be changed until it is served.
#[derive(Clone)]
pub struct State(Arc<Parts>);

impl Deref for State {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl DerefMut for State {
    fn deref_mut(&mut self) -> &mut Parts {
        Arc::make_mut(&mut self.0)
    }
}

/// What a [`State`] is made of.
#[derive(Clone)]
pub struct Parts {
    pub berth: Berth,
    pub authenticator: Arc<dyn Authenticator>,
    /// Signs the tokens that this API gives; `None`: it gives none.
    pub issuer: Option<Arc<Issuer>>,
    pub limits: Limits,
    /// How often anybody may ask.
    pub rates: Rates,
    pub exports: ExportOptions,
    pub trusted_proxies: TrustedProxies,
    /// Ties spans to the sender's trace; [`forward_trace`] where nothing is exported.
    pub trace_link: TraceLink,
    /// Names the request's span; [`leave_unnamed`] where nothing is exported.
    pub name_span: NameSpan,
    /// Serves the long polls and event streams.
    pub watch: Watch,
    pub streams: Streams,
    /// Records who was denied what. Whoever serves runs it, and drains it at the end.
    pub denials: Denials,
    /// Fires when the process drains: long polls answer at once, event streams end, readiness says no.
    pub draining: CancellationToken,
}

/// What a single request may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body that is read.
    pub body_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 64 * 1024, body_timeout: Duration::from_secs(10) }
    }
}

/// How often the poller of [`State::watch`] asks for news.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(100);

impl State {
    /// A state with the default limits, none of rates, no trusted proxy, no exported traces, and not draining, which takes tokens of `authenticator` only,
    /// unless their user is revoked. The clock is this process's.
    #[must_use]
    pub fn new(berth: Berth, authenticator: Arc<dyn Authenticator>, clock: Clock) -> Self {
        let watch = Watch::new(berth.runs.clone(), WATCH_INTERVAL);
        Self(Arc::new(Parts {
            denials: Denials::new(berth.clone(), clock),
            authenticator: Arc::new(tokens::Standing { berth: berth.clone(), inner: authenticator }),
            berth,
            issuer: None,
            limits: Limits::default(),
            rates: Rates::default(),
            exports: ExportOptions::default(),
            trusted_proxies: TrustedProxies::default(),
            trace_link: forward_trace,
            name_span: leave_unnamed,
            watch,
            streams: Streams::default(),
            draining: CancellationToken::new(),
        }))
    }
}

/// The whole API, ready to be served.
pub fn router(state: State) -> axum::Router {
    let (table, document) = routes::routes().split_for_parts();
    let audited = (state.clone(), audited::Actions::of(&document));
    let served = table
        .fallback(middleware::no_such_route)
        .layer(axum::middleware::from_fn_with_state(audited, middleware::around))
        .with_state(state.clone());
    // A router of its own around them: the methods that a path allows are known only outside of the router that has it.
    axum::Router::new().fallback_service(served).layer(axum::middleware::from_fn_with_state(state, middleware::envelop))
}
