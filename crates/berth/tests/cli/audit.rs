//! `berth audit`: looked through, and followed.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::caller::{Caller, normal};
use crate::server::{PATIENCE, Server};

#[tokio::test]
async fn the_log_is_looked_through_and_followed_entry_by_entry() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let caller = Caller::of(&server);
    caller.says(&["workspaces", "create", "One", "--wait"]).await.ended(0);

    let listed = caller.says(&["audit", "list", "--workspace", "One"]).await.ended(0);
    let lines: Vec<String> = normal(&listed.out).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[0], "SEQ TIME WHO ACTION OUTCOME TARGET REASON");
    assert!(lines[1].contains(" TIME berth run.end succeeded "), "the newest first, and nobody's: {listed}");
    assert!(lines[2].contains("workspace.create accepted workspace "), "{listed}");
    let created = caller.says(&["audit", "list", "--action", "workspace.create", "-o", "json"]).await.ended(0).json();
    assert_eq!(created.as_array().unwrap().len(), 1, "{created}");
    let actor = created[0]["actor"]["id"].as_str().unwrap();
    let mine = caller.says(&["audit", "list", "--actor", actor, "--since", "1h", "--outcome", "accepted", "-o", "json"]).await.ended(0);
    assert!(mine.json().as_array().unwrap().iter().all(|entry| entry["actor"]["id"] == actor), "{mine}");
    let named = caller.says(&["audit", "list", "--actor", "developer", "--outcome", "accepted"]).await.ended(0);
    assert!(named.out.lines().skip(1).all(|line| line.contains("  user developer  ")), "{named}");
    let nobody = caller.says(&["audit", "list", "--actor", "nobody"]).await.ended(3);
    assert!(nobody.err.contains("no member is called nobody"), "{nobody}");
    caller.says(&["audit", "list", "--outcome", "denyed"]).await.ended(2);
    let before = caller.says(&["audit", "list", "--before", "1h"]).await.ended(0);
    assert_eq!(before.out, "No entries.\n");

    let mut child = caller.command(&["audit", "follow", "-o", "ndjson"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut entries = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || {
        let line = tokio::time::timeout(PATIENCE, entries.next_line()).await.expect("an entry comes").unwrap().unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    let mut seq = 0;
    while seq < created[0]["seq"].as_u64().unwrap() {
        seq = next().await["seq"].as_u64().unwrap();
    }
    caller.says(&["workspaces", "create", "Two", "--wait"]).await.ended(0);
    loop {
        let entry = next().await;
        seq += 1;
        assert_eq!(entry["seq"], seq, "none is left out, none comes twice");
        if entry["action"] == "run.end" && seq > created[0]["seq"].as_u64().unwrap() + 2 {
            break;
        }
    }
    kill_process(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap(), Signal::INT).unwrap();
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(130));
}
