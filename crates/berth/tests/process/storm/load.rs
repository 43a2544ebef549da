//! Clients that never give up: each asks for one workspace after the other, again with the same key until it is accepted, of
//! whichever process serves. So what is accepted is all there may be in the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

/// A client waits so long before it asks again.
const PAUSE: Duration = Duration::from_millis(50);
/// One that is paused does not answer; another one is asked.
const ANSWER: Duration = Duration::from_secs(4);

pub struct Load {
    token: String,
    accounts: Vec<String>,
    /// Where it is served now.
    urls: Mutex<Vec<String>>,
    /// How many may be asked for.
    tickets: Semaphore,
    /// Workspace and run, by the name that was asked for.
    pub accepted: Mutex<BTreeMap<String, (String, String)>>,
    /// Answers 503.
    refused: AtomicU32,
    /// Requests without an answer.
    lost: AtomicU32,
    /// 202 for a request that had been sent before.
    repeated: AtomicU32,
    news: Notify,
}

impl Load {
    pub fn new(token: String, accounts: Vec<String>) -> Arc<Self> {
        Arc::new(Self {
            token,
            accounts,
            urls: Mutex::default(),
            tickets: Semaphore::new(0),
            accepted: Mutex::default(),
            refused: AtomicU32::new(0),
            lost: AtomicU32::new(0),
            repeated: AtomicU32::new(0),
            news: Notify::new(),
        })
    }

    pub fn served_at(&self, urls: Vec<String>) {
        *self.urls.lock().unwrap() = urls;
    }

    pub fn begin(self: &Arc<Self>, lanes: usize) -> Vec<JoinHandle<()>> {
        (0..lanes).map(|lane| tokio::spawn(self.clone().ask(lane))).collect()
    }

    pub fn allow(&self, more: usize) {
        self.tickets.add_permits(more);
    }

    /// What is allowed and not begun is no longer.
    pub fn withdraw(&self) {
        self.tickets.forget_permits(usize::MAX >> 4);
    }

    pub fn accepted(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    pub fn repeated(&self) -> u32 {
        self.repeated.load(Ordering::Relaxed)
    }

    pub fn refused(&self) -> u32 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits for what will be, under a limit.
    pub async fn until(&self, what: &str, patience: Duration, holds: impl Fn(&Self) -> bool) {
        let waited = async {
            loop {
                let news = self.news.notified();
                if holds(self) {
                    return;
                }
                news.await;
            }
        };
        let came = tokio::time::timeout(patience, waited).await;
        assert!(came.is_ok(), "{what} did not come: {}", self.said());
    }

    /// No more is asked for; what has been asked for is accepted.
    pub async fn end(&self, lanes: Vec<JoinHandle<()>>, patience: Duration) {
        self.tickets.close();
        let ended = async {
            for lane in lanes {
                lane.await.unwrap();
            }
        };
        assert!(tokio::time::timeout(patience, ended).await.is_ok(), "requests are never accepted: {}", self.said());
    }

    pub fn said(&self) -> String {
        let n = |count: &AtomicU32| count.load(Ordering::Relaxed);
        let (refused, lost, repeated) = (n(&self.refused), n(&self.lost), n(&self.repeated));
        format!("{} accepted, {repeated} of them when asked again; {refused} answers 503, {lost} without an answer", self.accepted())
    }

    async fn ask(self: Arc<Self>, lane: usize) {
        let client = Client::builder().no_proxy().timeout(ANSWER).build().unwrap();
        for i in 0.. {
            let Ok(ticket) = self.tickets.acquire().await else { return };
            ticket.forget();
            let name = format!("w-{lane}-{i}");
            let body = json!({"account_id": self.accounts[(lane + i) % self.accounts.len()], "name": name, "region": "local"});
            for tried in 0.. {
                if tried > 0 {
                    tokio::time::sleep(PAUSE).await;
                }
                let Some(url) = self.url(lane + i + tried) else { continue };
                let request = client.post(format!("{url}/v1/workspaces")).bearer_auth(&self.token);
                let Ok(answer) = request.header("Idempotency-Key", &name).json(&body).send().await else {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                let status = answer.status();
                let Ok(answer) = answer.json::<Value>().await else {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                match status {
                    StatusCode::ACCEPTED => {
                        self.repeated.fetch_add(u32::from(tried > 0), Ordering::Relaxed);
                        let id = |key: &str| answer[key].as_str().unwrap().to_owned();
                        self.accepted.lock().unwrap().insert(name, (id("workspace_id"), id("provisioning_run_id")));
                        self.news.notify_waiters();
                        break;
                    }
                    StatusCode::SERVICE_UNAVAILABLE => {
                        self.refused.fetch_add(1, Ordering::Relaxed);
                        self.news.notify_waiters();
                    }
                    // The request that was given up is still at work.
                    StatusCode::CONFLICT if answer["code"] == "idempotency_key_busy" => {}
                    other => panic!("{other}: {answer}"),
                }
            }
        }
    }

    fn url(&self, at: usize) -> Option<String> {
        let urls = self.urls.lock().unwrap();
        (!urls.is_empty()).then(|| urls[at % urls.len()].clone())
    }
}
