//! `berth runs`: shown, watched, and got unstuck.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::caller::{Caller, normal};
use crate::server::{Server, answer};

/// A saga like the built-in one whose steps are tried so often, and which gives up taking back after so long.
fn saga(folder: &Path, attempts: u32, undo_for: &str) -> PathBuf {
    let text = include_str!("../../../../sagas/create-workspace.v1.yaml");
    let text = text
        .replace("version: 1\n", "version: 99\n")
        .replace("undo_for: 24h", &format!("undo_for: {undo_for}"))
        .replace("attempts: 8", &format!("attempts: {attempts}"));
    let sagas = folder.join("sagas");
    std::fs::create_dir_all(&sagas).unwrap();
    std::fs::write(sagas.join("create-workspace.v99.yaml"), text).unwrap();
    sagas
}

/// A server whose backend fails so often, in a world where time is short.
async fn failing(folder: &Path, rate: &str, undo_for: &str) -> Server {
    let dir = folder.join("data");
    // Its first account is made while the backend is well.
    assert!(Server::start(&dir, &[]).await.stop().await.success());
    let sagas = saga(folder, 1, undo_for);
    let environment = [
        ("BERTH_DEV__BACKEND_FAIL_RATE", rate),
        ("BERTH_DEV__TIME_SCALE", "0.001"),
        ("BERTH_DEV__SAGAS", sagas.to_str().unwrap()),
        ("BERTH_LOG__FILTER", "error"),
    ];
    Server::start(&dir, &environment).await
}

/// Waits until a run is in a state.
async fn until(server: &Server, run: &str, state: &str) {
    until_it(server, run, |run| run["state"] == state).await;
}

/// How often all steps together were taken back, or tried to be.
fn undo_attempts(run: &Value) -> u64 {
    run["steps"].as_array().into_iter().flatten().filter_map(|step| step["compensation"]["attempts"].as_u64()).sum()
}

async fn until_it(server: &Server, run: &str, does: impl Fn(&Value) -> bool) {
    let path = format!("/v1/provisioning-runs/{run}");
    let mut tag = String::new();
    let reached = async {
        loop {
            let request = server.request(reqwest::Method::GET, &format!("{path}?wait=10s")).header("If-None-Match", &tag);
            let response = request.send().await.unwrap();
            if let Some(fresh) = response.headers().get("etag") {
                fresh.to_str().unwrap().clone_into(&mut tag);
            }
            if does(&answer(response).await.1) {
                return;
            }
        }
    };
    tokio::time::timeout(crate::server::PATIENCE, reached).await.expect("the run comes to it");
}

async fn create(caller: &Caller, name: &str) -> String {
    let accepted = caller.says(&["workspaces", "create", name, "-o", "json"]).await.ended(0).json();
    accepted["provisioning_run_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_run_that_takes_everything_back_is_shown_and_its_exit_code_tells() {
    let folder = tempfile::tempdir().unwrap();
    let server = failing(folder.path(), "0.7", "24h").await;
    let caller = Caller::of(&server);
    // One in forty is lucky.
    for name in ["A", "B", "C", "D"] {
        let created = caller.says(&["workspaces", "create", name, "--wait"]).await;
        if created.code == 0 {
            continue;
        }
        let created = created.ended(7);
        assert_eq!(created.out, "", "{created}");
        let err = normal(&created.err);
        assert!(err.contains("CLOCK  create-environments  taken back\n"), "{created}");
        assert!(err.contains("\nThe run takes back what it did\n"), "{created}");
        assert!(err.contains("\nRun ID1 failed\n"), "{created}");
        assert!(err.contains("\nberth: the run ID1 failed at ") && err.contains(": The backend failed, as it was told to\n"), "{created}");
        assert!(err.contains("`berth runs retry ID1` tries again by a new run."), "{created}");
        let failed = caller.says(&["workspaces", "get", name]).await.ended(0);
        assert!(failed.out.contains("Status      failed\n"), "what is in the list is found by its name: {failed}");

        let run = caller.says(&["runs", "list", "--state", "failed", "--limit", "1", "-o", "json"]).await.ended(0).json();
        let id = run[0]["id"].as_str().unwrap();
        let shown = caller.says(&["runs", "get", id]).await.ended(0);
        assert!(shown.out.contains("undone") && shown.out.contains(&format!("berth runs retry {id}")), "{shown}");
        let watched = caller.says(&["runs", "watch", id, "--output", "json"]).await.ended(7);
        assert_eq!(watched.json()["outcome"], "failed");
        assert_eq!(serde_json::from_str::<Value>(&watched.err).unwrap()["code"], "run_failed");
        let again = caller.says(&["runs", "retry", id, "-o", "json"]).await.ended(0).json();
        assert_eq!(again["new_run"], true);
        assert_ne!(again["provisioning_run_id"], id);
        return;
    }
    panic!("four lucky runs");
}

#[tokio::test]
async fn stuck_runs_are_listed_and_got_rid_of_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = failing(folder.path(), "1", "1s").await;
    let caller = Caller::of(&server);
    let mut runs = Vec::new();
    for name in ["A", "B"] {
        let run = create(&caller, name).await;
        until(&server, &run, "stuck").await;
        runs.push(run);
    }
    let listed = caller.says(&["runs", "list", "--state", "stuck", "--since", "1h"]).await.ended(0);
    assert!(runs.iter().all(|run| listed.out.contains(run.as_str())), "{listed}");
    let past = caller.says(&["runs", "list", "--state", "stuck", "--since", "2100-01-01T00:00:00Z", "-o", "json"]).await.ended(0);
    assert_eq!(past.json(), serde_json::json!([]), "{past}");
    let shown = caller.says(&["runs", "get", &runs[0]]).await.ended(0);
    assert!(shown.out.contains("It needs a person") && shown.out.contains(&format!("berth runs abandon {}", runs[0])), "{shown}");
    let watched = caller.says(&["runs", "watch", &runs[0], "--timeout", "1s"]).await.ended(7);
    assert!(watched.err.contains("The run is stuck\n") && watched.err.contains("has not ended within 1s"), "{watched}");

    // Once more, in vain: the run is stuck again.
    let before = undo_attempts(&caller.says(&["runs", "get", &runs[0], "-o", "json"]).await.ended(0).json());
    caller.says(&["runs", "retry", &runs[0]]).await.ended(0);
    until_it(&server, &runs[0], |run| run["state"] == "stuck" && undo_attempts(run) > before).await;
    caller.says(&["runs", "abandon", "--all"]).await.ended(2);
    let asked = caller.says(&["runs", "abandon", "--all", "--comment", "gone"]).await.ended(2);
    assert!(asked.err.contains(&runs[1]) && asked.err.contains("Add --yes if you mean it."), "{asked}");
    let done = caller.says(&["runs", "abandon", "--all", "--since", "1h", "--comment", "gone", "--yes"]).await.ended(0);
    assert_eq!(done.out.matches("  accepted  abandon\n").count(), 2, "{done}");
    for run in &runs {
        until(&server, run, "abandoned").await;
    }
    let watched = caller.says(&["runs", "watch", &runs[0]]).await.ended(7);
    assert!(watched.err.contains("abandoned") && watched.err.contains(&format!("`berth runs get {}`", runs[0])), "{watched}");
    let shown = caller.says(&["runs", "get", &runs[0]]).await.ended(0);
    assert!(shown.out.contains("Leftover") && shown.out.contains("berth workspaces delete "), "{shown}");

    let refused = caller.says(&["runs", "skip", &runs[0], &runs[1], "--comment", "by hand"]).await.ended(1);
    assert_eq!(refused.out.matches("  refused  ").count(), 2, "{refused}");
    let one = caller.says(&["runs", "skip", &runs[0], "--comment", "by hand"]).await.ended(5);
    assert!(one.err.contains("409 verb_conflict"), "{one}");
    let none = caller.says(&["runs", "retry", "--all", "--yes"]).await.ended(0);
    assert_eq!((none.out.as_str(), none.err.as_str()), ("", "berth: no run fits\n"));
    caller.says(&["runs", "retry"]).await.ended(2);
    caller.says(&["runs", "retry", &runs[0], "--all"]).await.ended(2);
    caller.says(&["runs", "retry", &runs[0], "--since", "1h"]).await.ended(2);
}

#[tokio::test]
async fn a_run_that_waits_for_a_person_is_cancelled_and_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = failing(folder.path(), "0.9", "24h").await;
    let caller = Caller::of(&server);
    let held = caller.says(&["workspaces", "create", "Held", "--on-failure", "hold", "-o", "json"]).await.ended(0).json();
    let run = held["provisioning_run_id"].as_str().unwrap();
    until(&server, run, "waiting").await;
    let shown = caller.says(&["runs", "get", run]).await.ended(0);
    assert!(shown.out.contains("waits for operator") && shown.out.contains(&format!("berth runs cancel {run}")), "{shown}");
    let cancelled = caller.says(&["runs", "cancel", run, "--comment", "enough", "--wait"]).await.ended(0);
    assert!(cancelled.out.starts_with(&format!("{run}  accepted  cancel\n")), "{cancelled}");
    assert!(cancelled.err.contains(&format!("Run {run} cancelled")), "{cancelled}");
}

#[tokio::test]
async fn what_is_paused_is_listed_and_goes_on_when_it_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let caller = Caller::of(&server);
    assert_eq!(caller.says(&["pauses"]).await.ended(0).out, "Nothing is paused.\n");
    let paused = caller.says(&["pause", "saga:create-workspace", "--comment", "disk is being replaced"]).await.ended(0);
    assert_eq!(paused.out, "Paused       saga:create-workspace\nTaking back  goes on\nComment      disk is being replaced\n");
    let listed = caller.says(&["pauses", "-o", "json"]).await.ended(0).json();
    assert_eq!(listed[0]["comment"], "disk is being replaced");
    let run = create(&caller, "Waits").await;
    until_it(&server, &run, |run| run["paused_by"] == serde_json::json!(["saga:create-workspace"])).await;
    let shown = caller.says(&["runs", "get", "Waits"]).await.ended(0);
    assert!(shown.out.contains("saga:create-workspace is paused. Go on:  berth resume saga:create-workspace\n"), "{shown}");
    assert!(!shown.out.contains("berth runs retry"), "that would not help: {shown}");
    caller.says(&["pause", "account:Development", "--undo", "--comment", "audit"]).await.ended(0);
    let listed = caller.says(&["pauses"]).await.ended(0);
    assert!(listed.out.contains(&format!("account:{}", server.account)) && listed.out.contains(" waits "), "{listed}");
    caller.says(&["resume", "account:Development"]).await.ended(0);
    let resumed = caller.says(&["resume", "saga:create-workspace", "--comment", "it is new"]).await.ended(0);
    assert_eq!(resumed.out, "Resumed; what waited goes on within a minute.\n");
    let again = caller.says(&["resume", "saga:create-workspace"]).await.ended(3);
    assert!(again.err.contains("`berth pauses` lists what is paused."), "{again}");
    caller.says(&["pause", "saga:no-such", "--comment", "x"]).await.ended(3);
    caller.says(&["pause", "everything", "--comment", "x"]).await.ended(2);
    caller.says(&["pause", "backend:local"]).await.ended(2);
}
