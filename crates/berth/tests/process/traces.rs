//! Spans over OTLP: what a real collector gets of one request and the run that it made.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use reqwest::Method;
use serde_json::json;

use crate::server::{Server, answer};

type Received = Arc<Mutex<Vec<(String, Span)>>>;

/// A collector that keeps what it gets, with the name of the service.
async fn collector() -> (String, Received) {
    let received = Received::default();
    let sink = received.clone();
    let take = async move |body: Bytes| {
        let request = ExportTraceServiceRequest::decode(body).expect("OTLP in protobuf");
        for resource in request.resource_spans {
            let service = resource
                .resource
                .iter()
                .flat_map(|r| &r.attributes)
                .find(|a| a.key == "service.name")
                .map(|a| format!("{:?}", a.value))
                .unwrap_or_default();
            let spans = resource.scope_spans.into_iter().flat_map(|s| s.spans);
            sink.lock().unwrap().extend(spans.map(|span| (service.clone(), span)));
        }
        ExportTraceServiceResponse::default().encode_to_vec()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", post(take))).await });
    (url, received)
}

#[tokio::test]
async fn a_create_gives_the_requests_span_and_under_it_one_of_each_step() {
    let (endpoint, received) = collector().await;
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("BERTH_LOG__FORMAT", "json"),
        ("BERTH_LOG__FILTER", "debug,hyper=off,h2=off"),
    ];
    let server = Server::start(&folder.path().join("data"), &environment).await;
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let body = json!({"account_id": server.account, "name": "Traced", "region": "local"});
    let request = server.request(Method::POST, "/v1/workspaces").header("traceparent", format!("00-{trace}-{parent}-01"));
    let (_, accepted) = answer(request.header("X-Request-Id", "the-request").json(&body).send().await.unwrap()).await;
    let run = accepted["provisioning_run_id"].as_str().unwrap().to_owned();
    assert_eq!(server.ended(&run).await["state"], "succeeded");
    let log = server.log.clone();
    // What is not exported yet is, before the process ends.
    assert!(server.stop().await.success());

    let spans: Vec<(String, Span)> = received.lock().unwrap().clone();
    assert!(spans.iter().all(|(service, _)| service.contains("berth")));
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, b| {
            write!(text, "{b:02x}").unwrap();
            text
        })
    };
    let of_trace: Vec<&Span> = spans.iter().map(|(_, span)| span).filter(|span| hex(&span.trace_id) == trace).collect();
    let request = of_trace.iter().find(|s| s.name == "POST /v1/workspaces").unwrap_or_else(|| {
        let all: Vec<_> = spans.iter().map(|(_, span)| format!("{} {}", hex(&span.trace_id), span.name)).collect();
        panic!("the request's span is not in its sender's trace; there are {all:#?}")
    });
    assert_eq!(hex(&request.parent_span_id), parent);

    let attribute =
        |span: &Span, key: &str| span.attributes.iter().find(|a| a.key == key).map(|a| format!("{:?}", a.value)).unwrap_or_default();
    let mut steps: BTreeMap<String, &Span> = BTreeMap::new();
    for span in &of_trace {
        if let Some(step) = span.name.strip_prefix("run ") {
            assert_eq!(hex(&span.parent_span_id), hex(&request.span_id), "{step} hangs under the request");
            assert!(attribute(span, "run").contains(&run), "{step} names its run");
            assert!(attribute(span, "request_id").contains("the-request"), "{step} names its request");
            steps.insert(step.to_owned(), span);
        }
    }
    let names: Vec<&str> = steps.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "activate-workspace",
            "backend-dev",
            "backend-prod",
            "backend-staging",
            "create-environments",
            "verify-access",
            "write-relationships"
        ]
    );

    // The log says the same, line by line, each a JSON object of its own.
    let log = std::fs::read_to_string(log).unwrap();
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    }
}

#[tokio::test]
async fn a_collector_that_is_away_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{closed}");
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_TIMEOUT", "500")];
    let server = Server::start(&folder.path().join("data"), &environment).await;
    let (_, accepted) = server.create("Untraced").await;
    assert_eq!(server.ended(accepted["provisioning_run_id"].as_str().unwrap()).await["state"], "succeeded");
    assert!(server.stop().await.success());
}
