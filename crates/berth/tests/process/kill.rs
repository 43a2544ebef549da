//! The proof of the promise: SIGKILL at a hundred random moments, under a stream of requests, over a backend that fails,
//! hangs and loses replies; then every run ends and nothing is orphaned.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Client;
use serde_json::{Value, json};

use crate::server::{Server, command, environment_file};
use crate::world::World;

const KILLS: u32 = 100;
const SEED: u64 = 77_411;
/// So that no run is refused for its account's quota.
const QUOTA: (&str, &str) = ("BERTH_ACCOUNTS__WORKSPACES_MAX", "1000000");

/// Back-offs end soon, also those that grew while everything failed.
const HASTE: (&str, &str) = ("BERTH_DEV__TIME_SCALE", "0.005");

/// What was answered 202: workspace and run, by the name that was asked for.
type Accepted = Arc<Mutex<BTreeMap<String, (String, String)>>>;

/// Asks for one workspace after the other until the server is gone.
async fn ask(dir: &Path, round: u32, lane: u32, accepted: Accepted) {
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
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_kills_under_load_orphan_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    assert!(Server::start(&dir, &[QUOTA]).await.stop().await.success());
    let accepted = Accepted::default();
    let mut dice = StdRng::seed_from_u64(SEED);
    let (mut kills, mut while_starting, mut round) = (0, 0, 0);
    while kills < KILLS {
        round += 1;
        let seed = dice.random::<u32>().to_string();
        let environment = [
            QUOTA,
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
            let lanes: Vec<_> = (0..3)
                .map(|lane| {
                    tokio::spawn({
                        let (dir, accepted) = (dir.clone(), accepted.clone());
                        async move { ask(&dir, round, lane, accepted).await }
                    })
                })
                .collect();
            tokio::time::sleep(Duration::from_millis(dice.random_range(5..300))).await;
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
    let mut outcomes: BTreeMap<String, u32> = BTreeMap::new();
    for (workspace, run) in accepted.values() {
        let ended = server.ended(run).await;
        *outcomes.entry(ended["state"].as_str().unwrap().to_owned()).or_default() += 1;
        assert_eq!(ended["workspace_id"], workspace.as_str());
    }
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
    let known: BTreeMap<&str, &Value> = world.workspaces().iter().map(|w| (w["id"].as_str().unwrap(), w)).collect();
    for (name, (workspace, run)) in &accepted {
        let row = known.get(workspace.as_str()).unwrap_or_else(|| panic!("{name} was accepted and is lost"));
        assert_eq!(row["run_id"], run.as_str());
    }
    assert!(accepted.len() > 100, "only {} were accepted: there was no load", accepted.len());
    assert!(outcomes.contains_key("succeeded"), "{outcomes:?}");
    println!(
        "{kills} kills ({while_starting} while starting), {} accepted, {} workspaces in all, outcomes {outcomes:?}",
        accepted.len(),
        world.workspaces().len()
    );
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.with_extension("log")).unwrap_or_default()
}
