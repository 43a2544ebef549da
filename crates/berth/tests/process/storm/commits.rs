//! Connections cut at COMMIT, of requests and of workers: nobody knows whether it happened, and all comes out right.

use super::Size;
use super::fleet::{Fleet, Kind, patience};
use super::proxy::Proxy;
use crate::installation::{APP, Installation};

const SEED: u64 = 8_812;
/// Of a thousand commits.
const CUT: u32 = 60;
const LANES: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_whose_answer_is_lost_are_neither_lost_nor_done_twice() {
    let Size { runs, .. } = Size::of(Size { runs: 60, kills: 0 }, Size { runs: 1500, kills: 0 });
    let installation = Installation::begun().await;
    let proxy = Proxy::start(installation.cluster.socket(), SEED).await;
    let direct = installation.url(APP);
    let name = direct.split(['/', '?']).nth(3).unwrap();
    let url = format!("postgres://{APP}@127.0.0.1:{}/{name}?sslmode=disable", proxy.port);
    let mut fleet = Fleet::new(installation, &[("BERTH_DATABASE__URL", &url), ("BERTH_DEV__TIME_SCALE", "0.2")]).await;
    for kind in [Kind::Serve, Kind::Work, Kind::Serve, Kind::Work] {
        fleet.start(kind).await;
    }
    proxy.cut_per_thousand(CUT);
    let lanes = fleet.load.begin(LANES);
    fleet.load.allow(runs);
    fleet.load.until("what was asked for", patience(runs), |load| load.accepted() >= runs).await;
    fleet.load.end(lanes, patience(0)).await;
    fleet.until("select count(*) from provisioning_runs where not terminal", "0", patience(runs)).await;
    // A process stops cleanly where its last word is heard.
    proxy.cut_per_thousand(0);
    let [untold, dropped, untold_alone, dropped_alone] = proxy.cut();
    println!(
        "seed {SEED}: commits that went through and were not told of: {untold}, statements that commit themselves: {untold_alone}; \
         cut before: {dropped}, {dropped_alone}"
    );
    assert!(untold > 0 && untold_alone > 0 && dropped + dropped_alone > 0, "nothing was tried");
    fleet.assert_whole(patience(runs)).await;
}
