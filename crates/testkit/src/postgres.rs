//! A real PostgreSQL for tests: one server per test process, started on demand, or the one that
//! `BERTH_TEST_POSTGRES_URL` names; and in it a fresh database per test, copied from a migrated template.
//!
//! Nothing is left behind, whatever happens to the test process: a small shell owns the server, reads from a pipe whose
//! other end this process holds, and stops the server and removes its folder when the pipe closes. No test is skipped
//! where PostgreSQL is missing: it fails.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use store::{Db, Waits};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Where the servers are that tests start, unless `BERTH_TEST_POSTGRES_BIN` says otherwise; the client is always this one's.
const BIN: &str = "/usr/lib/postgresql/15/bin";
/// `nobody` and `nogroup` on Debian: `initdb` refuses root.
pub(crate) const NOBODY: u32 = 65_534;
/// For tests of logic: nothing is to survive a crash of the machine.
const SETTINGS: &str = "-c listen_addresses='' -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=300 \
                        -c timezone=UTC -c shared_buffers=32MB";

/// Starts the server, says `ready`, and stops it once its input ends, which it does when the test process is gone.
/// Interrupts from a terminal go to the whole process group, and `ready` may be said to nobody: neither may end the shell before
/// it has cleaned up.
const WATCHDOG: &str = r#"
trap '' INT HUP TERM PIPE
bin=$1; folder=$2; settings=$3
cd "$folder"
finish() { "$bin/pg_ctl" -D data -m immediate -w stop >/dev/null 2>&1; cd /; rm -rf "$folder"; }
trap finish EXIT
"$bin/initdb" -D data -U berth -A trust -E UTF8 --locale=C.UTF-8 --no-sync >log 2>&1 || { cat log; exit 1; }
"$bin/pg_ctl" -D data -l log -w -t 60 start -o "-k '$folder' $settings" >start.log 2>&1 || { cat start.log log; exit 1; }
echo ready
while read -r _; do :; done
"#;

/// A server to make databases in.
struct Server {
    /// The URL of its database `postgres`.
    url: String,
    /// Its watchdog; the pipe to it closes with this process.
    _watchdog: Option<Child>,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// A database of one test; dropped with this.
pub(crate) struct Database {
    pub(crate) url: String,
    name: String,
}

impl Database {
    pub(crate) async fn new() -> Self {
        // Starting a server blocks for a second, once.
        let server = tokio::task::spawn_blocking(server).await.expect("the server starts");
        let template = TEMPLATE.get_or_init(|| template(server)).await;
        let name = format!("t_{}", Uuid::now_v7().simple());
        psql_says(server, &format!("create database {name} template {template}"));
        Self { url: server.database(&name), name }
    }

    /// One without tables.
    pub(crate) async fn empty() -> Self {
        let server = tokio::task::spawn_blocking(server).await.expect("the server starts");
        let name = format!("t_{}", Uuid::now_v7().simple());
        psql_says(server, &format!("create database {name}"));
        Self { url: server.database(&name), name }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(server) = SERVER.get() {
            let drop = format!("drop database if exists {} with (force)", self.name);
            // A test that failed must say why it did, not that its database could not be dropped.
            let _ = client(server).args(["-c", &drop]).output();
        }
    }
}

impl Server {
    fn database(&self, name: &str) -> String {
        let (before, after) = self.url.split_once("/postgres?").expect("the URL names the database postgres");
        format!("{before}/{name}?{after}")
    }
}

#[expect(clippy::disallowed_methods, reason = "tests are told by the command that runs them which server to use")]
fn server() -> &'static Server {
    SERVER.get_or_init(|| match std::env::var("BERTH_TEST_POSTGRES_URL") {
        Ok(url) => Server { url, _watchdog: None },
        Err(_) => start(),
    })
}

fn start() -> Server {
    assert!(bin().join("initdb").exists(), "{}", missing());
    // Not in TMPDIR: `nobody` must reach it, and a socket's path may have 107 bytes.
    let folder = PathBuf::from(format!("/tmp/berth-postgres-{}", Uuid::now_v7().simple()));
    fs::create_dir(&folder).expect("/tmp is writable");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    let mut command = if rustix::process::geteuid().is_root() {
        chown(&folder, Some(NOBODY), Some(NOBODY)).expect("root may give a folder away");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    let mut watchdog = command
        .args(["-c", WATCHDOG, "postgres-watchdog"])
        .arg(bin())
        .arg(&folder)
        .arg(SETTINGS)
        .env("HOME", &folder)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell can be started");
    let mut said = String::new();
    let mut output = BufReader::new(watchdog.stdout.take().expect("its output is piped"));
    while !said.ends_with("ready\n") {
        assert!(output.read_line(&mut said).is_ok_and(|n| n > 0), "PostgreSQL did not start: {said}");
    }
    Server { url: format!("postgres://berth@localhost/postgres?host={}", folder.display()), _watchdog: Some(watchdog) }
}

/// The name of a migrated database to copy. Processes that share a server share it; the first makes it, under a lock.
async fn template(server: &Server) -> String {
    let name = format!("berth_template_{}", store::schema_digest());
    let lock = Lock::take(server);
    if !psql_says(server, "select datname from pg_database").lines().any(|line| line == name) {
        let draft = format!("draft_{}", Uuid::now_v7().simple());
        psql_says(server, &format!("create database {draft}"));
        let db = Db::open_postgres(&server.database(&draft), 1, Waits::default()).await.expect("the new database can be opened");
        db.migrate().await.expect("an empty database can be migrated");
        db.close().await;
        psql_says(server, &format!("alter database {draft} rename to {name}"));
    }
    drop(lock);
    name
}

/// An advisory lock of the server, held by a client that waits for input.
struct Lock(Child);

impl Lock {
    fn take(server: &Server) -> Self {
        let mut session = client(server).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql can be started");
        session.stdin.as_mut().expect("its input is piped").write_all(b"select pg_advisory_lock(7261);\n").expect("psql reads");
        let mut answer = String::new();
        BufReader::new(session.stdout.as_mut().expect("its output is piped")).read_line(&mut answer).expect("psql answers");
        Self(session)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn client(server: &Server) -> Command {
    let mut command = psql();
    command.args(["-d", &server.url]);
    command
}

/// The client, told to say only what was asked for.
pub(crate) fn psql() -> Command {
    let mut command = Command::new(Path::new(BIN).join("psql"));
    command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]).current_dir("/");
    command
}

/// The folder of `initdb` and `pg_ctl`.
#[expect(clippy::disallowed_methods, reason = "tests are told by the command that runs them which server to use")]
pub(crate) fn bin() -> PathBuf {
    std::env::var_os("BERTH_TEST_POSTGRES_BIN").map_or_else(|| PathBuf::from(BIN), PathBuf::from)
}

pub(crate) fn missing() -> String {
    format!(
        "PostgreSQL is missing in {}: scripts/tools.sh postgres installs it, or name a server in BERTH_TEST_POSTGRES_URL",
        bin().display()
    )
}

fn psql_says(server: &Server, sql: &str) -> String {
    let output = client(server).args(["-c", sql]).output().expect("psql can be started");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
