//! Secrets are put wherever a client or an operator may put them, rightly or by mistake, and none comes out again: in no answer and, at
//! the most talkative level of all, in no log.

use reqwest::Method;
use serde_json::{Value, json};

use crate::installation::{APP, Installation};
use crate::server::{Server, answer};

/// Everything is logged, of libraries too.
const ALL: (&str, &str) = ("BERTH_LOG__FILTER", "trace");

async fn made(server: &Server, path: &str, body: Value, field: &str) -> String {
    let (status, made) = answer(server.request(Method::POST, path).json(&body).send().await.unwrap()).await;
    assert!(status.is_success(), "{path}: {made}");
    made[field].as_str().unwrap_or_else(|| panic!("{path}: no {field}")).to_owned()
}

/// One of each kind, by what it is.
async fn secrets(server: &Server) -> Vec<(&'static str, String)> {
    let accounts = format!("/v1/accounts/{}/service-accounts", server.account);
    let id = made(server, &accounts, json!({"name": "robot"}), "id").await;
    let client = made(server, &format!("{accounts}/{id}/secrets"), json!({}), "client_secret").await;
    let credentials = json!({"grant_type": "client_credentials", "client_id": id, "client_secret": client});
    let application = made(server, "/v1/tokens", credentials, "access_token").await;
    let long_lived = made(server, "/v1/api-tokens", json!({"name": "nightly"}), "token").await;
    let by_name = format!("/v1/accounts/{}/workspace-tokens", server.account);
    let workspace = made(server, &by_name, json!({"name": "Planted"}), "access_token").await;
    vec![
        ("login", server.token.clone()),
        ("client secret", client),
        ("application token", application),
        ("long-lived token", long_lived),
        ("workspace token", workspace),
    ]
}

/// A request with the secret in each place where one has been seen.
async fn misplaced(server: &Server, secret: &str) -> Vec<(String, Value)> {
    let url = |path: &str| format!("{}{path}", server.url);
    let at = |method: Method, path: &str| server.client.request(method, url(path));
    let ours = |method: Method, path: &str| server.request(method, path);
    let mut broken = secret.to_owned();
    broken.pop();
    let field = |name: &str| json!({"account_id": server.account, "region": "local", "name": "x", name: secret});
    let requests = vec![
        ("bearer", at(Method::GET, "/v1/me").bearer_auth(secret)),
        ("a broken bearer", at(Method::GET, "/v1/me").bearer_auth(&broken)),
        ("a bearer in quotes", at(Method::GET, "/v1/me").bearer_auth(format!("\"{secret}\""))),
        ("another scheme", at(Method::GET, "/v1/me").header("authorization", format!("Token {secret}"))),
        ("no scheme", at(Method::GET, "/v1/me").header("authorization", secret)),
        ("basic", at(Method::POST, "/v1/tokens").basic_auth(secret, Some(secret)).json(&json!({"grant_type": "client_credentials"}))),
        ("a cookie", at(Method::GET, "/v1/me").header("cookie", format!("token={secret}"))),
        ("the query", ours(Method::GET, &format!("/v1/me?access_token={secret}"))),
        ("a known parameter", ours(Method::GET, &format!("/v1/workspaces?cursor={secret}"))),
        ("the path", ours(Method::GET, &format!("/v1/workspaces/{secret}"))),
        ("a path that is none", ours(Method::GET, &format!("/v1/{secret}"))),
        ("a field that is none", ours(Method::POST, "/v1/workspaces").json(&field("token"))),
        ("a word", ours(Method::POST, "/v1/workspaces").json(&field("tenancy_model"))),
        ("a region", ours(Method::POST, "/v1/workspaces").json(&field("region"))),
        ("a slug", ours(Method::POST, "/v1/workspaces").json(&field("slug"))),
        ("an id", ours(Method::POST, "/v1/workspaces").json(&field("account_id"))),
        ("a whole body", ours(Method::POST, "/v1/workspaces").header("content-type", "application/json").body(secret.to_owned())),
        ("a grant", at(Method::POST, "/v1/tokens").json(&json!({"grant_type": secret, "client_id": secret, "client_secret": secret}))),
        ("If-Match", ours(Method::PATCH, &format!("/v1/accounts/{}/settings", server.account)).header("if-match", secret).json(&json!({}))),
        ("Content-Type", ours(Method::POST, "/v1/workspaces").header("content-type", secret).body("{}")),
        ("on behalf of", ours(Method::GET, "/v1/me").header("berth-on-behalf-of", secret)),
        ("traceparent", ours(Method::GET, "/v1/me").header("traceparent", secret)),
    ];
    let mut answers = Vec::new();
    for (place, request) in requests {
        let response = request.send().await.unwrap();
        let headers = format!("{:?}", response.headers());
        let (status, body) = answer(response).await;
        answers.push((format!("{place} ({status}, {headers})"), body));
    }
    answers
}

#[tokio::test]
async fn what_clients_send_comes_out_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[ALL]).await;
    let secrets = secrets(&server).await;
    let mut told = Vec::new();
    for (kind, secret) in &secrets {
        assert!(secret.len() > 60, "{kind}: {secret}");
        for (place, body) in misplaced(&server, secret).await {
            if format!("{place}{body}").contains(&secret[..60]) {
                told.push(format!("{kind} as {}: {}", place.split(" (").next().unwrap(), body["code"]));
            }
        }
    }
    let log = server.log.clone();
    assert!(server.stop().await.success());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("DEBUG") && log.contains("http.request"), "all of it is logged");
    for (kind, secret) in &secrets {
        // The first part of a token says nothing that is secret.
        let secret = if secret.starts_with("eyJ") { secret.rsplit('.').next().unwrap() } else { &secret[..60] };
        told.extend(
            log.lines().find(|line| line.contains(secret)).map(|line| format!("{kind} in the log: {}", &line[..line.len().min(300)])),
        );
    }
    assert_eq!(told, Vec::<String>::new());
}

#[tokio::test]
async fn what_operators_set_comes_out_nowhere() {
    let mut installation = Installation::begun().await;
    let secret = "planted-database-secret";
    let url = installation.url(APP).replacen(APP, &format!("{APP}:{secret}"), 1);
    assert!(url.contains(secret));
    installation.set("BERTH_DATABASE__URL", &url);
    installation.set(ALL.0, ALL.1);
    let (server, worker) = (installation.serve(&[]).await, installation.work().await);
    let checked = installation.says(&["config", "check"], &[]).await;
    assert!(!String::from_utf8(checked.stdout).unwrap().contains(secret));
    let logs = [server.log.clone(), worker.log.clone()];
    assert!(server.stop().await.success() && worker.stop().await.success());
    let key = std::fs::read(installation.folder.path().join("issuer.key")).unwrap();
    for log in logs {
        let log = std::fs::read(log).unwrap();
        let holds = |part: &[u8]| log.windows(part.len()).any(|window| window == part);
        assert!(holds(b"DEBUG"), "all of it is logged");
        assert!(!holds(secret.as_bytes()) && !holds(&key[16..32]));
    }
}
