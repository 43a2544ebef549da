//! A worker's runs are taken over when it is killed, and when it is paused for longer than its lease; what a paused one still writes
//! when it goes on changes nothing.

use rustix::process::Signal;

use super::fleet::{Fleet, Kind, patience};
use crate::installation::Installation;
use crate::server::{PATIENCE, Server};

const RUNS: usize = 24;

/// All that workers write: rows of runs and their journals.
const WRITTEN: &str = "select r.id, r.epoch, r.owner, r.version, r.state, r.updated_at,
   (select md5(string_agg(j.seq || ' ' || j.at || ' ' || j.event::text, ',' order by j.seq)) from run_journal j where j.run_id = r.id)
 from provisioning_runs r order by r.id";
const OWNED: &str = "select count(*) from provisioning_runs where owner is not null and not terminal";
/// Processes that may still write something which they have begun.
const AT_WORK: &str = "select count(*) from pg_stat_activity where usename = 'berth_app' and state <> 'idle'";

/// The registration of a process that has just been started.
async fn newest(fleet: &Fleet) -> String {
    fleet.until("select count(*) > 0 from workers where dead_at is null", "t", PATIENCE).await;
    fleet.asks("select id from workers where dead_at is null order by registered_at desc limit 1").remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_is_taken_over_and_what_a_paused_one_writes_afterwards_changes_nothing() {
    let mut fleet = Fleet::new(Installation::begun().await, &[("BERTH_DEV__BACKEND_HANG_RATE", "1")]).await;
    fleet.start(Kind::Serve).await;
    fleet.start(Kind::Work).await;
    let lanes = fleet.load.begin(4);
    fleet.load.allow(RUNS);
    let all = RUNS.to_string();
    fleet.until(OWNED, &all, PATIENCE).await;
    fleet.load.end(lanes, patience(0)).await;
    let killed = newest(&fleet).await;
    let worker = fleet.of(Kind::Work)[0];
    fleet.kill(worker).await;

    // The next one is quick, and is paused in the middle of it.
    fleet.installation.set("BERTH_DEV__BACKEND_HANG_RATE", "0");
    fleet.start(Kind::Work).await;
    let quick = newest(&fleet).await;
    assert_ne!(quick, killed);
    fleet
        .until(&format!("select count(*) > {RUNS} / 2 from provisioning_runs where epoch > 1 and owner <> '{killed}'"), "t", PATIENCE)
        .await;
    let paused = fleet.of(Kind::Work)[0];
    fleet.processes[paused].1.signal(Signal::STOP);
    let left: usize = fleet.asks("select count(*) from provisioning_runs where not terminal")[0].parse().unwrap();
    assert!(left > 0, "it was done before it was paused");

    // Another takes them over, hangs with them, and is not taken over in its turn.
    fleet.installation.set("BERTH_DEV__BACKEND_HANG_RATE", "1");
    fleet.installation.set("BERTH_WORKER__LEASE", "60s");
    fleet.installation.set("BERTH_WORKER__DRAIN", "200ms");
    fleet.start(Kind::Work).await;
    let taker = newest(&fleet).await;
    assert_ne!(taker, quick);
    let elsewhere = format!("select count(*) from provisioning_runs where not terminal and owner is distinct from '{taker}'");
    fleet.until(&elsewhere, "0", PATIENCE).await;
    let taking =
        fleet.processes.iter().position(|(_, p)| p.child.id() != fleet.processes[paused].1.child.id() && p.url.is_empty()).unwrap();
    fleet.processes[taking].1.signal(Signal::STOP);
    // What it has sent is carried out, or given up.
    fleet.until(AT_WORK, "0", PATIENCE).await;
    let before = fleet.asks(WRITTEN);
    let live: usize = fleet.asks("select count(*) from provisioning_runs where not terminal")[0].parse().unwrap();
    assert!(live > 0, "nothing is left for it to write to");

    // It registers anew only when all that it was at has been answered.
    fleet.processes[paused].1.signal(Signal::CONT);
    let again = format!("select count(*) from workers where dead_at is null and id not in ('{quick}', '{taker}', '{killed}')");
    fleet.until(&again, "1", PATIENCE).await;
    assert_eq!(fleet.asks(WRITTEN), before, "a paused worker has changed something");
    let log = fleet.processes[paused].1.log();
    let dropped = dropped(&fleet.processes[paused].1);
    assert!(dropped > 0, "it had nothing to write: {log}");

    fleet.processes[taking].1.signal(Signal::CONT);
    let (_, process) = fleet.processes.remove(taking);
    assert!(process.stop().await.success());
    println!("{RUNS} runs taken over from a killed worker, {left} from a paused one, which dropped {dropped}");
    fleet.assert_done(patience(RUNS)).await;
}

/// How many runs it has dropped because they are somebody else's.
fn dropped(worker: &Server) -> usize {
    worker.log().matches("dropping a run that another worker may own").count()
}
