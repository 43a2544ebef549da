//! Lost connections, servers that are away for a moment, and answers that are not what they should be.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::scripted::{Reply, Scripted, header, json as answer};
use crate::server::PATIENCE;

const ACCOUNT: &str = "7d0f2f0c-9a63-4c55-8d1b-0d3a5a1c77e0";
const WORKSPACE: &str = "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0";
const RUN: &str = "0197b7a2-52a5-7c3e-b9a4-6f1d2c3b4ae0";

fn away() -> Reply {
    let problem = json!({"type": "/problems/unavailable", "title": "A part of the service is away", "status": 503, "detail": "Wait.",
        "code": "unavailable", "request_id": "r"});
    answer("503 Service Unavailable", "Retry-After: 0\r\n", &problem.to_string())
}

#[tokio::test]
async fn a_create_is_sent_again_under_the_same_key_until_it_is_answered() {
    let accepted = json!({"workspace_id": WORKSPACE, "provisioning_run_id": RUN, "status": "provisioning"}).to_string();
    let replies = vec![Reply::Bytes(String::new()), away(), answer("202 Accepted", "", &accepted)];
    let server = Scripted::start(replies).await;
    let create = ["workspaces", "create", "A", "--region", "local", "--account", ACCOUNT];
    let said = server.caller().says(&create).await.ended(0);
    assert!(said.out.contains(WORKSPACE), "{said}");
    assert_eq!(said.err.matches("trying again").count(), 2, "{said}");
    let requests = server.requests();
    let keys: Vec<_> = requests.iter().map(|request| header(request, "idempotency-key").unwrap()).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn what_cannot_be_sent_again_is_not_and_that_is_said() {
    let server = Scripted::start(vec![Reply::Bytes(String::new()), away()]).await;
    let said = server.caller().says(&["workspaces", "freeze", WORKSPACE]).await.ended(6);
    assert!(said.err.contains("It may have been done or not"), "{said}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_of_somebody_in_between_is_told_as_such() {
    let html = |status: &str| Reply::Bytes(format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>"));
    let server = Scripted::start(vec![html("403 Forbidden"), html("200 OK")]).await;
    let refused = server.caller().says(&["accounts", "list"]).await.ended(4);
    assert!(refused.err.contains("The server answered 403 Forbidden, not as Berth does"), "{refused}");
    let odd = server.caller().says(&["accounts", "list"]).await.ended(1);
    assert!(odd.err.contains("does not answer like Berth"), "{odd}");
}

fn run(state: &str) -> String {
    let step = json!({"name": "create-environments", "state": "succeeded", "attempts": 1, "ended_at": "2026-11-22T19:30:00.1Z"});
    json!({"id": RUN, "saga": "create-workspace", "version": 1, "state": state, "terminal": state == "succeeded",
        "outcome": if state == "succeeded" { Some(state) } else { None }, "progress": {"done": 1, "total": 1}, "steps": [step]})
    .to_string()
}

fn events(text: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{text}"))
}

#[tokio::test]
async fn a_stream_of_events_that_breaks_is_taken_up_where_it_broke() {
    let first = "retry: 2000\n\nid: 1\ndata: {\"type\":\"run_started\",\"state\":\"running\",\"at\":\"2026-11-22T19:30:00.1Z\"}\n\n\
        id: 2\ndata: {\"type\":\"step_failed\",\"step\":\"create-environments\",\"attempt\":1,\"state\":\"waiting\",\"at\":\"2026-11-22T19:30:01.1Z\",\"error\":{\"code\":\"x\",\"title\":\"It is away\"}}\n\nid: 3\ndata: {\"ty";
    let second = "id: 3\ndata: {\"type\":\"step_succeeded\",\"step\":\"create-environments\",\"attempt\":2,\"state\":\"running\",\"at\":\"2026-11-22T19:30:02.1Z\"}\n\n\
        id: 4\ndata: {\"type\":\"ended\",\"state\":\"succeeded\",\"at\":\"2026-11-22T19:30:02.2Z\"}\n\n";
    let replies = vec![
        events(first),
        answer("200 OK", "ETag: \"2\"\r\n", &run("waiting")),
        Reply::Bytes(String::new()),
        events(second),
        answer("200 OK", "ETag: \"4\"\r\n", &run("succeeded")),
    ];
    let server = Scripted::start(replies).await;
    let said = server.caller().says(&["runs", "watch", RUN]).await.ended(0);
    let lost = said.err.lines().filter(|line| line.starts_with("berth: cannot reach")).count();
    assert_eq!(lost, 1, "it says once that it waits: {said}");
    let lines: Vec<&str> = said.err.lines().filter(|line| !line.starts_with("berth: ")).collect();
    assert_eq!(
        lines,
        [
            &format!("Run {RUN} create-workspace v1"),
            "19:30:01  create-environments  failed (try 1): It is away",
            "19:30:02  create-environments  succeeded (try 2)",
            &format!("Run {RUN} succeeded: 1/1 steps"),
        ]
    );
    let ids: Vec<_> = server.requests().iter().map(|request| header(request, "last-event-id").map(str::to_owned)).collect();
    assert_eq!(ids, [None, None, Some("2".to_owned()), Some("2".to_owned()), None]);
}

#[tokio::test]
async fn where_there_are_no_events_the_run_is_polled() {
    let missing = json!({"type": "/problems/route_not_found", "title": "No", "status": 404, "detail": "No.", "code": "route_not_found"});
    let replies = vec![
        answer("404 Not Found", "", &missing.to_string()),
        answer("200 OK", "ETag: \"1\"\r\n", &run("running")),
        Reply::Bytes("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nConnection: close\r\n\r\n".to_owned()),
        answer("200 OK", "ETag: \"2\"\r\n", &run("succeeded")),
    ];
    let server = Scripted::start(replies).await;
    let said = server.caller().says(&["runs", "watch", RUN]).await.ended(0);
    assert!(said.err.contains("19:30:00  create-environments  succeeded\n"), "{said}");
    let tags: Vec<_> = server.requests().iter().map(|request| header(request, "if-none-match").map(str::to_owned)).collect();
    assert_eq!(tags, [None, None, Some("\"1\"".to_owned()), Some("\"1\"".to_owned())]);
}

const EXPORT: &str = "record_type,id\r\nworkspace,1\r\n";

fn export(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nExport-Id: e1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{EXPORT}")
}

fn receipt(complete: bool, bytes: usize, sha256: &str) -> Reply {
    answer("200 OK", "", &json!({"id": "e1", "complete": complete, "rows": 1, "bytes": bytes, "sha256": sha256}).to_string())
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn an_export_that_is_whole_takes_its_place_and_any_other_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("ledger.csv");
    std::fs::write(&place, "old").unwrap();
    let command = ["workspaces", "export", WORKSPACE, "--output", place.to_str().unwrap()];
    let whole = sha256(EXPORT);
    for (replies, code, words) in [
        (vec![Reply::Bytes(export(EXPORT.len() + 1))], 6, "the export broke off after 29 bytes"),
        (vec![Reply::Bytes(export(EXPORT.len())), receipt(false, EXPORT.len(), &whole)], 8, "says that it is not complete"),
        (vec![Reply::Bytes(export(EXPORT.len())), receipt(true, EXPORT.len() + 1, &whole)], 8, "29 bytes"),
        (vec![Reply::Bytes(export(EXPORT.len())), receipt(true, EXPORT.len(), &sha256("other"))], 8, "the export is not proven"),
    ] {
        let server = Scripted::start(replies).await;
        let said = server.caller().says(&command).await.ended(code);
        assert!(said.err.contains(words), "{said}");
        assert_eq!(names(folder.path()), ["ledger.csv"], "{said}");
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "old", "{said}");
    }
    let server = Scripted::start(vec![Reply::Bytes(export(EXPORT.len())), receipt(true, EXPORT.len(), &whole)]).await;
    let said = server.caller().says(&command).await.ended(0);
    assert!(
        said.err.contains(&format!("Exported 29 bytes of CSV to {}, checked against the receipt: sha256 {whole}", place.display())),
        "{said}"
    );
    assert_eq!(names(folder.path()), ["ledger.csv"]);
    assert_eq!(std::fs::read_to_string(&place).unwrap(), EXPORT);
    assert!(server.requests()[0].starts_with(&format!("get /v1/workspaces/{WORKSPACE}/export?format=csv ")), "{:?}", server.requests());
    let taken = header(&server.requests()[0], "accept-encoding").unwrap().to_owned();
    assert!(taken.contains("zstd") && taken.contains("gzip"), "{taken}");

    let server = Scripted::start(vec![Reply::Bytes(export(EXPORT.len())), receipt(true, EXPORT.len(), &whole)]).await;
    let piped = server.caller().says(&["workspaces", "export", WORKSPACE, "--format", "ndjson", "--output", "-"]).await.ended(0);
    assert_eq!(piped.out, EXPORT);
    let server = Scripted::start(Vec::new()).await;
    let nowhere = server.caller().says(&["workspaces", "export", WORKSPACE, "--output", "/nowhere/a.csv"]).await.ended(1);
    assert!(nowhere.err.contains("cannot write /nowhere/a.csv") && nowhere.err.contains("Make the folder first"), "{nowhere}");
}

#[tokio::test]
async fn an_export_that_is_interrupted_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("ledger.csv");
    // Ctrl-C, an end that is asked for, and a terminal that is closed.
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut server = Scripted::start(vec![Reply::Hanging(export(EXPORT.len() * 2))]).await;
        let mut command = server.caller().command(&["workspaces", "export", WORKSPACE, "--output", place.to_str().unwrap()]);
        let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        server.replied().await;
        assert_eq!(names(folder.path()).len(), 1, "the part that is being written");
        kill_process(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap(), signal).unwrap();
        let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
        assert_eq!(status.code(), Some(130), "{signal:?}");
        assert!(names(folder.path()).is_empty(), "{signal:?}");
    }
}
