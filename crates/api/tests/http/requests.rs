//! What holds for every request: ids, headers, methods, problems, limits, panics.

use std::time::Duration;

use api::Limits;
use axum::body::Body;
use futures::StreamExt as _;
use serde_json::json;

use crate::world::{CONTRACT, Call, Wish, World};

#[tokio::test]
async fn a_request_id_is_echoed_or_made() {
    let world = World::new().await;
    let sent = world.send(Call::get("/v1/nowhere").header("x-request-id", "abc.1-2_3")).await;
    assert_eq!((sent.header("x-request-id"), &sent.json["request_id"]), ("abc.1-2_3", &json!("abc.1-2_3")));
    let made = world.send(Call::get("/v1").header("x-request-id", "<b>")).await;
    assert_eq!(made.header("x-request-id").len(), 36);
    assert_eq!((made.header("cache-control"), made.header("x-content-type-options")), ("no-store", "nosniff"));
}

#[tokio::test]
async fn every_path_answers_options_and_refuses_other_methods_with_allow() {
    let world = World::new().await;
    for operation in CONTRACT.operations() {
        let path = operation.path.replace("{id}", "x").replace("{account_id}", "x").replace("{principal_id}", "x");
        let options = world.send(Call::new("OPTIONS", &path)).await;
        assert_eq!(options.status, 204, "{path}");
        let allowed: Vec<_> = options.header("allow").split(", ").collect();
        assert!(allowed.contains(&operation.method.as_str()) && allowed.contains(&"OPTIONS"), "{path}: {allowed:?}");
        let trace = world.send(Call::new("TRACE", &path)).await;
        assert_eq!(trace.code(), (405, "method_not_allowed"), "{path}");
        assert_eq!(trace.header("allow"), options.header("allow"));
    }
    assert_eq!(world.send(Call::new("OPTIONS", "/v1/nowhere")).await.code(), (404, "route_not_found"));
}

#[tokio::test]
async fn head_is_answered_as_get_without_its_body() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let (head, get) = (world.send(Call::new("HEAD", "/v1/me").user(&ada)).await, world.get("/v1/me", &ada).await);
    assert_eq!((head.status, head.body.len(), head.header("content-type")), (get.status, 0, get.header("content-type")));
    assert_eq!(world.send(Call::new("HEAD", "/v1/me")).await.status, 401);
}

#[tokio::test]
async fn an_id_that_is_none_is_refused_where_it_stands() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    for (path, pointer) in [
        ("/v1/workspaces/7", "{id}"),
        ("/v1/workspaces/%00/environments", "{id}"),
        ("/v1/accounts/00000000000000000000000000000000", "{id}"),
        ("/v1/workspaces/by-account/mine", "{account_id}"),
        ("/v1/provisioning-runs/%F0%9F%9A%A2", "{id}"),
        ("/v1/workspaces/7/vault/keys", "{id}"),
    ] {
        let answer = world.get(path, &ada).await;
        assert_eq!((answer.code(), answer.pointers()), ((400, "invalid_request"), vec![pointer]), "{path}");
    }
    assert_eq!(world.get("/v1/workspaces/%ff", &ada).await.status, 400);
}

#[tokio::test]
async fn a_body_of_another_type_is_415() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"] {
        let call = Call::new("POST", "/v1/accounts").user(&ada).header("content-type", content_type).body("{\"name\": \"Acme\"}");
        assert_eq!(world.send(call).await.code(), (415, "unsupported_media_type"), "{content_type}");
    }
    let call = Call::new("POST", "/v1/accounts").user(&ada).body("{\"name\": \"Acme\"}");
    assert_eq!(world.send(call).await.code(), (415, "unsupported_media_type"));
}

#[tokio::test]
async fn a_slow_body_is_408_and_a_large_one_413() {
    let limits = Limits { body_bytes: 1000, body_timeout: Duration::from_millis(20) };
    let world = World::with(Wish { limits, ..Wish::default() }).await;
    let ada = world.user("ada").await;
    let call = |body: Body| Call::new("POST", "/v1/accounts").user(&ada).header("content-type", "application/json").body(body);
    let stalled = futures::stream::iter([Ok::<_, std::io::Error>("{")]).chain(futures::stream::pending());
    assert_eq!(world.send(call(Body::from_stream(stalled))).await.code(), (408, "request_timeout"));
    let chunks = futures::stream::iter((0..200).map(|_| Ok::<_, std::io::Error>("          ")));
    assert_eq!(world.send(call(Body::from_stream(chunks))).await.code(), (413, "body_too_large"));
    assert_eq!(world.send(call(Body::from("x".repeat(1001))).header("content-length", "1001")).await.code(), (413, "body_too_large"));
}

/// Who sends no valid token learns nothing from the order of the checks.
#[tokio::test]
async fn a_request_is_authenticated_before_anything_else_about_it_is_judged() {
    let world = World::new().await;
    let body = || Body::from("x".repeat(200_000));
    for call in [
        Call::new("POST", "/v1/workspaces?what=1").header("idempotency-key", "\"").body(body()),
        Call::get("/v1/workspaces/7"),
        Call::get("/v1/workspaces?limit=0"),
        Call::new("POST", "/v1/provisioning-runs/7/skip").body(body()),
    ] {
        let answer = world.send(call).await;
        assert_eq!(answer.code(), (401, "unauthenticated"));
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"berth\"");
    }
}
