//! `berth audit verify`: of a running Berth, and of files without any.

use std::path::Path;

use serde_json::{Value, json};

use crate::caller::{Caller, Said};
use crate::server::Server;

/// The chain of the server's account, one entry a line.
async fn chain(server: &Server) -> Vec<String> {
    let (_, entries) = server.get(&format!("/v1/accounts/{}/audit?order=asc&limit=1000", server.account)).await;
    entries.as_array().unwrap().iter().map(Value::to_string).collect()
}

async fn verified(folder: &Path, lines: &[String], arguments: &[&str]) -> Said {
    let file = folder.join("audit.ndjson");
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let arguments: Vec<&str> = ["audit", "verify", file.to_str().unwrap()].into_iter().chain(arguments.iter().copied()).collect();
    Caller::default().says(&arguments).await
}

#[tokio::test]
async fn a_chain_is_proven_online_and_a_file_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let (_, made) = server.create("Ledger").await;
    server.ended(made["provisioning_run_id"].as_str().unwrap()).await;
    let caller = Caller::of(&server);

    let online = caller.says(&["audit", "verify", "--output", "json"]).await.ended(0).json();
    let lines = chain(&server).await;
    assert!(lines.len() >= 4);
    let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    let place = format!("{}:{}", last["seq"], last["hash"].as_str().unwrap());
    assert_eq!((&online["verified"], &online["entries"], &online["place"]), (&json!(true), &json!(lines.len()), &json!(place)));
    let said = caller.says(&["audit", "verify"]).await.ended(0);
    assert!(said.out.contains(&format!("from 1 to {}", lines.len())) && said.out.contains(&place), "{said}");
    caller.says(&["audit", "verify", "--expect", &place]).await.ended(0);
    let unknown = format!("2:{}", "0".repeat(64));
    let rewritten = caller.says(&["audit", "verify", "--expect", &unknown]).await.ended(8);
    assert!(rewritten.err.contains("broken at entry 2") && rewritten.err.contains("rewritten"), "{rewritten}");

    drop(server);
    by_hand(folder.path(), &lines, true);
    let offline = verified(folder.path(), &lines, &["--output", "json"]).await.ended(0);
    assert_eq!(offline.json(), online);
    let seq = |said: Said| said.ended(8).json()["first_bad_seq"].clone();
    let mut flipped = lines.clone();
    flipped[2] = flipped[2].replacen("workspace", "workspacf", 1);
    assert_eq!(seq(verified(folder.path(), &flipped, &["-o", "json"]).await), 3);
    by_hand(folder.path(), &flipped, false);
    let mut removed = lines.clone();
    removed.remove(1);
    assert_eq!(seq(verified(folder.path(), &removed, &["-o", "json"]).await), 2);
    let mut swapped = lines.clone();
    swapped.swap(1, 2);
    assert_eq!(seq(verified(folder.path(), &swapped, &["-o", "ndjson"]).await), 2);
    assert_eq!(seq(verified(folder.path(), &lines[1..], &["-o", "json"]).await), 1, "the head is cut off");
    assert_eq!(seq(verified(folder.path(), &lines[..3], &["-o", "json", "--expect", &place]).await), 4, "so is the tail, for who knows");
    let told = verified(folder.path(), &flipped, &[]).await.ended(8);
    assert!(told.err.starts_with("berth: the chain is broken at entry 3: its content does not match its hash\n"), "{told}");
    let first: Value = serde_json::from_str(&lines[0]).unwrap();
    let after = format!("1:{}", first["hash"].as_str().unwrap());
    verified(folder.path(), &lines[1..], &["--after", &after]).await.ended(0);
}

/// An export tells of the account's whole chain: its own workspace's entries, and links across all others.
#[tokio::test]
async fn a_workspaces_export_proves_the_chain_that_it_is_part_of() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let caller = Caller::of(&server);
    for name in ["Other", "Ledger"] {
        caller.says(&["workspaces", "create", name, "--wait"]).await.ended(0);
    }
    let before = chain(&server).await.len();
    let online = caller.says(&["audit", "verify", "--workspace", "ledger", "-o", "json"]).await.ended(0).json();
    // The export is in the log itself: its start stands there before its snapshot is taken.
    assert_eq!((&online["verified"], &online["last_seq"]), (&json!(true), &json!(before + 1)), "{online}");

    let export = folder.path().join("ledger.ndjson");
    caller.says(&["workspaces", "export", "ledger", "--output", export.to_str().unwrap()]).await.ended(0);
    let lines: Vec<String> = std::fs::read_to_string(&export).unwrap().lines().map(str::to_owned).collect();
    let of = |kind: &str| lines.iter().position(|line| line.starts_with(&format!("{{\"type\":\"{kind}\""))).unwrap();
    let (link, entry) = (of("audit_link"), of("audit_entry"));
    assert!(link < entry, "the account and the other workspace were there before");
    let seq = |line: usize| serde_json::from_str::<Value>(&lines[line]).unwrap()["record"]["seq"].clone();
    drop(server);

    let told = verified(folder.path(), &lines, &["-o", "json"]).await.ended(0).json();
    assert_eq!(told["verified"], true);
    assert!(told["entries"].as_u64() > online["entries"].as_u64(), "the verification was an export, too");
    let bad = async |lines: Vec<String>| verified(folder.path(), &lines, &["-o", "json"]).await.ended(8).json()["first_bad_seq"].clone();
    let mut flipped = lines.clone();
    flipped[entry] = flipped[entry].replacen("workspace.create", "workspace.delete", 1);
    assert_ne!(flipped, lines);
    assert_eq!(bad(flipped.clone()).await, seq(entry));
    let mut removed = lines.clone();
    removed.remove(link + 1);
    assert_eq!(bad(removed).await, seq(link + 1));
    let mut swapped = lines.clone();
    swapped.swap(entry, entry + 1);
    assert_eq!(bad(swapped).await, seq(entry));

    by_hand(folder.path(), &lines, true);
    by_hand(folder.path(), &flipped, false);
}

/// Runs what `docs/audit.md` gives for Python.
fn by_hand(folder: &Path, lines: &[String], proven: bool) {
    let guide = include_str!("../../../../docs/audit.md");
    let code = guide.split_once("```python\n").and_then(|(_, rest)| rest.split_once("```")).unwrap().0;
    let file = folder.join("by-hand.ndjson");
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let log = std::fs::File::open(file).unwrap();
    let said = std::process::Command::new("python3").args(["-c", code]).stdin(log).output().unwrap();
    let told = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.success(), proven, "{told}");
    assert!(proven || told.contains("is not as it was written"), "{told}");
}

#[tokio::test]
async fn a_file_that_is_no_log_is_not_proven() {
    let folder = tempfile::tempdir().unwrap();
    let cut_off = [json!({"type": "workspace", "record": {}}).to_string()];
    let said = verified(folder.path(), &cut_off, &[]).await.ended(8);
    assert!(said.err.contains("cut off"), "{said}");
    verified(folder.path(), &["id,seq".to_owned()], &[]).await.ended(8);
    for other in ["record_type,id", "{\"workspace\":["] {
        let said = verified(folder.path(), &[other.to_owned()], &[]).await.ended(2);
        assert!(said.err.contains("--format ndjson"), "{said}");
    }
    Caller::default().says(&["audit", "verify", "/nowhere/audit.ndjson"]).await.ended(1);
    Caller::default().says(&["audit", "verify", "x", "--expect", "7"]).await.ended(2);
    Caller::default().says(&["audit", "verify", "x", "--workspace", "y"]).await.ended(2);
}
