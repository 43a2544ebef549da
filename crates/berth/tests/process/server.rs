//! Starts `berth dev` on free ports over a folder, and talks to it.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Nothing here takes this long; what does, hangs.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A command of the binary, with a clean environment and free ports.
pub fn berth(arguments: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.args(arguments).arg("--data-dir").arg(dir).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").kill_on_drop(true);
    command
}

/// Runs a command of the binary to its end.
pub async fn said(arguments: &[&str], dir: &Path) -> Output {
    tokio::time::timeout(PATIENCE, berth(arguments, dir).output()).await.expect("the command ends").unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A running `berth dev`. Dropping it kills it.
pub struct Server {
    pub child: Child,
    pub url: String,
    pub admin: String,
    pub token: String,
    pub account: String,
    /// What it printed until it was ready.
    pub printed: String,
    pub log: PathBuf,
    pub client: Client,
}

pub fn command(dir: &Path, environment: &[(&str, &str)]) -> (Command, PathBuf) {
    let log = dir.with_extension("log");
    let mut command = berth(&["dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], dir);
    let err = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
    command.envs(environment.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::from(err));
    (command, log)
}

impl Server {
    pub async fn start(dir: &Path, environment: &[(&str, &str)]) -> Self {
        let (mut command, log) = command(dir, environment);
        let child = command.spawn().unwrap();
        Self::ready(child, dir, log).await
    }

    async fn ready(mut child: Child, dir: &Path, log: PathBuf) -> Self {
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut printed = String::new();
        let whole = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                printed.push_str(&line);
                printed.push('\n');
                // The third curl line is the last one.
                if printed.matches("  curl ").count() == 3 {
                    return true;
                }
            }
            false
        });
        let whole = whole.await.expect("ready in time");
        assert!(whole, "berth dev ended before it was ready:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
        let env = environment_file(dir);
        let of = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).expect("a variable of dev.env");
        let admin = printed.split("readiness on ").nth(1).unwrap().split(')').next().unwrap().to_owned();
        Self {
            child,
            url: of("BERTH_URL"),
            admin,
            token: of("BERTH_TOKEN"),
            account: of("BERTH_ACCOUNT_ID"),
            printed,
            log,
            client: Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub async fn create(&self, name: &str) -> (StatusCode, Value) {
        let body = json!({"account_id": self.account, "name": name, "region": "local"});
        answer(self.request(Method::POST, "/v1/workspaces").json(&body).send().await.unwrap()).await
    }

    /// Looks until what stands at `path` is so.
    pub async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) {
        let looks = async { while !is_so(&self.get(path).await.1) {} };
        tokio::time::timeout(PATIENCE, looks).await.unwrap_or_else(|_| panic!("{path} does not get there"));
    }

    /// Long-polls a run until it has ended.
    pub async fn ended(&self, run: &str) -> Value {
        let path = format!("/v1/provisioning-runs/{run}");
        let mut last = Value::Null;
        let ends = tokio::time::timeout(PATIENCE, async {
            let mut tag: Option<String> = None;
            loop {
                let mut request = self.request(Method::GET, &format!("{path}?wait=10s"));
                if let Some(tag) = &tag {
                    request = request.header("If-None-Match", tag);
                }
                let response = request.send().await.unwrap();
                if response.status() == StatusCode::NOT_MODIFIED {
                    continue;
                }
                tag = response.headers().get("etag").map(|t| t.to_str().unwrap().to_owned());
                let (status, body) = answer(response).await;
                assert_eq!(status, StatusCode::OK, "{body}");
                let ended = body["terminal"] == true;
                last = body;
                if ended {
                    return;
                }
            }
        });
        assert!(ends.await.is_ok(), "the run does not end: {last:#}");
        last
    }

    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().expect("it runs");
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
    }

    /// Ends it by SIGTERM.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it drains").unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

/// The run's first call to a backend is under way.
pub fn is_at_its_backend(run: &Value) -> bool {
    run["steps"].as_array().unwrap().iter().any(|step| step["name"] == "backend-dev" && step["state"] == "running")
}

impl Drop for Server {
    fn drop(&mut self) {
        testkit::output::keep("process", &std::fs::read(&self.log).unwrap_or_default());
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("berth dev ({:?}) logged last:", self.child.try_wait());
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

pub async fn answer(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.text().await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

/// `dev.env` as names and values; fails on a line that is neither `NAME=value` nor the one that exports them.
pub fn environment_file(dir: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(dir.join("dev.env")).unwrap();
    text.lines()
        .filter(|line| *line != "export BERTH_URL BERTH_TOKEN BERTH_ACCOUNT_ID")
        .map(|line| {
            let (name, value) = line.split_once('=').expect("NAME=value");
            assert!(value.chars().all(|c| c.is_ascii_alphanumeric() || "._-:/".contains(c)), "{name} needs no quotes");
            (name.to_owned(), value.to_owned())
        })
        .collect()
}
