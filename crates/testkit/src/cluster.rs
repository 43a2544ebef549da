//! A PostgreSQL of one test's own, which it may stop in the middle, start again, and give roles, TLS or a pooler. A commit has
//! reached the system when it is answered, so that it survives a crash of the server; nothing here crashes the machine, and
//! waiting for its disk would only make the tests slow.
//!
//! As with [`crate::postgres`] a small shell owns it: it carries out the lines that it is told, and stops the server and removes
//! its folder when the test process is gone.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use uuid::Uuid;

use crate::postgres::{NOBODY, bin, missing};

const WATCHDOG: &str = r#"
trap '' INT HUP TERM PIPE
bin=$1; folder=$2
cd "$folder"
finish() {
  [ -f bouncer.pid ] && kill -9 "$(cat bouncer.pid)" 2>/dev/null
  "$bin/pg_ctl" -D data -m immediate -w stop >/dev/null 2>&1; cd /; rm -rf "$folder" 2>/dev/null
}
trap finish EXIT
while read -r line; do
  ( eval "$line" ) >said 2>&1 </dev/null
  result=$?
  [ $result = 0 ] || { cat said; tail -n 20 log bouncer.log; } 2>/dev/null
  echo "done $result"
done
"#;

/// The port in the names of sockets; nobody listens on it.
const PORT: u16 = 5432;
const BOUNCER_PORT: u16 = 6432;
const BOUNCER: &str = "/usr/sbin/pgbouncer";

/// The owner of the cluster, a superuser.
pub const SUPERUSER: &str = "berth";

/// Ends all processes of the server at once, none of which may do anything more, and waits until they are gone. The first is
/// stopped before its children are looked for, so that it makes no more of them. Where nobody waits for orphans, what is dead would
/// count as alive: what names it is removed.
const KILL: &str = r#"
one=$(head -n 1 data/postmaster.pid) && kill -STOP "$one" && all=$one;
for stat in /proc/[0-9]*/stat; do
  read -r pid _ _ parent _ 2>/dev/null <"$stat" && [ "$parent" = "$one" ] && all="$pid $all";
done;
kill -9 $all;
for pid in $all; do
  for i in $(seq 600); do
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null); [ "${state:-Z}" = Z ] && break; sleep 0.05;
  done;
done;
[ "${state:-Z}" = Z ] && rm data/postmaster.pid .s.PGSQL.*.lock
"#;

/// A running server, or one that is stopped for a while.
pub struct Cluster {
    folder: PathBuf,
    shell: Child,
    told: Option<ChildStdin>,
    says: BufReader<ChildStdout>,
    /// Where it listens with TLS, if it does.
    tls: Option<u16>,
}

impl Cluster {
    /// A server on a Unix socket; everybody is let in.
    ///
    /// # Panics
    /// If there is no PostgreSQL: no test is skipped for the want of one.
    #[must_use]
    pub fn start() -> Self {
        Self::make(None, None)
    }

    /// As [`Cluster::start`]; its data is on a file system of its own that has so many MiB, WAL and all. It is seen by the server
    /// only, and goes with it.
    ///
    /// # Panics
    /// If no file system can be mounted: that takes root and `CAP_SYS_ADMIN`, and no test is skipped for the want of them.
    #[must_use]
    pub fn start_on_small_disk(mebibytes: u32) -> Self {
        Self::make(None, Some(mebibytes))
    }

    /// As [`Cluster::start`]; and on `localhost`, with a certificate for that name only, which [`Cluster::authority`] signed.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    #[must_use]
    pub fn start_with_tls() -> Self {
        // Free as long as nobody else asks for one: the listener is gone before the server comes.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port is free").port();
        Self::make(Some(port), None)
    }

    fn make(tls: Option<u16>, disk: Option<u32>) -> Self {
        assert!(bin().join("initdb").exists(), "{}", missing());
        // Not in TMPDIR: `nobody` must reach it, and a socket's path may have 107 bytes.
        let folder = PathBuf::from(format!("/tmp/berth-cluster-{}", Uuid::now_v7().simple()));
        fs::create_dir(&folder).expect("/tmp is writable");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
        let is_root = rustix::process::geteuid().is_root();
        assert!(disk.is_none() || is_root, "a test of a full disk mounts a small one: run it as root");
        let mut command = if is_root {
            chown(&folder, Some(NOBODY), Some(NOBODY)).expect("root may give a folder away");
            let mut command = if let Some(mebibytes) = disk {
                let mount = format!(
                    "mkdir data && mount -t tmpfs -o size={mebibytes}m,mode=0700,uid={NOBODY},gid={NOBODY} tmpfs data || \
                     {{ echo 'no file system can be mounted here: a test of a full disk needs CAP_SYS_ADMIN'; exit 1; }}; exec \"$@\""
                );
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-c", &mount, "sh", "setpriv"]);
                command
            } else {
                Command::new("setpriv")
            };
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        let mut shell = command
            .args(["-c", WATCHDOG, "cluster-watchdog"])
            .arg(bin())
            .arg(&folder)
            .env("HOME", &folder)
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell can be started");
        let says = BufReader::new(shell.stdout.take().expect("its output is piped"));
        let told = shell.stdin.take();
        let mut cluster = Self { folder, shell, told, says, tls };
        cluster.tell("\"$bin/initdb\" -D data -U berth -A trust -E UTF8 --locale=C.UTF-8 --no-sync");
        if tls.is_some() {
            cluster.make_certificates();
        }
        cluster.start_again();
        cluster
    }

    /// Carries out a line of shell in the cluster's folder, as its owner.
    fn tell(&mut self, line: &str) {
        let shell = self.told.as_mut().expect("it is told until it is dropped");
        writeln!(shell, "{line}").expect("the shell reads");
        let mut said = String::new();
        loop {
            let read = self.says.read_line(&mut said).expect("the shell answers");
            match said.lines().last() {
                Some("done 0") => return,
                Some(last) if read > 0 && !last.starts_with("done ") => {}
                _ => panic!("{line}: {said}"),
            }
        }
    }

    fn make_certificates(&mut self) {
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        for line in [
            format!("openssl req -x509 {key} -keyout ca.key -out ca.crt -days 2 -subj /CN=berth-test-authority"),
            format!("openssl req {key} -keyout server.key -out server.csr -subj /CN=localhost"),
            "echo subjectAltName=DNS:localhost >names".to_owned(),
            "openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out server.crt -extfile names".to_owned(),
            "chmod 600 server.key; chmod 644 ca.crt".to_owned(),
            "printf 'local all all trust\\nhostssl all all all trust\\n' >data/pg_hba.conf".to_owned(),
        ] {
            self.tell(&line);
        }
    }

    /// The certificate of who signed the server's.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Stops the server as a crash would: nobody is told, nothing is finished, connections break off.
    ///
    /// # Panics
    /// If it does not run.
    pub fn crash(&mut self) {
        self.tell("\"$bin/pg_ctl\" -D data -m immediate -w stop");
    }

    /// Ends every process of the server by SIGKILL.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        self.tell(&KILL.replace('\n', " "));
    }

    /// Leaves so many KiB of a small disk, or less where the server is faster.
    ///
    /// # Panics
    /// If less is left already.
    pub fn fill_disk(&mut self, leaving: u32) {
        self.tell(&format!(
            "left=$(df -k --output=avail data | tail -n 1) && [ \"$left\" -gt {leaving} ] && \
             {{ dd if=/dev/zero of=data/ballast bs=1024 count=$((left - {leaving})) status=none 2>/dev/null; true; }}"
        ));
    }

    /// Makes room on a small disk again, and starts the server if the want of it has ended it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn free_disk(&mut self) {
        self.tell("rm data/ballast");
        // One that is ending by itself has ended before another is started.
        let ready = "\"$bin/pg_isready\" -q -h \"$folder\"";
        self.tell(&format!("for i in $(seq 600); do {ready} && exit 0; [ -e data/postmaster.pid ] || exit 0; sleep 0.05; done; exit 1"));
        self.tell(&format!("{ready} || {}", self.start_line()));
    }

    /// How often the server has said that there was no room on its disk.
    ///
    /// # Panics
    /// If its log cannot be read.
    #[must_use]
    pub fn times_full(&self) -> usize {
        let log = std::fs::read(self.folder.join("log")).expect("the server's log");
        String::from_utf8_lossy(&log).matches("No space left on device").count()
    }

    /// The socket that it listens on.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join(format!(".s.PGSQL.{}", self.port()))
    }

    /// # Panics
    /// If it runs, or cannot.
    pub fn start_again(&mut self) {
        self.tell(&self.start_line());
    }

    fn start_line(&self) -> String {
        let tls = self.tls.map_or_else(
            || "-c listen_addresses=''".to_owned(),
            |port| {
                let folder = self.folder.display();
                format!(
                    "-c listen_addresses=localhost -c port={port} -c ssl=on -c ssl_cert_file={folder}/server.crt -c ssl_key_file={folder}/server.key"
                )
            },
        );
        format!(
            "\"$bin/pg_ctl\" -D data -l log -w -t 60 start -o \"-k '$folder' {tls} -c max_connections=200 -c timezone=UTC -c shared_buffers=32MB\""
        )
    }

    fn port(&self) -> u16 {
        self.tls.unwrap_or(PORT)
    }

    /// Of a database, over the socket.
    #[must_use]
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@localhost:{}/{database}?host={}", self.port(), self.folder.display())
    }

    /// Of a database, over TCP to `host`, with this `sslmode` and what else belongs into the query.
    ///
    /// # Panics
    /// If the cluster does not listen there.
    #[must_use]
    pub fn tcp_url(&self, host: &str, database: &str, query: &str) -> String {
        format!("postgres://{SUPERUSER}@{host}:{}/{database}?{query}", self.tls.expect("it was started with TLS"))
    }

    /// Starts a `PgBouncer` in transaction mode, with few connections to the server for each role and database.
    ///
    /// # Panics
    /// If there is none: no test is skipped for the want of one.
    pub fn start_pooler(&mut self, roles: &[&str]) {
        assert!(Path::new(BOUNCER).exists(), "PgBouncer is missing: scripts/tools.sh pgbouncer installs it");
        for role in roles {
            self.tell(&format!("echo '\"{role}\" \"\"' >>users.txt"));
        }
        let settings = format!(
            "[databases]\\n* = host=$folder port={}\\n[pgbouncer]\\nlisten_addr =\\nlisten_port = {BOUNCER_PORT}\\nunix_socket_dir = $folder\\n\
             auth_type = trust\\nauth_file = $folder/users.txt\\npool_mode = transaction\\ndefault_pool_size = 4\\nmax_client_conn = 200\\n\
             logfile = $folder/bouncer.log\\npidfile = $folder/bouncer.pid\\n",
            self.port()
        );
        self.tell(&format!("printf \"{settings}\" >bouncer.ini"));
        // It goes into the background before it listens.
        self.tell(&format!(
            "{BOUNCER} -q -d bouncer.ini && for i in $(seq 600); do [ -S .s.PGSQL.{BOUNCER_PORT} ] && exit 0; sleep 0.05; done; exit 1"
        ));
    }

    /// Of a database, through the pooler.
    #[must_use]
    pub fn pooled_url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@localhost:{BOUNCER_PORT}/{database}?host={}", self.folder.display())
    }

    /// What `psql` says to statements, or how they are refused.
    ///
    /// # Errors
    /// The server's sentence.
    ///
    /// # Panics
    /// If there is no `psql`.
    pub fn psql(&self, role: &str, database: &str, sql: &str) -> Result<String, String> {
        let mut command = crate::postgres::psql();
        let output = command.args(["-d", &self.url(role, database), "-c", sql]).output().expect("psql can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.told.take());
        let _ = self.shell.wait();
        // The shell cannot remove what a file system was mounted on.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
