//! A whole Berth whose permissions are in a SpiceDB: its schema is written by a command, and it is killed in the middle of runs.

use std::process::Output;

use reqwest::StatusCode;
use testkit::spicedb::SpiceDb;
use tokio::process::Command;

use crate::server::{PATIENCE, Server, text};

pub fn settings(spicedb: &SpiceDb) -> [(&str, &str); 3] {
    [
        ("BERTH_PERMISSIONS__KIND", "spicedb"),
        ("BERTH_PERMISSIONS__ENDPOINT", spicedb.endpoint.as_str()),
        ("BERTH_PERMISSIONS__KEY", "a-key-that-nobody-may-see"),
    ]
}

pub const KEYS: &[&str] = &["a-key-that-nobody-may-see"];

async fn berth(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).kill_on_drop(true);
    tokio::time::timeout(PATIENCE, command.output()).await.expect("the command ends").unwrap()
}

#[tokio::test]
async fn the_schema_is_written_by_a_command_and_the_key_is_not_shown() {
    let spicedb = SpiceDb::in_memory(KEYS);
    let environment = settings(&spicedb);
    let missing = berth(&["permissions", "schema", "check"], &environment).await;
    assert!(!missing.status.success());
    assert!(text(&missing.stderr).contains("+ definition workspace"), "{}", text(&missing.stderr));
    let written = berth(&["permissions", "schema", "write"], &environment).await;
    assert!(written.status.success(), "{}", text(&written.stderr));
    assert!(text(&written.stdout).contains("+ definition workspace"));
    let checked = berth(&["permissions", "schema", "check"], &environment).await;
    assert_eq!((checked.status.success(), text(&checked.stdout)), (true, "the schema is this version's\n".to_owned()));

    let shown = berth(&["config", "check"], &environment).await;
    assert!(text(&shown.stdout).contains("key = \"(hidden)\"") && !text(&shown.stdout).contains(KEYS[0]), "{}", text(&shown.stdout));
    let embedded = berth(&["permissions", "schema", "write"], &[]).await;
    assert!(!embedded.status.success() && text(&embedded.stderr).contains("embedded"), "{}", text(&embedded.stderr));
    for (wrong, told) in [
        (&[("BERTH_PERMISSIONS__KIND", "spicedb")][..], "permissions.endpoint"),
        (&environment[..2], "one of `key` and `key_file`"),
        (&environment[1..], "are for `kind = \"spicedb\"`"),
    ] {
        let refused = berth(&["permissions", "schema", "check"], wrong).await;
        assert!(!refused.status.success() && text(&refused.stderr).contains(told), "{}", text(&refused.stderr));
        assert!(!text(&refused.stderr).contains(KEYS[0]));
    }
}

#[tokio::test]
async fn killed_in_the_middle_of_runs_it_makes_them_late_and_nothing_is_lost() {
    let mut spicedb = SpiceDb::on_postgres(KEYS).await;
    let environment = settings(&spicedb).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let written = berth(&["permissions", "schema", "write"], &environment).await;
    assert!(written.status.success(), "{}", text(&written.stderr));
    let folder = tempfile::tempdir().unwrap();
    let berth = Server::start(&folder.path().join("data"), &environment).await;

    let mut created = Vec::new();
    for n in 0..8 {
        let (status, workspace) = berth.create(&format!("Workspace {n}")).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{workspace}");
        created.push(workspace);
    }
    spicedb.kill();
    let workspace = |n: usize| created[n]["workspace_id"].as_str().unwrap();
    // Neither allowed nor denied.
    let (status, _) = berth.get(&format!("/v1/workspaces/{}", workspace(0))).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let (status, _) = berth.create("Meanwhile").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let ready = berth.client.get(format!("{}/readyz", berth.url)).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);

    spicedb.start();
    let answers = async {
        while berth.get(&format!("/v1/workspaces/{}", workspace(0))).await.0 != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, answers).await.expect("it answers again");
    for (n, workspace_of) in created.iter().enumerate() {
        let run = berth.ended(workspace_of["provisioning_run_id"].as_str().unwrap()).await;
        assert_eq!(run["outcome"], "succeeded", "{run}");
        let (status, shown) = berth.get(&format!("/v1/workspaces/{}", workspace(n))).await;
        assert_eq!((status, shown["status"].as_str()), (StatusCode::OK, Some("active")), "{shown}");
    }
    assert!(!berth.log().contains(KEYS[0]), "the key is in the log");
}
