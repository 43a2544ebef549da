//! `berth bench` with numbers as small as they may be: every measurement ends, tells what it says it tells, and leaves
//! nothing behind. How fast anything was is not looked at.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use domain::permissions::{Cause, Object, Permissions as _, Relationship, RelationshipPages as _, Update};
use providers::permissions::spicedb::{Key, Settings};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::spicedb::SpiceDb;
use testkit::{Backend, TestDb};
use tokio::process::Command;

/// Nothing here takes this long; what does, hangs.
const PATIENCE: Duration = Duration::from_mins(2);

fn berth(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.arg("bench").args(arguments).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").kill_on_drop(true);
    command
}

async fn ended(mut command: Command) -> Output {
    tokio::time::timeout(PATIENCE, command.output()).await.expect("the measurement ends").unwrap()
}

/// Has it measure, and checks that the report has these figures, all of them numbers above nothing.
async fn measured(arguments: &[&str], figures: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    measured_in(folder.path(), arguments, figures).await.0
}

/// As [`measured`], with this folder for what is temporary; and how much of that is left.
async fn measured_in(folder: &Path, arguments: &[&str], figures: &[&str]) -> (Value, usize) {
    let mut command = berth(arguments);
    command.args(["--output", "json"]).env("TMPDIR", folder);
    let output = ended(command).await;
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {err}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["bench"], arguments[0], "{report:#}");
    assert!(report["measures"].as_str().unwrap().len() > 40, "{report:#}");
    for figure in figures {
        assert!(report[*figure].as_f64().is_some_and(|number| number > 0.0), "{arguments:?}: {figure}: {report:#}");
    }
    assert!(report["parameters"]["database"].is_string(), "{report:#}");
    for version in ["berth", "build"] {
        assert!(report["versions"][version].is_string(), "{report:#}");
    }
    assert!(report["versions"]["database"]["version"].is_string(), "{report:#}");
    (report, std::fs::read_dir(folder).unwrap().count())
}

fn name(report: &Value) -> String {
    report["versions"]["database"]["name"].as_str().unwrap().to_owned()
}

/// A PostgreSQL server to measure on.
struct Server(TestDb);

impl Server {
    async fn new() -> Self {
        Self(TestDb::new(Backend::Postgres).await)
    }

    async fn measured(&self, arguments: &[&str], figures: &[&str]) -> Value {
        let url = self.0.location();
        let arguments = [arguments, &["--database-url", &url, "--connections", "5"]].concat();
        let report = measured(&arguments, figures).await;
        assert_eq!(report["versions"]["database"]["kind"], "postgresql");
        report
    }

    async fn asked(&self, sql: &str) -> String {
        self.asked_at(&self.0.location(), sql).await
    }

    /// Asks another database of the server.
    async fn asked_in(&self, database: &str, sql: &str) -> String {
        let url = self.0.location();
        let (place, options) = url.split_once('?').unwrap();
        let (server, _) = place.rsplit_once('/').unwrap();
        self.asked_at(&format!("{server}/{database}?{options}"), sql).await
    }

    async fn asked_at(&self, url: &str, sql: &str) -> String {
        let mut command = Command::new("/usr/lib/postgresql/15/bin/psql");
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql]);
        let output = ended(command).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    async fn has(&self, database: &str) -> bool {
        self.asked(&format!("select count(*) from pg_database where datname = '{database}'")).await == "1"
    }
}

const RUNS: &[&str] = &["runs_per_second", "steps_per_second", "p50_ms", "p99_ms", "seconds", "submitted_in_seconds"];
const REQUESTS: &[&str] = &["requests_per_second", "p50_ms", "p99_ms", "seconds"];

#[tokio::test]
async fn runs_are_measured_on_sqlite_and_the_folder_is_gone_afterwards() {
    let report = measured(&["saga", "--runs", "6", "--in-flight", "3", "--steps", "2"], RUNS).await;
    assert_eq!(report["parameters"]["workload"], "closed");
    assert!(!Path::new(&name(&report)).exists(), "{report:#}");
    let alone = measured(&["saga", "--runs", "2", "--in-flight", "1", "--steps", "1"], RUNS).await;
    assert_eq!(alone["parameters"]["workload"], "single");
}

#[tokio::test]
async fn runs_are_measured_on_postgresql_and_the_database_is_gone_afterwards_unless_it_is_to_be_kept() {
    let server = Server::new().await;
    let report = server.measured(&["saga", "--runs", "6", "--in-flight", "3", "--steps", "2"], RUNS).await;
    assert!(!server.has(&name(&report)).await, "{report:#}");

    let kept = server.measured(&["saga", "--runs", "6", "--burst", "--steps", "2", "--keep"], RUNS).await;
    assert_eq!(kept["parameters"]["workload"], "burst");
    assert!(server.has(&name(&kept)).await, "{kept:#}");
    server.asked(&format!("drop database {}", name(&kept))).await;
}

#[tokio::test]
async fn several_worker_processes_share_the_runs() {
    let server = Server::new().await;
    let report = server.measured(&["saga", "--runs", "8", "--in-flight", "4", "--steps", "2", "--workers", "2"], RUNS).await;
    assert!(!server.has(&name(&report)).await, "{report:#}");

    let alone = server.measured(&["saga", "--runs", "4", "--in-flight", "2", "--steps", "1", "--apart"], RUNS).await;
    assert_eq!((&alone["parameters"]["workers"], &alone["parameters"]["apart"]), (&Value::from(1), &Value::from(true)));

    let output = ended(berth(&["saga", "--workers", "2"])).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("in processes of their own need PostgreSQL"), "{output:?}");
}

#[tokio::test]
async fn real_workspaces_are_measured_on_both_databases() {
    let arguments = ["saga", "--real", "--runs", "4", "--in-flight", "2", "--warm-up", "1"];
    let figures = &["runs_per_second", "p50_ms", "p99_ms"];
    let report = measured(&arguments, figures).await;
    assert_eq!(report["parameters"]["saga"], "create-workspace");
    Server::new().await.measured(&arguments, figures).await;
}

#[tokio::test]
async fn figures_are_told_in_units_of_the_machines_limits_where_they_are_asked_for() {
    let limits = ["--limits", "--limit-seconds", "0.05", "--limit-rows", "100"];
    let saga = [&["saga", "--runs", "4", "--in-flight", "2", "--steps", "2"], &limits[..]].concat();
    for report in [measured(&saga, RUNS).await, Server::new().await.measured(&saga, RUNS).await] {
        let (figure, limit) = (report["steps_per_second"].as_f64().unwrap(), report["limits"]["C_steps_per_second"].as_f64().unwrap());
        let unit = report["in_units"]["steps_per_second_in_C"].as_f64().unwrap();
        assert!((unit - figure / limit).abs() < 1e-9, "{report:#}");
    }
    // After requests that have had every connection of the pool in use, which are then kept ready for others.
    let accept = [&["accept", "--accounts", "1", "--requests", "60", "--clients", "20"], &limits[..]].concat();
    let report = Server::new().await.measured(&accept, REQUESTS).await;
    assert!(report["in_units"]["requests_per_second_in_C"].is_f64(), "{report:#}");

    let figures = ["C_steps_per_second", "B_steps_per_second", "L_p50_ms", "S_selects_per_second"];
    let own = measured(&["limits", "--limit-seconds", "0.05"], &figures).await;
    assert!(own["Y_rows_per_second"].is_null(), "{own:#}");
    let all = [&figures[..], &["Y_rows_per_second"]].concat();
    Server::new().await.measured(&["limits", "--limit-seconds", "0.05", "--limit-rows", "100"], &all).await;
}

#[tokio::test]
async fn requests_are_measured_over_http_on_both_databases() {
    let server = Server::new().await;
    let few = ["--requests", "5", "--clients", "2", "--warm-up", "1"];
    for arguments in [
        &["accept", "--accounts", "2"][..],
        &["get", "--workspaces", "3", "--accounts", "2"],
        &["list", "--workspaces", "3", "--accounts", "2", "--page", "2"],
        &["audit", "--entries", "20", "--page", "10"],
    ] {
        let arguments = [arguments, &few].concat();
        let report = measured(&arguments, REQUESTS).await;
        assert!(!Path::new(&name(&report)).exists(), "{report:#}");
        let report = server.measured(&arguments, REQUESTS).await;
        assert!(!server.has(&name(&report)).await, "{report:#}");
    }
}

#[tokio::test]
async fn an_export_is_measured_on_both_databases() {
    let figures = &["rows_per_second", "megabytes_per_second", "bytes", "seconds"];
    measured(&["export", "--rows", "1200"], figures).await;
    let limits = ["--limits", "--limit-seconds", "0.05", "--limit-rows", "100"];
    let report = Server::new().await.measured(&[&["export", "--rows", "1200"], &limits[..]].concat(), figures).await;
    assert!(report["in_units"]["rows_per_second_in_Y"].is_f64(), "{report:#}");
}

#[tokio::test]
async fn questions_to_the_permission_system_are_measured_and_taken_away_from_a_spicedb() {
    let few = ["check", "--workspaces", "3", "--accounts", "2", "--questions", "5", "--clients", "2", "--warm-up", "1"];
    let embedded = ["embedded_per_second", "embedded_p50_ms", "embedded_p99_ms"];
    let report = measured(&few, &embedded).await;
    assert!(report["spicedb_p50_ms"].is_null(), "{report:#}");

    let spicedb = SpiceDb::in_memory(&["of-the-bench"]);
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "of-the-bench").unwrap();
    let beside = [&few[..], &["--spicedb", &spicedb.endpoint, "--spicedb-key-file", key.to_str().unwrap()]].concat();
    let both = [
        "spicedb_per_second",
        "spicedb_p50_ms",
        "spicedb_p99_ms",
        "spicedb_now_per_second",
        "spicedb_now_p50_ms",
        "spicedb_p50_over_embedded",
    ];
    let client = Settings::new(&spicedb.endpoint, Key::Given("of-the-bench".to_owned()), Arc::new(|| 0.5));
    let client = providers::permissions::spicedb::SpiceDb::new(client).await.unwrap();
    client.write_schema().await.unwrap();
    let left_behind = Relationship::new(Object::new("account", "bench-1"), "platform", Object::platform());
    client.write(&[Update::Touch(left_behind)], &[], &Cause::Hand("test")).await.unwrap();
    Server::new().await.measured(&beside, &[&embedded[..], &both].concat()).await;
    for kind in ["account", "workspace"] {
        assert_eq!(client.page(kind, None, 10).await.unwrap().relationships, [], "nothing is left, of an earlier measurement either");
    }
    let somebodys = Relationship::new(Object::new("account", "somebodys"), "platform", Object::platform());
    client.write(&[Update::Touch(somebodys.clone())], &[], &Cause::Hand("test")).await.unwrap();
    let refused = ended(berth(&beside)).await;
    let err = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && err.contains("holds accounts"), "{err}");
    assert_eq!(client.page("account", None, 10).await.unwrap().relationships, [somebodys], "it is as it was");
}

#[tokio::test]
async fn claims_are_measured_with_and_without_finished_runs() {
    let arguments = ["claim", "--finished", "200", "--journal", "2", "--claims", "3", "--batch", "2"];
    let figures = &["empty_p50_ms", "empty_p99_ms", "p50_ms", "p99_ms", "p50_over_empty", "filled_in_seconds"];
    measured(&arguments, figures).await;
    let server = Server::new().await;
    let report = server.measured(&[&arguments[..], &["--keep"]].concat(), figures).await;
    let kept = name(&report);
    let finished = "select count(*) from provisioning_runs where terminal and state = 'succeeded'";
    assert_eq!(server.asked_in(&kept, finished).await, "200", "what is measured the second time has to be there");
    assert_eq!(server.asked_in(&kept, "select count(*) from run_journal").await, "400");
    server.asked(&format!("drop database {kept}")).await;
}

#[tokio::test]
async fn idle_workers_are_watched() {
    let server = Server::new().await;
    let report = server.measured(&["idle", "--workers", "2", "--seconds", "1"], &["seconds"]).await;
    for figure in ["cpu_percent_of_one_core", "transactions_per_second"] {
        assert!(report[figure].is_f64(), "{report:#}");
    }
    assert!(!server.has(&name(&report)).await, "{report:#}");
}

#[tokio::test]
async fn starts_are_measured_on_both_databases_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let figures = ["p50_ms", "p99_ms", "first_ms"];
    let (report, left) = measured_in(folder.path(), &["start", "--times", "2"], &figures).await;
    assert_eq!((&report["parameters"]["command"], left), (&Value::from("dev"), 0), "{report:#}");

    let server = Server::new().await;
    let report = server.measured(&["start", "--times", "2"], &figures).await;
    assert_eq!(report["parameters"]["command"], "serve", "{report:#}");
    assert!(!server.has(&name(&report)).await, "{report:#}");
}

#[tokio::test]
async fn memory_is_measured_of_a_process_that_is_idle_and_of_one_with_runs_that_wait() {
    let figures = ["resident_mib", "own_mib", "peak_mib", "taken_up_in_seconds"];
    let idle = measured(&["memory", "--idle-for", "0.1"], &figures).await;
    let server = Server::new().await;
    let waiting = server.measured(&["memory", "--idle-for", "0.1", "--waiting", "20", "--keep"], &figures).await;
    for report in [&idle, &waiting] {
        let figure = |name: &str| report[name].as_f64().unwrap();
        // A program with a runtime and a database in it has a few MiB, and a process that has just begun no GiB.
        assert!((4.0..1_024.0).contains(&figure("resident_mib")), "{report:#}");
        assert!(figure("own_mib") < figure("resident_mib") && figure("resident_mib") <= figure("peak_mib"), "{report:#}");
    }
    let kept = name(&waiting);
    let waiting = "select count(*) from provisioning_runs where state = 'waiting' and owner is null and saga = 'create-workspace'";
    assert_eq!(server.asked_in(&kept, waiting).await, "20", "what is looked at has to have been taken up");
    let begun = "select count(distinct run_id) from run_journal where event::text like '%create-environments%'";
    assert_ne!(server.asked_in(&kept, begun).await, "0");
    server.asked(&format!("drop database {kept}")).await;
}

#[tokio::test]
async fn a_killed_workers_runs_are_seen_to_be_claimed_by_the_other() {
    let server = Server::new().await;
    let arguments = ["takeover", "--runs", "20", "--times", "2", "--lease", "2", "--keep"];
    let report = server.measured(&arguments, &["p50_ms", "p99_ms", "lease_ms"]).await;
    assert_eq!(report["lease_ms"], 2_000.0, "{report:#}");
    assert!(report["longest_over_lease_ms"].is_f64(), "{report:#}");
    let kept = name(&report);
    let claims = "select string_agg(n || ' by ' || e, ', ') from
                  (select count(*) n, epoch e from provisioning_runs group by epoch order by epoch) claimed";
    assert_eq!(server.asked_in(&kept, claims).await, "40 by 2", "each run was claimed once by either worker");
    server.asked(&format!("drop database {kept}")).await;

    let output = ended(berth(&["takeover"])).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("in processes of their own need PostgreSQL"), "{output:?}");
}

#[tokio::test]
async fn freezes_are_measured_until_the_backend_refuses_the_login_on_both_databases() {
    let arguments = ["freeze", "--times", "3", "--workspaces", "2"];
    let figures = ["p50_ms", "p99_ms", "answered_p50_ms", "answered_p99_ms"];
    let report = measured(&arguments, &figures).await;
    assert_eq!(report["parameters"]["processes"], 1, "{report:#}");
    let server = Server::new().await;
    let report = server.measured(&[&arguments[..], &["--keep"]].concat(), &figures).await;
    assert_eq!(report["parameters"]["processes"], 2, "{report:#}");
    let kept = name(&report);
    // Two to warm up, three that are measured; each was lifted again.
    let frozen = "select count(*) from audit_entries where action = 'workspace.freeze'";
    assert_eq!(server.asked_in(&kept, frozen).await, "5");
    server.asked(&format!("drop database {kept}")).await;
}

#[tokio::test]
async fn a_report_for_people_says_the_same_in_lines() {
    let output = ended(berth(&["saga", "--runs", "2", "--in-flight", "1", "--steps", "1"])).await;
    let text = String::from_utf8(output.stdout).unwrap();
    for words in ["each durable before the next begins", "runs per second  ", "p99 ms  ", "database version  "] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_the_password() {
    let output = ended(berth(&["saga", "--database-url", "postgres://berth:hunter2@127.0.0.1:1/postgres"])).await;
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.starts_with("berth: no database can be made for the measurement: ") && err.contains("--database-url"), "{err}");
    assert!(!err.contains("hunter2") && output.stdout.is_empty(), "{err}");
}

#[tokio::test]
async fn a_measurement_that_is_interrupted_clears_its_database_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = berth(&["saga", "--runs", "4000000"]);
    let mut child = command.env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let entries = || std::fs::read_dir(folder.path()).unwrap().count();
    let begun = tokio::time::timeout(PATIENCE, async {
        while entries() == 0 {
            tokio::task::yield_now().await;
        }
    });
    begun.await.expect("it makes its database");
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
    assert!(!status.success());
    assert_eq!(entries(), 0, "it has left something behind");
}
