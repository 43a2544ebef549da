//! Input that no honest client sends, over a raw socket: never a 5xx, nothing lost, and the server goes on.

use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server::{PATIENCE, Server};

/// Sends bytes; returns all that comes back until the server closes, or the head and body of one answer.
async fn send(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    // The server may have answered and closed before all was sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = async {
        let mut buffer = [0_u8; 4096];
        loop {
            match stream.read(&mut buffer).await {
                Ok(n) if n > 0 => answer.extend_from_slice(&buffer[..n]),
                _ => return,
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the server closes a connection that it was asked to close");
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(server: &Server, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /v1/workspaces HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        server.token,
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

fn create(server: &Server, fields: &str) -> Vec<u8> {
    post(server, format!("{{\"account_id\": \"{}\", \"region\": \"local\", {fields}}}", server.account).as_bytes())
}

fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").and_then(|a| a.get(..3)).and_then(|s| s.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn no_input_gives_a_500_and_none_stops_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        Server::start(&folder.path().join("data"), &[("BERTH_SERVER__BODY_TIMEOUT", "300ms"), ("BERTH_SERVER__BODY_LIMIT", "64KiB")]).await;
    let ten_thousand = "x".repeat(10_000);
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let huge = "a".repeat(1 << 20);
    let token = server.token.clone();
    let raw = |text: String| text.into_bytes();
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n".to_vec(), &[400, 0]),
        ("a NUL in the path", b"GET /v1/\0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(), &[400, 0]),
        ("a huge header", raw(format!("GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Big: {huge}\r\n\r\n")), &[431, 400, 0]),
        (
            "a huge token",
            raw(format!("GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n", "y".repeat(20_000))),
            &[401],
        ),
        (
            "bytes in a token",
            b"GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer \xff\xfe\r\n\r\n".to_vec(),
            &[401],
        ),
        (
            "two lengths",
            raw(format!(
                "POST /v1/workspaces HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"
            )),
            &[400, 0],
        ),
        (
            "a slow body",
            raw(format!(
                "POST /v1/workspaces HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
            )),
            &[408],
        ),
        (
            "an invalid percent",
            raw(format!("GET /v1/workspaces/%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n")),
            &[400, 404, 422],
        ),
        ("a body that is none", post(&server, b""), &[400]),
        ("broken JSON", post(&server, b"{\"name\": "), &[400]),
        ("invalid UTF-8", post(&server, b"{\"name\": \"\xff\xfe\"}"), &[400]),
        ("a lone surrogate", create(&server, r#""name": "\ud800""#), &[400]),
        ("deep nesting", post(&server, deep.as_bytes()), &[400]),
        ("a huge body", post(&server, huge.as_bytes()), &[413]),
        ("the wrong type", create(&server, r#""name": 7"#), &[400]),
        ("an array", post(&server, b"[]"), &[400]),
        ("null", post(&server, b"null"), &[400]),
        ("an unknown field", create(&server, r#""name": "a", "nmae": "b""#), &[400]),
        ("a field twice", create(&server, r#""name": "a", "name": "b""#), &[400]),
        ("a NUL in the name", create(&server, r#""name": "a\u0000b""#), &[422]),
        ("a name of 10,000 characters", create(&server, &format!("\"name\": \"{ten_thousand}\"")), &[422]),
        ("an empty name", create(&server, r#""name": """#), &[422]),
        ("a bad slug", create(&server, r#""name": "a", "slug": "../../etc""#), &[422]),
        ("right to left and emoji", create(&server, r#""name": "مساحة العمل 🚢🏴‍☠️""#), &[202]),
        ("only emoji", create(&server, r#""name": "🚢""#), &[202]),
    ];
    for (what, bytes, expected) in cases {
        let answer = send(&server, &bytes).await;
        let status = status(&answer);
        assert!(expected.contains(&status), "{what}: {status}, not among {expected:?}\n{}", answer.chars().take(600).collect::<String>());
        if status >= 400 && answer.contains("\r\n\r\n{") {
            assert!(answer.contains("application/problem+json"), "{what}: {answer}");
        }
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        assert!(!body.contains(".rs:") && !body.contains("sqlx"), "{what} tells of the inside: {answer}");
    }
    assert_eq!(server.get("/v1/me").await.0, StatusCode::OK);
    let log = server.log();
    assert!(!log.contains("panicked") && !log.contains(" ERROR "), "{log}");
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn many_connections_that_say_nothing_do_not_keep_others_out() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let mut silent = Vec::new();
    for i in 0..300 {
        let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
        if i % 2 == 0 {
            stream.write_all(b"GET /v1/me HT").await.unwrap();
        }
        silent.push(stream);
    }
    assert_eq!(server.get("/v1/me").await.0, StatusCode::OK);
    assert!(server.stop().await.success(), "they do not keep it from draining either");
}
