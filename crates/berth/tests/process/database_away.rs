//! The database crashes under load and comes back, twice: requests are answered 503 with `Retry-After` meanwhile, everything
//! goes on afterwards, and no run is lost or doubled.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::installation::Installation;
use crate::server::{PATIENCE, Server};

const LANES: u32 = 4;
/// Accepted before each crash, and again at the end.
const BETWEEN: usize = 12;

/// What the lanes tell of.
#[derive(Default)]
struct Load {
    /// Workspace and run, by the name that was asked for.
    accepted: Mutex<BTreeMap<String, (String, String)>>,
    refused: AtomicU32,
    over: AtomicBool,
    news: Notify,
}

impl Load {
    /// Waits for what will be, under a limit.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waited = async {
            loop {
                let news = self.news.notified();
                if holds(self) {
                    return;
                }
                news.await;
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("{what} did not come"));
    }

    fn accepted(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }
}

/// Asks for one workspace after the other, each again with its key until it is accepted.
async fn ask(load: Arc<Load>, lane: u32, url: String, token: String, account: String) {
    let client = Client::builder().no_proxy().build().unwrap();
    for i in 0.. {
        let name = format!("w-{lane}-{i}");
        let body = json!({"account_id": account, "name": name, "region": "local"});
        let accepted = loop {
            if load.over.load(Ordering::Relaxed) {
                return;
            }
            let request = client.post(format!("{url}/v1/workspaces")).bearer_auth(&token).header("Idempotency-Key", &name).json(&body);
            let answer = request.send().await.expect("the process that serves stays");
            let (status, after) = (answer.status(), answer.headers().get("retry-after").cloned());
            let answer: Value = answer.json().await.unwrap();
            match status {
                StatusCode::ACCEPTED => break answer,
                StatusCode::SERVICE_UNAVAILABLE => {
                    let after: u64 = after.expect("it says when to come again").to_str().unwrap().parse().unwrap();
                    assert!(after > 0 && answer["type"] == "/problems/unavailable", "{answer}");
                    load.refused.fetch_add(1, Ordering::Relaxed);
                    load.news.notify_waiters();
                }
                other => panic!("{other} while the database was away: {answer}"),
            }
        };
        let id = |key: &str| accepted[key].as_str().unwrap().to_owned();
        load.accepted.lock().unwrap().insert(name, (id("workspace_id"), id("provisioning_run_id")));
        load.news.notify_waiters();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_crashes_under_load_loses_no_run_and_doubles_none() {
    let mut installation = Installation::begun().await;
    installation.set("BERTH_WORKER__POLL", "50ms");
    installation.set("BERTH_DATABASE__CONNECTION_TIMEOUT", "500ms");
    // So that no run is refused for its account's quota.
    installation.set("BERTH_ACCOUNTS__WORKSPACES_MAX", "1000000");
    let mut server = installation.serve(&[]).await;
    let mut workers = Vec::new();
    for _ in 0..2 {
        workers.push(installation.work().await);
    }
    Installation::open_account(&mut server).await;

    let load = Arc::new(Load::default());
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| tokio::spawn(ask(load.clone(), lane, server.url.clone(), server.token.clone(), server.account.clone())))
        .collect();
    for _ in 0..2 {
        let wanted = load.accepted() + BETWEEN;
        load.until("load", |load| load.accepted() >= wanted).await;
        let (refused, mut cluster) = (load.refused.load(Ordering::Relaxed), installation.cluster);
        cluster = tokio::task::spawn_blocking(move || {
            cluster.crash();
            cluster
        })
        .await
        .unwrap();
        load.until("a refusal", |load| load.refused.load(Ordering::Relaxed) > refused + LANES).await;
        let ready = server.client.get(format!("{}/readyz", server.url)).send().await.unwrap();
        assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
        installation.cluster = tokio::task::spawn_blocking(move || {
            cluster.start_again();
            cluster
        })
        .await
        .unwrap();
    }
    let wanted = load.accepted() + BETWEEN;
    load.until("load after the last crash", |load| load.accepted() >= wanted).await;
    load.over.store(true, Ordering::Relaxed);
    for lane in lanes {
        lane.await.unwrap();
    }

    let accepted = load.accepted.lock().unwrap().clone();
    for (workspace, run) in accepted.values() {
        let ended = server.ended(run).await;
        assert_eq!((&ended["state"], &ended["workspace_id"]), (&json!("succeeded"), &json!(workspace)), "{ended}");
    }
    every_run_has_ended(&server).await;
    for process in workers.into_iter().chain([server]) {
        assert!(!process.log().contains("panicked"), "{}", process.log());
        assert!(process.stop().await.success());
    }
    let world = installation.world().await;
    world.assert_whole();
    let creates = world.runs().iter().filter(|run| run["saga"] == "create-workspace").count();
    assert_eq!(creates, world.workspaces().len(), "a workspace has one run");
    // A lane that was told that it is over may have sent a request whose answer was lost.
    let unanswered = creates - accepted.len();
    assert!(unanswered <= LANES as usize, "{creates} runs for {} that were accepted", accepted.len());
    println!("{} accepted, {} refused, {unanswered} unanswered", accepted.len(), load.refused.load(Ordering::Relaxed));
}

async fn every_run_has_ended(server: &Server) {
    for state in ["pending", "running", "waiting", "compensating", "stuck"] {
        loop {
            let (_, live) = server.get(&format!("/v1/provisioning-runs?state={state}&limit=1")).await;
            let Some(run) = live.as_array().and_then(|l| l.first()) else { break };
            server.ended(run["id"].as_str().unwrap()).await;
        }
    }
}
