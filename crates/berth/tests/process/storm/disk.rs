//! The database's disk is full for a while, WAL and all, so that the server itself may go down: requests are refused, nothing that
//! was answered is lost, and all goes on when there is room again.

use super::Size;
use super::fleet::{Fleet, Kind, patience};
use crate::installation::Installation;

const MEBIBYTES: u32 = 400;
const LANES: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_what_is_new_and_loses_nothing() {
    let Size { runs, .. } = Size::of(Size { runs: 30, kills: 0 }, Size { runs: 600, kills: 0 });
    let installation = Installation::begun_on(|| testkit::Cluster::start_on_small_disk(MEBIBYTES)).await;
    let mut fleet = Fleet::new(installation, &[("BERTH_DEV__TIME_SCALE", "0.2")]).await;
    for kind in [Kind::Serve, Kind::Work, Kind::Work] {
        fleet.start(kind).await;
    }
    let lanes = fleet.load.begin(LANES);
    // What is left is used up by requests in flight: a page of a table, or a segment of WAL, whichever comes first.
    for (round, left) in [0, 200].into_iter().enumerate() {
        fleet.load.allow(runs / 3);
        let wanted = runs / 3 * (round + 1);
        fleet.load.until("load", patience(runs), |load| load.accepted() >= wanted).await;
        fleet.cluster(|cluster| cluster.fill_disk(left));
        // So many that the disk is full before they are accepted.
        let refused = fleet.load.refused();
        fleet.load.allow(1000);
        fleet.load.until("a refusal", patience(runs), |load| load.refused() > refused + 3).await;
        fleet.load.withdraw();
        fleet.cluster(testkit::Cluster::free_disk);
    }
    fleet.load.allow(runs / 3);
    fleet.load.until("load", patience(runs), |load| load.accepted() >= runs).await;
    fleet.load.end(lanes, patience(0)).await;
    fleet.cluster(|cluster| {
        let full = cluster.times_full();
        println!("{full} times the server has said that its disk is full");
        assert!(full > 0, "the disk was never full");
    });
    fleet.assert_done(patience(runs)).await;
}
