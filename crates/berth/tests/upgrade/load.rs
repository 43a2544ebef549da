//! Requests that keep coming while processes come and go, sent to whichever serve now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::server::answer;

const LANES: usize = 3;

/// Who serves, and what was answered 202: the run, by the workspace's name.
#[derive(Clone, Default)]
pub struct Fleet {
    urls: Arc<Mutex<Vec<String>>>,
    pub accepted: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Fleet {
    pub fn joins(&self, url: &str) {
        self.urls.lock().unwrap().push(url.to_owned());
    }

    pub fn leaves(&self, url: &str) {
        self.urls.lock().unwrap().retain(|known| known != url);
    }

    /// The one after the `turn`th, round and round.
    fn url(&self, turn: usize) -> String {
        let urls = self.urls.lock().unwrap();
        urls[turn % urls.len()].clone()
    }
}

/// Customers, each of whom asks for one workspace after the other.
pub struct Load {
    stop: CancellationToken,
    lanes: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(fleet: &Fleet, token: &str, account: &str) -> Self {
        let stop = CancellationToken::new();
        let lane = |lane| {
            let customer =
                Customer { fleet: fleet.clone(), client: Client::builder().no_proxy().build().unwrap(), token: token.to_owned() };
            let (account, stop) = (account.to_owned(), stop.clone());
            tokio::spawn(async move {
                for turn in 0.. {
                    if stop.is_cancelled() {
                        return;
                    }
                    customer.have(lane + turn, &account, &format!("w-{lane}-{turn}")).await;
                }
            })
        };
        Self { lanes: (0..LANES).map(lane).collect(), stop }
    }

    /// Lets every customer finish what it is at.
    pub async fn stop(self) {
        self.stop.cancel();
        for lane in self.lanes {
            lane.await.unwrap();
        }
    }
}

struct Customer {
    fleet: Fleet,
    client: Client,
    token: String,
}

impl Customer {
    /// Asks under one key until somebody has accepted it, then looks for a while how it goes on.
    async fn have(&self, turn: usize, account: &str, name: &str) {
        let body = json!({"account_id": account, "name": name, "region": "local"});
        let mut tried = turn;
        let accepted = loop {
            let url = format!("{}/v1/workspaces", self.fleet.url(tried));
            tried += 1;
            let request = self.client.post(url).bearer_auth(&self.token).header("Idempotency-Key", name).json(&body);
            let Ok(response) = request.send().await else { continue };
            match answer(response).await {
                (StatusCode::ACCEPTED, accepted) => break accepted,
                // It drains.
                (StatusCode::SERVICE_UNAVAILABLE, _) => {}
                (status, other) => panic!("{name}: {status} {other}"),
            }
        };
        let run = accepted["provisioning_run_id"].as_str().unwrap().to_owned();
        self.fleet.accepted.lock().unwrap().insert(name.to_owned(), run.clone());
        let url = format!("{}/v1/provisioning-runs/{run}", self.fleet.url(tried));
        let mut tag = None;
        for wait in ["", "?wait=2s", "?wait=2s", "?wait=2s"] {
            let mut request = self.client.get(format!("{url}{wait}")).bearer_auth(&self.token);
            if let Some(tag) = tag {
                request = request.header("If-None-Match", tag);
            }
            // Whoever is asked may be stopped meanwhile.
            let Ok(response) = request.send().await else { return };
            tag = response.headers().get("etag").cloned();
            let (_, seen): (_, Value) = answer(response).await;
            assert_ne!(seen["state"], "stuck", "{seen}");
            if tag.is_none() || seen["terminal"] == true {
                return;
            }
        }
    }
}
