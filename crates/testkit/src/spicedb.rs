//! A real SpiceDB for tests: one server per test process whose every key has an empty store of its own, or the one that
//! `BERTH_TEST_SPICEDB_ENDPOINT` names; and servers of a test's own that can be killed, with a key or two, over TLS or on PostgreSQL.
//!
//! Nothing is left behind, whatever happens to the test process: a small shell owns the server, reads from a pipe whose
//! other end this process holds, and ends the server when the pipe closes. No test is skipped where SpiceDB is missing: it
//! fails.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

use crate::postgres::Database;

const BINARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/spicedb-1.56.1/spicedb");

/// Starts the server, says `ready` with its process id, and kills it once its input ends.
const WATCHDOG: &str = r#"
trap '' INT HUP TERM PIPE
folder=$1; shift
: >"$folder/log"
"$@" </dev/null >>"$folder/log" 2>&1 &
pid=$!
finish() { kill -9 "$pid" 2>/dev/null; rm -rf "$folder"; }
trap finish EXIT
tries=0
until [ -S "$folder/socket" ] || grep -q 'grpc server started serving' "$folder/log"; do
  tries=$((tries + 1))
  if ! kill -0 "$pid" 2>/dev/null || [ "$tries" -gt 1200 ]; then cat "$folder/log"; exit 1; fi
  sleep 0.05
done
echo "ready $pid"
while read -r _; do :; done
"#;

/// Where the tests' server listens: a client with a key that nobody used before finds nothing there.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests are told by the command that runs them which server to use")]
pub fn shared() -> &'static str {
    static SHARED: OnceLock<(String, Option<SpiceDb>)> = OnceLock::new();
    let (endpoint, _server) = SHARED.get_or_init(|| {
        if let Ok(endpoint) = std::env::var("BERTH_TEST_SPICEDB_ENDPOINT") {
            return (endpoint, None);
        }
        let folder = folder();
        let (address, endpoint) = socket(&folder);
        let arguments = ["serve-testing", "--readonly-grpc-enabled=false", "--log-level=warn"].map(str::to_owned).to_vec();
        let server = SpiceDb::started(folder, endpoint.clone(), [arguments, address].concat(), None);
        (endpoint, Some(server))
    });
    endpoint
}

/// A certificate that a server shows, and its key, both in PEM.
pub struct Certificate<'a> {
    pub chain: &'a str,
    pub key: &'a str,
}

/// A server of a test's own.
pub struct SpiceDb {
    pub endpoint: String,
    folder: PathBuf,
    arguments: Vec<String>,
    pid: i32,
    watchdogs: Vec<Child>,
    _database: Option<Database>,
}

impl SpiceDb {
    /// With a store in memory, taking any of these keys.
    #[must_use]
    pub fn in_memory(keys: &[&str]) -> Self {
        let folder = folder();
        let (address, endpoint) = socket(&folder);
        let arguments = [serve(keys), address, vec!["--datastore-engine=memory".to_owned()]].concat();
        Self::started(folder, endpoint, arguments, None)
    }

    /// With a store in memory, ending every connection after this many milliseconds.
    #[must_use]
    pub fn restless(keys: &[&str], milliseconds: u32) -> Self {
        let folder = folder();
        let (address, endpoint) = socket(&folder);
        let age = format!("--grpc-max-conn-age={milliseconds}ms");
        let arguments = [serve(keys), address, vec!["--datastore-engine=memory".to_owned(), age]].concat();
        Self::started(folder, endpoint, arguments, None)
    }

    /// With a store in memory, over TLS at `localhost`.
    ///
    /// # Panics
    /// If the folder cannot be written.
    #[must_use]
    pub fn over_tls(keys: &[&str], certificate: &Certificate<'_>) -> Self {
        let folder = folder();
        // Free a moment ago; whoever takes it in between does not know the certificate.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port is free").port();
        let file = |name: &str, content: &str| {
            let path = folder.join(name);
            fs::write(&path, content).expect("the folder is ours");
            path.display().to_string()
        };
        let tls = vec![
            format!("--grpc-addr=127.0.0.1:{port}"),
            format!("--grpc-tls-cert-path={}", file("certificate.pem", certificate.chain)),
            format!("--grpc-tls-key-path={}", file("key.pem", certificate.key)),
            "--datastore-engine=memory".to_owned(),
        ];
        Self::started(folder, format!("https://localhost:{port}"), [serve(keys), tls].concat(), None)
    }

    /// With a PostgreSQL database as its store, so that it can be killed and started again.
    ///
    /// # Panics
    /// If the database cannot be prepared.
    pub async fn on_postgres(keys: &[&str]) -> Self {
        let database = Database::empty().await;
        let store = vec!["--datastore-engine=postgres".to_owned(), format!("--datastore-conn-uri={}", database.url)];
        let migrated = binary()
            .args(["datastore", "migrate", "head", "--skip-release-check", "--log-format=json"])
            .args(&store)
            .output()
            .expect("SpiceDB can be started");
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        let folder = folder();
        let (address, endpoint) = socket(&folder);
        let few =
            ["--datastore-conn-pool-read-max-open=4", "--datastore-conn-pool-read-min-open=1", "--datastore-conn-pool-write-max-open=4"];
        let few = few.into_iter().chain(["--datastore-conn-pool-write-min-open=1"]).map(str::to_owned).collect();
        Self::started(folder, endpoint, [serve(keys), address, store, few].concat(), Some(database))
    }

    fn started(folder: PathBuf, endpoint: String, mut arguments: Vec<String>, database: Option<Database>) -> Self {
        arguments.extend(["--skip-release-check".to_owned(), "--log-format=json".to_owned()]);
        let mut server = Self { endpoint, folder, arguments, pid: 0, watchdogs: Vec::new(), _database: database };
        server.start();
        server
    }

    /// Starts it at the same address, over the same store.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(&mut self) {
        let _left_behind = fs::remove_file(self.folder.join("socket"));
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "spicedb-watchdog"])
            .arg(&self.folder)
            .arg(BINARY)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell can be started");
        let mut output = BufReader::new(watchdog.stdout.take().expect("its output is piped"));
        let mut said = String::new();
        let pid = loop {
            let before = said.len();
            assert!(output.read_line(&mut said).is_ok_and(|n| n > 0), "SpiceDB did not start: {said}");
            if let Some(pid) = said[before..].strip_prefix("ready ") {
                break pid.trim().parse().expect("a process id");
            }
        };
        self.pid = pid;
        self.watchdogs.push(watchdog);
    }

    /// Ends it as a crash does.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        let pid = Pid::from_raw(self.pid).expect("it was started");
        kill_process(pid, Signal::KILL).expect("it runs");
    }
}

fn serve(keys: &[&str]) -> Vec<String> {
    ["serve", "--telemetry-endpoint=", "--metrics-enabled=false", "--dispatch-cluster-enabled=false"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("--grpc-preshared-key={}", keys.join(","))])
        .collect()
}

fn binary() -> Command {
    assert!(Path::new(BINARY).exists(), "SpiceDB is missing: scripts/tools.sh spicedb installs it");
    Command::new(BINARY)
}

/// A socket's path may have 107 bytes: not in TMPDIR.
fn folder() -> PathBuf {
    assert!(Path::new(BINARY).exists(), "SpiceDB is missing: scripts/tools.sh spicedb installs it");
    let folder = PathBuf::from(format!("/tmp/berth-spicedb-{}", Uuid::now_v7().simple()));
    fs::create_dir(&folder).expect("/tmp is writable");
    folder
}

/// The arguments that make a server listen in `folder`, and the endpoint that this is.
fn socket(folder: &Path) -> (Vec<String>, String) {
    let path = folder.join("socket").display().to_string();
    (vec!["--grpc-network=unix".to_owned(), format!("--grpc-addr={path}")], format!("unix:{path}"))
}
