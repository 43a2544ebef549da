//! A Berth in processes of its own, started as an operator starts it: this program, on free ports of this machine, over a
//! data folder of its own, which goes with the measurement. What these processes log stays in the folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use store::Store;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use super::http::Client;
use super::place::{self, On, Place};
use super::refused;
use crate::failure::Failure;
use crate::operator;

/// What a process has to be ready, and to end once it is told to.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at what is not yet as it is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(1);

const READYZ: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// What the processes of a Berth share.
pub struct Installation {
    folder: tempfile::TempDir,
    /// A migrated PostgreSQL; without one it is `berth dev`, with its SQLite in the folder.
    database: Option<String>,
    /// Of every process.
    settings: Vec<(&'static str, String)>,
    store: Option<Store>,
}

/// A process that was ready.
pub struct Running {
    child: Child,
    admin: SocketAddr,
    /// Where the API is, if it serves.
    pub api: Option<SocketAddr>,
    /// From before the process was made until its readiness was answered.
    pub ready_after: Duration,
    /// Open as long as the process writes to it.
    _printed: Lines<BufReader<ChildStdout>>,
}

impl Installation {
    /// Nothing runs yet. On PostgreSQL the measurement's database is this Berth's.
    ///
    /// # Errors
    /// There is no place for the folder.
    pub fn new(on: &On, place: &Place) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("berth-bench-").tempdir();
        let folder = folder.map_err(|e| Failure::new(format!("no temporary folder can be made: {e}. Name one in TMPDIR")))?;
        let mut installation = Self { folder, database: None, settings: Vec::new(), store: None };
        if on.database_url.is_some() {
            let key = installation.folder.path().join("issuer.key");
            operator::generate_key(&key)?;
            installation.settings = vec![
                ("BERTH_ISSUER__KEY_FILE", key.display().to_string()),
                ("BERTH_DATABASE__CONNECTIONS", on.connections.to_string()),
                // A command line would show its password.
                ("BERTH_DATABASE__URL", place.location.clone()),
            ];
            installation.database = Some(place.location.clone());
            installation.store = Some(place.store.clone());
        }
        Ok(installation)
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The words that start all of it in one process.
    pub fn whole(&self) -> &'static [&'static str] {
        if self.database.is_some() { &["serve", "--with-worker"] } else { &["dev"] }
    }

    /// Its database, while no process has it: of `berth dev` there must have been a first start.
    ///
    /// # Errors
    /// It cannot be opened.
    pub async fn store(&self) -> Result<Store, Failure> {
        match &self.store {
            Some(store) => Ok(store.clone()),
            None => place::open(&self.data().join("berth.db").display().to_string(), false, 1).await,
        }
    }

    /// Lets go of what [`Installation::store`] gave.
    pub async fn close(&self, store: Store) {
        if self.store.is_none() {
            store.db().close().await;
        }
    }

    fn command(&self, words: &[&str]) -> Result<Command, Failure> {
        let binary = std::env::current_exe().map_err(|e| Failure::new(format!("this program does not know where it is: {e}")))?;
        let mut command = Command::new(binary);
        // Settings of whoever measures are not those of what is measured.
        command.args(words).env_clear().envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }

    /// Starts a process, and waits until it says that it is ready.
    ///
    /// # Errors
    /// It ends, or does not become ready.
    pub async fn start(&self, words: &[&str]) -> Result<Running, Failure> {
        let log = self.folder.path().join(format!("{}.log", words[0]));
        let file = std::fs::File::create(&log).map_err(|e| Failure::new(format!("{} cannot be written: {e}", log.display())))?;
        let mut command = self.command(words)?;
        if words[0] != "work" {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(["--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(self.data());
        command.stdout(Stdio::piped()).stderr(Stdio::from(file));
        let began = Instant::now();
        let mut child = command.spawn().map_err(|e| Failure::new(format!("a process cannot be started: {e}")))?;
        let stdout = child.stdout.take().ok_or_else(|| Failure::new("a process has no standard output"))?;
        let mut printed = BufReader::new(stdout).lines();
        let first = timeout(PATIENCE, printed.next_line()).await.map_err(|_| unready(words, &log))?;
        let line = first.map_err(refused)?.ok_or_else(|| unready(words, &log))?;
        let admin = address(&line, "readiness on ").ok_or_else(|| unready(words, &log))?;
        let api = address(&line, "serves on ").or_else(|| address(&line, "ready on "));
        timeout(PATIENCE, ready(admin)).await.map_err(|_| unready(words, &log))?;
        let ready_after = began.elapsed();
        Ok(Running { child, admin, api, ready_after, _printed: printed })
    }

    /// A token for the user of this name. Of `berth dev`, a process must be at work.
    ///
    /// # Errors
    /// None is made.
    pub async fn token(&self, user: &str) -> Result<String, Failure> {
        let data = self.data().display().to_string();
        let words = match self.database {
            Some(_) => vec!["token", "--user", user],
            None => vec!["dev", "token", "--user", user, "--data-dir", &data],
        };
        let output = timeout(PATIENCE, self.command(&words)?.output()).await.map_err(|_| Failure::new("no token is made"))?;
        let output = output.map_err(refused)?;
        if !output.status.success() {
            return Err(Failure::new(format!("no token was made: {}", String::from_utf8_lossy(&output.stderr).trim())));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

impl Running {
    /// What it says of its readiness: the details, ready or not.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn readiness(&self) -> Result<Value, Failure> {
        let (_, details) = asked(self.admin).await.map_err(|e| Failure::new(format!("the process does not answer: {e}")))?;
        serde_json::from_slice(&details).map_err(refused)
    }

    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> Result<u32, Failure> {
        self.child.id().ok_or_else(|| Failure::new("a process has ended"))
    }

    /// A line of what the kernel knows of its memory, in MiB.
    ///
    /// # Errors
    /// It is gone.
    pub fn memory(&self, line: &str) -> Result<f64, Failure> {
        let gone = |why: String| Failure::new(format!("the process's memory cannot be read: {why}"));
        let pid = self.pid()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(|e| gone(e.to_string()))?;
        let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
        let kib: Option<f64> = found.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
        Ok(kib.ok_or_else(|| gone(format!("there is no {line}")))? / 1_024.0)
    }

    /// Has it drain, and waits for its end.
    ///
    /// # Errors
    /// It does not end, or not well.
    pub async fn stop(mut self) -> Result<(), Failure> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).map_err(refused)?;
        }
        let ended = timeout(PATIENCE, self.child.wait()).await.map_err(|_| Failure::new("a process does not end"))?;
        let status = ended.map_err(refused)?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("a process ended with {status}"))) }
    }
}

/// Where a process said that it listens.
fn address(line: &str, before: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(before)?;
    rest.strip_prefix("http://")?.split([' ', ')']).next()?.parse().ok()
}

async fn asked(admin: SocketAddr) -> std::io::Result<(u16, Vec<u8>)> {
    let mut said = Vec::new();
    let status = Client::connect(admin).await?.ask(READYZ, |piece| said.extend_from_slice(piece)).await?;
    Ok((status, said))
}

async fn ready(admin: SocketAddr) {
    while !asked(admin).await.is_ok_and(|(status, _)| status == 200) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// With the last that the process logged: the reason stands there.
fn unready(words: &[&str], log: &Path) -> Failure {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().last().unwrap_or("it says nothing");
    Failure::new(format!("`berth {}` did not become ready: {last}", words.join(" ")))
}
