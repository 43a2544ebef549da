//! Processes killed and paused at random moments, and the database killed in between.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use tokio::time::Instant;

use super::Size;
use super::fleet::{Fleet, Kind, patience};
use crate::installation::Installation;

const SEED: u64 = 60_417;
const SERVERS: usize = 2;
const WORKERS: usize = 3;
const LANES: usize = 8;

/// On the `local` backend, which fails and loses replies. Back-offs are shorter; deadlines are not so short that runs come to them.
const TROUBLE: [(&str, &str); 3] =
    [("BERTH_DEV__BACKEND_FAIL_RATE", "0.05"), ("BERTH_DEV__BACKEND_LOSE_REPLY_RATE", "0.05"), ("BERTH_DEV__TIME_SCALE", "0.2")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_killed_and_paused_and_a_database_killed_lose_nothing_and_double_nothing() {
    let size = Size::of(Size { runs: 60, kills: 12 }, Size { runs: 2000, kills: 200 });
    let mut fleet = Fleet::new(Installation::begun().await, &TROUBLE).await;
    for _ in 0..SERVERS {
        fleet.start(Kind::Serve).await;
    }
    for _ in 0..WORKERS {
        fleet.start(Kind::Work).await;
    }
    let lanes = fleet.load.begin(LANES);
    let mut dice = StdRng::seed_from_u64(SEED);
    let (mut kills, mut starting, mut pauses, mut databases) = (0, 0, 0, 0);
    // By process id, and when it goes on.
    let mut stopped: Vec<(u32, Instant)> = Vec::new();
    while kills < size.kills {
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..250))).await;
        stopped.retain(|(pid, until)| {
            let at = fleet.processes.iter().find(|(_, p)| p.child.id() == Some(*pid));
            let over = *until <= Instant::now();
            if let (Some((_, process)), true) = (at, over) {
                process.signal(Signal::CONT);
            }
            at.is_some() && !over
        });
        let kind = if dice.random_bool(0.7) { Kind::Work } else { Kind::Serve };
        let of_kind = fleet.of(kind);
        let at = of_kind[dice.random_range(0..of_kind.len())];
        if dice.random_bool(0.25) {
            let process = &fleet.processes[at].1;
            process.signal(Signal::STOP);
            // Some longer than a lease, some not.
            stopped.push((process.child.id().unwrap(), Instant::now() + Duration::from_millis(dice.random_range(100..4000))));
            pauses += 1;
            continue;
        }
        // A third of the way, and two thirds.
        if kills * 3 / size.kills > databases {
            databases += 1;
            fleet.cluster(testkit::Cluster::kill);
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..1500))).await;
            fleet.cluster(testkit::Cluster::start_again);
        }
        fleet.load.allow(size.runs / size.kills);
        fleet.kill(at).await;
        kills += 1;
        if dice.random_bool(0.2) {
            fleet.kill_while_starting(kind, &mut dice).await;
            (kills, starting) = (kills + 1, starting + 1);
            fleet.load.allow(size.runs / size.kills);
        }
        fleet.start(kind).await;
    }
    for (pid, _) in stopped {
        if let Some((_, process)) = fleet.processes.iter().find(|(_, p)| p.child.id() == Some(pid)) {
            process.signal(Signal::CONT);
        }
    }
    let wanted = size.runs;
    fleet.load.allow(wanted.saturating_sub(size.runs / size.kills * kills));
    fleet.load.until("what was asked for", patience(wanted), |load| load.accepted() >= wanted).await;
    fleet.load.end(lanes, patience(0)).await;
    println!("seed {SEED}: {kills} kills ({starting} while starting), {pauses} pauses, {databases} kills of the database");
    assert!(databases == 2 && pauses > 0);
    let states = fleet.assert_whole(patience(wanted)).await;
    // A step that loses its worker often enough is given up.
    assert!(states["succeeded"] > states.values().sum::<u32>() / 2, "{states:?}");
}
