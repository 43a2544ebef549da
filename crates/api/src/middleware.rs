//! What every request goes through: an id, a span, metrics, and a promise that each refusal is a problem.
//!
//! [`envelop`] is the outermost layer: it names the request, writes out problems, answers OPTIONS, and sets the headers that
//! every response carries. [`around`] goes around each route: it catches its panics, tells what is left of its caller's rates, and has
//! denials recorded.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State as Extracted};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;
use tracing::{Instrument as _, Span, field};

use crate::audited::{self, Actions};
use crate::problem::{Code, Problem};
use crate::{State, rates};

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const REQUEST_ID_MAX: usize = 128;

/// The id of a request, given by its sender or made here.
#[derive(Debug, Clone)]
pub struct RequestId(pub Arc<str>);

/// The W3C trace context of the request's span.
#[derive(Debug, Clone)]
pub struct TraceParent(pub String);

/// Ties a request's span to its sender's trace and returns the `traceparent` that goes on from here.
///
/// The binary passes one that knows its exporter; [`forward_trace`] only hands on what the sender sent.
pub type TraceLink = fn(&Span, Option<&str>) -> Option<String>;

/// Names a request's span once its route is known, which is after the span has begun.
pub type NameSpan = fn(&Span, &str);

/// For a binary that exports nothing: the log's lines carry method and route.
pub fn leave_unnamed(_: &Span, _: &str) {}

#[must_use]
pub fn forward_trace(_: &Span, sent: Option<&str>) -> Option<String> {
    sent.map(ToOwned::to_owned)
}

pub async fn envelop(Extracted(state): Extracted<State>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = sent_id(request.headers()).unwrap_or_else(|| state.berth.ids.free().to_string().into());
    let method = request.method().clone();
    let span = tracing::info_span!(
        "http.request",
        otel.kind = "server",
        method = %method,
        route = field::Empty,
        request_id = &*id,
        status = field::Empty,
        code = field::Empty,
    );
    let sent = request.headers().get(TRACEPARENT).and_then(|v| v.to_str().ok()).filter(|v| is_traceparent(v));
    if let Some(trace) = (state.trace_link)(&span, sent) {
        request.extensions_mut().insert(TraceParent(trace));
    }
    request.extensions_mut().insert(RequestId(id.clone()));

    let response = next.run(request).instrument(span.clone()).await;
    let matched = response.extensions().get::<Matched>().cloned();
    let route = matched.as_ref().map_or("none", |m| m.0.as_str());
    let response = finished(response, &method, &id);
    let status = response.status();
    (state.name_span)(&span, &format!("{} {route}", known(&method)));
    span.record("route", route);
    span.record("status", status.as_u16());
    if let Some(problem) = response.extensions().get::<Problem>() {
        span.record("code", problem.code().as_str());
    }
    measured(&method, route, status, started);
    response
}

/// The route that served a request, as its response tells.
#[derive(Clone)]
struct Matched(MatchedPath);

/// What goes around each route, from the outside in: one layer, because each costs a request a copy of all that is inside it.
pub async fn around(Extracted((state, actions)): Extracted<(State, Actions)>, request: Request, next: Next) -> Response {
    let watched = async |request| audited::watch(&state, &actions, request, async |request| next.run(request).await).await;
    guard(request, async |request| rates::tell(request, watched).await).await
}

/// Tells which route it was, and turns a handler's panic into an answer.
async fn guard(request: Request, next: impl AsyncFnOnce(Request) -> Response) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = AssertUnwindSafe(next(request)).catch_unwind().await.unwrap_or_else(|panic| panicked(&*panic));
    if let Some(route) = route {
        response.extensions_mut().insert(Matched(route));
    }
    response
}

fn measured(method: &Method, route: &str, status: StatusCode, started: Instant) {
    let method = known(method);
    metrics::counter!("http_requests_total", "method" => method, "route" => route.to_owned(), "status" => status.as_u16().to_string())
        .increment(1);
    metrics::histogram!("http_request_duration_seconds", "method" => method, "route" => route.to_owned()).record(started.elapsed());
}

/// A method as a metric's label: a stranger must not be able to make new time series.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// `X-Request-Id` as it was sent, if it is `[A-Za-z0-9._-]{1,128}`.
fn sent_id(headers: &HeaderMap) -> Option<Arc<str>> {
    let right = |t: &&str| {
        (1..=REQUEST_ID_MAX).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    headers.get(REQUEST_ID).and_then(|v| v.to_str().ok()).filter(right).map(Into::into)
}

/// `version-trace-parent-flags` in lower-case hex, neither id all zeros.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |t: &str, length: usize| t.len() == length && t.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let [version, trace, parent, flags] = parts[..] else { return false };
    hex(version, 2)
        && version != "ff"
        && hex(trace, 32)
        && hex(parent, 16)
        && hex(flags, 2)
        && trace.bytes().any(|b| b != b'0')
        && parent.bytes().any(|b| b != b'0')
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(cause = message.unwrap_or("no message"), "a handler panicked");
    Problem::of(Code::InternalError).into_response()
}

/// The response as it goes out.
fn finished(mut response: Response, method: &Method, request_id: &str) -> Response {
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response = wrong_method(&response, method);
    }
    if let Some(problem) = response.extensions().get::<Problem>() {
        let body = problem.text(request_id);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        *response.body_mut() = if method == Method::HEAD { Body::empty() } else { body.into() };
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    // What may be kept says so itself.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The router's bare 405 knows the methods of the path: for OPTIONS that is the answer, for others a problem.
fn wrong_method(response: &Response, method: &Method) -> Response {
    let allowed = response.headers().get(header::ALLOW).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut methods: Vec<&str> = allowed.split(',').map(str::trim).filter(|m| !m.is_empty()).collect();
    methods.push("OPTIONS");
    let text = methods.join(", ");
    let allow = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("OPTIONS"));
    if method == Method::OPTIONS {
        return (StatusCode::NO_CONTENT, [(header::ALLOW, allow)]).into_response();
    }
    Problem::new(Code::MethodNotAllowed, format!("This path takes {text}.")).header(header::ALLOW, allow).into_response()
}

pub async fn no_such_route() -> Problem {
    Problem::of(Code::RouteNotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_kept_if_it_can_do_no_harm() {
        let of = |text: &str| sent_id(&HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_bytes(text.as_bytes()).unwrap())]));
        assert_eq!(of("a.B_9-").as_deref(), Some("a.B_9-"));
        assert!(of(&"x".repeat(128)).is_some());
        for bad in ["", "a b", "é", "<script>", &"x".repeat(129)] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_trace_context_is_taken_only_if_it_is_one() {
        assert!(is_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}
