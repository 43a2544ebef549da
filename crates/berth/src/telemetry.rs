//! The log, and spans exported over OTLP.
//!
//! The request's span continues its sender's trace; the span of each attempt of a step continues the request's, whose
//! `traceparent` the run carries. Nothing is exported unless the standard variables ask for it.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use saga::machine::Launch;
use saga::ports::Facts;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{Environment, Log, LogFormat};
use crate::failure::Failure;

/// Exports what is not exported yet when it is dropped; drop it outside any runtime.
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take()
            && let Err(e) = provider.shutdown()
        {
            eprintln!("berth: the last spans could not be exported: {e}");
        }
    }
}

/// Sets up the log and, if the environment asks for it, the export of spans. Call it once, outside any runtime.
///
/// # Errors
/// A filter or an exporter that cannot be built.
pub fn start(log: &Log, environment: &Environment) -> Result<Telemetry, Failure> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|e| Failure::new(format!("`log.filter` cannot be used: {e}")))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(true).boxed(),
    };
    let provider = provider(environment)?;
    let spans = provider.as_ref().map(|provider| {
        // The exporter's own requests must not make spans of their own.
        let ours = tracing_subscriber::filter::filter_fn(|metadata| metadata.is_span() && metadata.level() <= &tracing::Level::INFO);
        tracing_opentelemetry::layer().with_tracer(provider.tracer("berth")).with_location(false).with_threads(false).with_filter(ours)
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(spans)
        .try_init()
        .map_err(|e| Failure::new(format!("the log cannot be set up: {e}")))?;
    Ok(Telemetry { provider })
}

fn provider(environment: &Environment) -> Result<Option<SdkTracerProvider>, Failure> {
    let set = |name: &str| environment.get(name).is_some_and(|v| !v.is_empty());
    let off = environment.get("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    if off || !(set("OTEL_EXPORTER_OTLP_ENDPOINT") || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")) {
        return Ok(None);
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .build()
        .map_err(|e| Failure::new(format!("spans cannot be exported as the OTEL_ variables say: {e}")))?;
    let mut resource = Resource::builder();
    if !set("OTEL_SERVICE_NAME") {
        resource = resource.with_service_name("berth");
    }
    Ok(Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build()))
}

/// Ties a request's span to its sender's trace, and gives the `traceparent` for what continues from here: the span's
/// own where spans are exported, otherwise what was sent.
pub fn link_request(span: &Span, sent: Option<&str>) -> Option<String> {
    if let Some(remote) = sent.and_then(parse) {
        continue_trace(span, remote);
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    if own.is_valid() {
        return Some(format!("00-{}-{}-{:02x}", own.trace_id(), own.span_id(), own.trace_flags().to_u8()));
    }
    sent.map(str::to_owned)
}

/// Names a span that has begun.
pub fn name_span(span: &Span, name: &str) {
    span.context().span().update_name(name.to_owned());
}

/// The span of one attempt of a step, in the trace of the request that made the run.
pub fn attempt_span(facts: &Facts, launch: Launch, step: &str) -> Span {
    let span = tracing::info_span!(
        "saga.step",
        otel.name = format!("{} {step}", if launch.undo { "undo" } else { "run" }),
        run = %facts.run,
        saga = facts.definition.name,
        step,
        attempt = launch.attempt,
        undo = launch.undo,
        request_id = facts.trace.get("request_id"),
    );
    if let Some(remote) = facts.trace.get("traceparent").map(String::as_str).and_then(parse) {
        continue_trace(&span, remote);
    }
    span
}

fn continue_trace(span: &Span, remote: SpanContext) {
    // It can fail only where no spans are exported, or the log's filter leaves this one out.
    let _ = span.set_parent(Context::new().with_remote_span_context(remote));
}

/// `00-TRACE-SPAN-FLAGS`; anything else is passed over, as the standard asks.
fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version != "00" || parts.next().is_some() || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_traceparent_of_version_0_is_continued() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = parse(good).unwrap();
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(context.is_sampled());
        for bad in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473z-00f067aa0ba902b7-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
