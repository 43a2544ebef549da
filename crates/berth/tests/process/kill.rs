//! The proof of the promise: SIGKILL at a hundred random moments, under a stream of requests, over a backend that fails,
//! hangs and loses replies; then every run ends and nothing is orphaned.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::server::{PATIENCE, Server, command, environment_file};
use crate::world::World;

const KILLS: u32 = 100;
const SEED: u64 = 77_411;
/// A server is killed after fewer answers than these, while it works on the next ones.
const ANSWERS: u32 = 40;
/// So that no run is refused for its account's quota.
const QUOTA: (&str, &str) = ("BERTH_ACCOUNTS__WORKSPACES_MAX", "1000000");

/// Back-offs end soon, also those that grew while everything failed.
const HASTE: (&str, &str) = ("BERTH_DEV__TIME_SCALE", "0.005");

/// What was answered 202: workspace and run, by the name that was asked for.
type Accepted = Arc<Mutex<BTreeMap<String, (String, String)>>>;

/// How often each change was answered how.
type Changed = Arc<Mutex<BTreeMap<(&'static str, u16), u32>>>;

/// So that some are purged while others are restored.
const PURGED_SOON: (&str, &str) = ("BERTH_WORKSPACES__PURGE_AFTER", "1s");

/// Freezes, unfreezes, deletes or restores a workspace; what that was answered, or `None` if the server is gone.
async fn change(client: &Client, env: &BTreeMap<String, String>, workspace: &str, what: &'static str) -> Option<u16> {
    let url = format!("{}/v1/workspaces/{workspace}", env["BERTH_URL"]);
    let request = match what {
        "freeze" => client.patch(format!("{url}/status")).json(&json!({"status": "frozen", "reason": {"code": "test"}})),
        "unfreeze" => client.patch(format!("{url}/status")).json(&json!({"status": "active"})),
        "delete" => client.delete(&url).header("If-Match", "*"),
        _ => client.post(format!("{url}/restore")).json(&json!({})),
    };
    let answer = request.bearer_auth(&env["BERTH_TOKEN"]).send().await.ok()?;
    let status = answer.status().as_u16();
    let body = answer.text().await.ok()?;
    // What it has become meanwhile may rule it out, and a purged one is gone.
    assert!([200, 404, 409].contains(&status), "{what}: {status} {body}");
    Some(status)
}

/// Asks for one workspace after the other, and changes what is there, until the server is gone.
/// Each answer adds to `answers`.
async fn ask(dir: &Path, round: u32, lane: u32, accepted: Accepted, changed: Changed, answers: Arc<Semaphore>) {
    let mut dice = StdRng::seed_from_u64(u64::from(round) << 8 | u64::from(lane));
    let env: BTreeMap<String, String> = environment_file(dir).into_iter().collect();
    let client = Client::builder().no_proxy().build().unwrap();
    for i in 0.. {
        let name = format!("w-{round}-{lane}-{i}");
        let answer = client
            .post(format!("{}/v1/workspaces", env["BERTH_URL"]))
            .bearer_auth(&env["BERTH_TOKEN"])
            .header("Idempotency-Key", &name)
            .json(&json!({"account_id": env["BERTH_ACCOUNT_ID"], "name": name, "region": "local"}))
            .send()
            .await;
        let Ok(answer) = answer else { return };
        let status = answer.status().as_u16();
        let Ok(body) = answer.json::<Value>().await else { return };
        assert_eq!(status, 202, "{body}");
        let id = |key: &str| body[key].as_str().unwrap().to_owned();
        accepted.lock().unwrap().insert(name, (id("workspace_id"), id("provisioning_run_id")));
        answers.add_permits(1);
        for _ in 0..dice.random_range(0..5) {
            let workspace = {
                let accepted = accepted.lock().unwrap();
                accepted.values().nth(dice.random_range(0..accepted.len())).unwrap().0.clone()
            };
            let whats = ["freeze", "freeze", "unfreeze", "delete", "restore"];
            let what = whats[dice.random_range(0..whats.len())];
            // Half of what is deleted is restored at once, before its time is over.
            let then = (what == "delete" && dice.random_bool(0.5)).then_some("restore");
            for what in std::iter::once(what).chain(then) {
                let Some(status) = change(&client, &env, &workspace, what).await else { return };
                *changed.lock().unwrap().entry((what, status)).or_default() += 1;
                answers.add_permits(1);
            }
        }
    }
}

/// A frozen run waits for whoever froze it.
async fn let_go(server: &Server, of_account: &str) {
    let (_, provisioning) = server.get(&format!("{of_account}?status=provisioning&limit=1000")).await;
    for workspace in provisioning.as_array().unwrap().iter().filter(|w| w["freezes"].as_array().is_some_and(|f| !f.is_empty())) {
        let path = format!("/v1/workspaces/{}/status", workspace["id"].as_str().unwrap());
        let lifted = server.request(Method::PATCH, &path).json(&json!({"status": "active"})).send().await.unwrap();
        assert_eq!(lifted.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_kills_under_load_orphan_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    assert!(Server::start(&dir, &[QUOTA]).await.stop().await.success());
    let (accepted, changed) = (Accepted::default(), Changed::default());
    let mut dice = StdRng::seed_from_u64(SEED);
    let (mut kills, mut while_starting, mut round) = (0, 0, 0);
    while kills < KILLS {
        round += 1;
        let seed = dice.random::<u32>().to_string();
        let environment = [
            QUOTA,
            PURGED_SOON,
            ("BERTH_DEV__BACKEND_FAIL_RATE", "0.1"),
            ("BERTH_DEV__BACKEND_HANG_RATE", "0.05"),
            ("BERTH_DEV__BACKEND_LOSE_REPLY_RATE", "0.15"),
            HASTE,
            ("BERTH_DEV__SEED", seed.as_str()),
            ("BERTH_LOG__FILTER", "error,berth=info"),
        ];
        if dice.random_bool(0.25) {
            // While it starts, when it takes up what the one before left.
            let (mut command, _) = command(&dir, &environment);
            let mut child = command.spawn().unwrap();
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..250))).await;
            assert_eq!(child.try_wait().unwrap(), None, "it ended by itself: {}", log(&dir));
            child.kill().await.unwrap();
            while_starting += 1;
        } else {
            let mut server = Server::start(&dir, &environment).await;
            let answers = Arc::new(Semaphore::new(0));
            let lanes: Vec<_> = (0..3)
                .map(|lane| {
                    tokio::spawn({
                        let (dir, accepted, changed, answers) = (dir.clone(), accepted.clone(), changed.clone(), answers.clone());
                        async move { ask(&dir, round, lane, accepted, changed, answers).await }
                    })
                })
                .collect();
            let answered = tokio::time::timeout(PATIENCE, answers.acquire_many(dice.random_range(0..ANSWERS))).await;
            assert!(answered.is_ok(), "it answers no more: {}", log(&dir));
            assert_eq!(server.child.try_wait().unwrap(), None, "it ended by itself: {}", log(&dir));
            server.child.kill().await.unwrap();
            for lane in lanes {
                lane.await.unwrap();
            }
        }
        kills += 1;
    }

    // The last start has a backend that works; it ends every run.
    let server = Server::start(&dir, &[QUOTA, HASTE, ("BERTH_LOG__FILTER", "error,berth=info")]).await;
    let accepted = accepted.lock().unwrap().clone();
    let of_account = format!("/v1/workspaces/by-account/{}", server.account);
    let_go(&server, &of_account).await;
    let mut outcomes: BTreeMap<String, u32> = BTreeMap::new();
    for (workspace, run) in accepted.values() {
        let ended = server.ended(run).await;
        *outcomes.entry(ended["state"].as_str().unwrap().to_owned()).or_default() += 1;
        assert_eq!(ended["workspace_id"], workspace.as_str());
    }
    // What was deleted falls due.
    let purged = async {
        while server.get(&format!("{of_account}?status=deleted&limit=1")).await.1.as_array().is_some_and(|l| !l.is_empty()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, purged).await.expect("what was deleted is purged");
    // Requests that were cut off may have been accepted too.
    for state in ["pending", "running", "waiting", "compensating", "stuck"] {
        loop {
            let (_, live) = server.get(&format!("/v1/provisioning-runs?state={state}&limit=1")).await;
            let Some(run) = live.as_array().and_then(|l| l.first()) else { break };
            server.ended(run["id"].as_str().unwrap()).await;
        }
    }
    let log = log(&dir);
    assert!(!log.contains("panicked"), "{log}");
    assert!(server.stop().await.success());

    let world = World::of(&dir).await;
    world.assert_whole();
    let purged = world.purged();
    let known: BTreeMap<&str, &Value> = world.workspaces().iter().map(|w| (w["id"].as_str().unwrap(), w)).collect();
    for (name, (workspace, run)) in &accepted {
        // A purged one has left its run, which has ended.
        if let Some(row) = known.get(workspace.as_str()) {
            assert_eq!(row["run_id"], run.as_str(), "{name}");
        } else {
            assert!(purged.contains(workspace.as_str()), "{name} was accepted and is lost");
        }
    }
    let changed = changed.lock().unwrap().clone();
    for what in ["freeze", "unfreeze", "delete", "restore"] {
        assert!(changed.contains_key(&(what, 200)), "no {what} was ever taken: {changed:?}");
    }
    let shut = world.shut();
    assert!(shut > 0 && !purged.is_empty(), "{shut} logins are shut, {} workspaces purged", purged.len());
    assert!(accepted.len() > 100, "only {} were accepted: there was no load", accepted.len());
    assert!(outcomes.contains_key("succeeded"), "{outcomes:?}");
    println!(
        "{kills} kills ({while_starting} while starting), {} accepted, {} workspaces in all, {} purged, {shut} logins shut, outcomes {outcomes:?}, changes {changed:?}",
        accepted.len(),
        world.workspaces().len(),
        purged.len()
    );
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.with_extension("log")).unwrap_or_default()
}
