//! Workers whose clocks are hours wrong, in both directions: what is due, whose a run is and when it happened is told by the database's clock.

use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use rustix::process::Signal;

use crate::installation::{Installation, OWNER};
use crate::server::Server;

/// Puts a process's wall clock wrong.
fn shim(folder: &Path) -> PathBuf {
    let (source, shim) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process/skewed_clock.c"), folder.join("skewed_clock.so"));
    let made = std::process::Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(source).arg("-ldl").status().unwrap();
    assert!(made.success(), "the C compiler makes it");
    shim
}

async fn worker(installation: &mut Installation, shim: &Path, seconds: &str) -> Server {
    let environment = [("LD_PRELOAD", shim.to_str().unwrap()), ("SKEW_SECONDS", seconds), ("BERTH_LOG__FILTER", "debug")];
    let worker = installation.try_start(&["work"], &environment).await.unwrap_or_else(|log| panic!("it ended:\n{log}"));
    let hour = &worker.log()[.."2026-01-01T00".len()];
    let here = installation.psql(OWNER, "select to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24')").unwrap();
    assert_ne!(hour, here.trim(), "its clock is wrong: its log tells");
    worker
}

async fn created(server: &Server, names: &str) -> Vec<String> {
    let mut runs = Vec::new();
    for number in 0..12 {
        let (status, accepted) = server.create(&format!("{names} {number}")).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
        runs.push(accepted["provisioning_run_id"].as_str().unwrap().to_owned());
    }
    runs
}

async fn all_succeed(server: &Server, runs: &[String]) {
    for run in runs {
        assert_eq!(server.ended(run).await["state"], "succeeded");
    }
}

#[tokio::test]
async fn workers_with_wrong_clocks_share_runs_and_take_over_from_each_other() {
    const DAY: &str = "86400";
    let mut installation = Installation::begun().await;
    for (name, value) in [("BERTH_WORKER__LEASE", "2s"), ("BERTH_WORKER__RENEW", "500ms"), ("BERTH_WORKER__POLL", "200ms")] {
        installation.set(name, value);
    }
    let shim = shim(installation.folder.path());
    let mut server = installation.serve(&[]).await;
    let (fast, slow) = (worker(&mut installation, &shim, DAY).await, worker(&mut installation, &shim, "-86400").await);
    Installation::open_account(&mut server).await;

    // Whoever is killed, whatever its clock says: the other one takes its runs over.
    let runs = created(&server, "Fast is killed").await;
    fast.signal(Signal::KILL);
    all_succeed(&server, &runs).await;
    let fast = worker(&mut installation, &shim, DAY).await;
    let runs = created(&server, "Slow is killed").await;
    slow.signal(Signal::KILL);
    all_succeed(&server, &runs).await;

    let count = |what: &str| installation.psql(OWNER, &format!("select count(*) from {what}")).unwrap().trim().parse::<u32>().unwrap();
    assert!(count("run_journal") > 300);
    for (table, time) in [
        ("run_journal", "at"),
        ("audit_entries", "occurred_at"),
        ("workers", "registered_at"),
        ("workers", "lease_until"),
        ("provisioning_runs", "created_at"),
        ("workspaces", "updated_at"),
    ] {
        let wrong = format!("{table} where {time} not between now() - interval '1 hour' and now() + interval '1 hour'");
        assert_eq!(count(&wrong), 0, "{wrong}");
    }
    assert!(fast.stop().await.success() && server.stop().await.success());
    // Who starts takes away what the killed had only begun to write.
    assert!(installation.work().await.stop().await.success());
    installation.world().await.assert_whole();
}
