//! Input that means harm: never a 500, never a loss, always a sentence.

use serde_json::{Value, json};

use crate::world::{Call, World};

fn raw(body: impl Into<Vec<u8>>) -> Call {
    Call::new("POST", "/v1/workspaces").header("content-type", "application/json").body(body.into())
}

#[tokio::test]
async fn what_is_no_json_object_is_refused() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let deep = "[".repeat(100_000);
    let nested = format!("{{\"name\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let huge_number = format!("{{\"name\": 1{}}}", "0".repeat(1_000));
    for (body, code) in [
        (&b"{"[..], (400, "malformed_json")),
        (b"", (400, "invalid_request")),
        (b"nul", (400, "malformed_json")),
        (b"null", (400, "invalid_request")),
        (b"[]", (400, "invalid_request")),
        (b"\"x\"", (400, "invalid_request")),
        (b"{} {}", (400, "malformed_json")),
        (b"{\"name\": \"\xff\xfe\"}", (400, "malformed_json")),
        (b"\xef\xbb\xbf{}", (400, "malformed_json")),
        (b"{\"name\": \"\\ud800\"}", (400, "malformed_json")),
        (b"{\"name\": NaN}", (400, "malformed_json")),
        (deep.as_bytes(), (413, "body_too_large")),
        (&deep.as_bytes()[..50_000], (400, "invalid_request")),
        (nested.as_bytes(), (400, "malformed_json")),
        (huge_number.as_bytes(), (400, "malformed_json")),
    ] {
        let answer = world.send(raw(body).user(&ada)).await;
        assert_eq!(answer.code(), code, "{:.40}: {}", String::from_utf8_lossy(body), answer.text());
    }
}

#[tokio::test]
async fn a_field_that_is_given_twice_is_refused() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let body = format!(r#"{{"account_id": "{}", "name": "a", "name": "b", "region": "local"}}"#, uuid::Uuid::nil());
    let answer = world.send(raw(body).user(&ada)).await;
    assert_eq!((answer.code(), answer.pointers()), ((400, "invalid_request"), vec!["/name"]));
}

#[tokio::test]
async fn names_of_every_script_come_back_as_they_were_sent() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    for name in ["مساحة العمل", "סביבה 1", "分析", "👩‍👩‍👧 team 🚢", "Zo\u{308}e", "O'Brien\"; drop table workspaces; --", "</script>", "%00"]
    {
        let body = json!({"account_id": account, "name": name, "region": "local"});
        let created = world.post("/v1/workspaces", &ada, body).await;
        assert_eq!(created.status, 202, "{name}: {}", created.text());
        let read = world.get(&format!("/v1/workspaces/{}", created.id("workspace_id")), &ada).await;
        assert_eq!(read.json["name"], json!(name));
    }
}

#[tokio::test]
async fn names_that_no_one_can_read_are_refused() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let long = "x".repeat(10_000);
    let wide = "🚢".repeat(10_000);
    for name in ["", " ", "a\0b", "a\nb", "\u{202e}gpj", &long, &wide] {
        let body = json!({"account_id": account, "name": name, "region": "local"});
        let answer = world.post("/v1/workspaces", &ada, body).await;
        assert_eq!((answer.code(), answer.pointers()[0]), ((422, "invalid_values"), "/name"), "{name:.10}");
        assert_eq!(world.post("/v1/accounts", &ada, json!({ "name": name })).await.status, 422, "{name:.10}");
    }
    assert_eq!(world.get("/v1/workspaces", &ada).await.json, json!([]));
}

/// NUL is a character that PostgreSQL keeps in no text: it must be stopped in every field that takes one.
#[tokio::test]
async fn nul_is_refused_in_every_text() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let account = world.account(&ada).await;
    let created = world.create_workspace(&ada, account, "Sales").await;
    let with = |field: &str| {
        let mut body = json!({"account_id": account, "name": "n", "region": "local", "slug": "s"});
        body[field] = json!("a\0b");
        body
    };
    for field in ["name", "region", "slug", "account_id", "tenancy_model", "on_failure"] {
        let answer = world.post("/v1/workspaces", &ada, with(field)).await;
        assert!(matches!(answer.status.as_u16(), 400 | 422), "{field}: {}", answer.text());
        assert!(answer.pointers().contains(&format!("/{field}").as_str()), "{field}: {}", answer.text());
    }
    for (verb, field) in [("cancel", "comment"), ("retry", "comment"), ("retry", "step"), ("skip", "comment"), ("abandon", "comment")] {
        let mut body = json!({"comment": "c"});
        body[field] = json!("a\0b");
        let answer = world.post(&format!("{}/{verb}", created.location()), &ada, body).await;
        assert!(answer.status.is_client_error(), "{verb} {field}: {}", answer.text());
    }
}

#[tokio::test]
async fn strange_headers_do_no_harm() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let huge = "x".repeat(60_000);
    for (name, value) in [
        ("user-agent", huge.as_bytes()),
        ("user-agent", b"\xff\xfe\x80"),
        ("x-forwarded-for", b"1.2.3.4"),
        ("traceparent", huge.as_bytes()),
        ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-request-id", huge.as_bytes()),
        ("if-none-match", huge.as_bytes()),
        ("accept", b"text/html"),
        ("content-type", b"\xff"),
    ] {
        let answer = world.send(Call::get("/v1/me").user(&ada).header(name, value)).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
    for value in [huge.as_bytes(), b"Bearer \xff", b"Bearer", b"Bearer a.b.c", b"Basic YTpi"] {
        let answer = world.send(Call::get("/v1/me").header("authorization", value)).await;
        assert_eq!(answer.code(), (401, "invalid_token"));
    }
}

#[tokio::test]
async fn many_fields_and_long_keys_are_one_refusal() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let fields: serde_json::Map<String, Value> = (0..2_000).map(|n| (format!("f/{n}~"), json!(n))).collect();
    let answer = world.post("/v1/accounts", &ada, Value::Object(fields)).await;
    assert_eq!(answer.code(), (400, "invalid_request"));
    assert_eq!(answer.pointers().len(), 2_001);
}
