//! Connections cut at COMMIT, of requests and of workers: nobody knows whether it happened, and all comes out right.

use super::Size;
use super::fleet::{Fleet, Kind, patience};
use super::proxy::Proxy;
use crate::installation::{APP, Installation};

const SEED: u64 = 8_812;
/// Of a thousand commits, and of statements that commit themselves: of a worker, and of a process that serves, which makes few of
/// them, each for many requests.
const CUT: [[u32; 2]; 2] = [[150, 40], [300, 300]];
const LANES: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_whose_answer_is_lost_are_neither_lost_nor_done_twice() {
    let Size { runs, .. } = Size::of(Size { runs: 60, kills: 0 }, Size { runs: 1500, kills: 0 });
    let installation = Installation::begun().await;
    let socket = installation.cluster.socket();
    let proxies = [Proxy::start(socket.clone(), SEED).await, Proxy::start(socket, SEED + 1).await];
    let direct = installation.url(APP);
    let name = direct.split(['/', '?']).nth(3).unwrap();
    let mut fleet = Fleet::new(installation, &[("BERTH_DEV__TIME_SCALE", "0.2")]).await;
    for (kind, proxy) in [Kind::Work, Kind::Serve].into_iter().zip(&proxies) {
        fleet.installation.set("BERTH_DATABASE__URL", &format!("postgres://{APP}@127.0.0.1:{}/{name}?sslmode=disable", proxy.port));
        fleet.start(kind).await;
        fleet.start(kind).await;
    }
    for (proxy, rate) in proxies.iter().zip(CUT) {
        proxy.cut_per_thousand(rate);
    }
    let lanes = fleet.load.begin(LANES);
    fleet.load.allow(runs);
    fleet.load.until("what was asked for", patience(runs), |load| load.accepted() >= runs).await;
    fleet.load.end(lanes, patience(0)).await;
    fleet.until("select count(*) from provisioning_runs where not terminal", "0", patience(runs)).await;
    // A process stops cleanly where its last word is heard.
    for (proxy, who) in proxies.iter().zip(["workers", "those that serve"]) {
        proxy.cut_per_thousand([0, 0]);
        let [untold, dropped, untold_alone, dropped_alone] = proxy.cut();
        println!(
            "seed {SEED}, of {who}: commits that went through and were not told of: {untold}, statements that commit themselves: \
             {untold_alone}; cut before: {dropped}, {dropped_alone}"
        );
        assert!(untold > 0 && untold_alone > 0 && dropped + dropped_alone > 0, "nothing was tried");
    }
    assert!(fleet.load.repeated() > 0, "no request had to be asked again");
    fleet.assert_done(patience(runs)).await;
}
