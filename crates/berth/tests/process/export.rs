//! A large export from a real server: it comes whole, and the server's memory stays flat.

use std::path::Path;

use reqwest::Method;
use serde_json::json;
use store::Db;
use testkit::bulk::append_entries;
use uuid::Uuid;

use crate::server::Server;

const ENTRIES: u32 = 200_000;
/// How much the resident set may grow, in KiB.
const GROWTH_MAX: u64 = 64 * 1024;

/// The process's resident set now, in KiB.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Writes the entries straight into the file of a stopped server.
async fn fill(dir: &Path, account: &str, workspace: &str) {
    let db = Db::open_sqlite(&dir.join("berth.db")).await.unwrap();
    append_entries(&db, account.parse().unwrap(), Some(workspace.parse::<Uuid>().unwrap()), ENTRIES).await;
    db.close().await;
}

#[tokio::test]
async fn two_hundred_thousand_entries_are_exported_in_flat_memory() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = Server::start(&dir, &[]).await;
    let (_, created) = server.create("Large").await;
    server.ended(created["provisioning_run_id"].as_str().unwrap()).await;
    let workspace = created["workspace_id"].as_str().unwrap().to_owned();
    let account = server.account.clone();
    assert!(server.stop().await.success());
    fill(&dir, &account, &workspace).await;

    let server = Server::start(&dir, &[]).await;
    let path = format!("/v1/workspaces/{workspace}/export");
    // What the first export of a process needs once, such as a connection, is not what this is about.
    let small = server.request(Method::GET, &format!("{path}?include=workspace")).send().await.unwrap();
    small.bytes().await.unwrap();
    for format in ["csv", "ndjson"] {
        let before = resident(&server);
        let mut response = server
            .request(Method::GET, &format!("{path}?format={format}&include=audit"))
            .header("Accept-Encoding", "identity")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let id = response.headers()["export-id"].to_str().unwrap().to_owned();
        let (mut bytes, mut lines, mut most) = (0_u64, 0_usize, before);
        while let Some(piece) = response.chunk().await.unwrap() {
            bytes += piece.len() as u64;
            lines += piece.split(|b| *b == b'\n').count() - 1;
            most = most.max(resident(&server));
        }
        assert!(lines > ENTRIES as usize, "{lines} lines");
        let (_, receipt) = server.get(&format!("/v1/exports/{id}")).await;
        assert_eq!((&receipt["complete"], &receipt["bytes"]), (&json!(true), &json!(bytes)));
        let growth = most - before;
        println!("{format}: {} MiB exported, the resident set grew from {before} by {growth} KiB", bytes >> 20);
        assert!(growth < GROWTH_MAX, "the resident set grew from {before} KiB by {growth} KiB");
    }
    let id = broken_by_death(server, &path).await;
    let server = Server::start(&dir, &[]).await;
    let (_, receipt) = server.get(&format!("/v1/exports/{id}")).await;
    assert_eq!((&receipt["complete"], &receipt["ended_at"]), (&json!(false), &json!(null)), "nobody was left to end it");
    assert!(server.stop().await.success());
}

/// Kills the server in the middle of an export, whose id it returns.
async fn broken_by_death(mut server: Server, path: &str) -> String {
    let mut response = server.request(Method::GET, path).send().await.unwrap();
    response.chunk().await.unwrap().unwrap();
    server.child.kill().await.unwrap();
    let ended = loop {
        match response.chunk().await {
            Ok(Some(_)) => {}
            ended => break ended,
        }
    };
    assert!(ended.is_err(), "an answer that was cut short ended like a whole one");
    response.headers()["export-id"].to_str().unwrap().to_owned()
}
