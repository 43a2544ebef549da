//! Transactions that the database refuses: serialization failures and deadlocks out of a trigger, and real deadlocks with somebody
//! who locks rows in the opposite order.

use super::Size;
use super::fleet::{Fleet, Kind, patience};
use crate::installation::{APP, Installation, OWNER};
use testkit::cluster::SUPERUSER;

const SEED: u64 = 5_150;
/// Of a thousand rows written.
const REFUSED: u32 = 30;
const LANES: usize = 8;

/// Refuses as the seed has it: a sequence counts also what is rolled back.
fn triggers() -> String {
    format!(
        "create sequence storm_calls; create sequence storm_refusals;
         create function storm() returns trigger language plpgsql security definer as $$
         declare dice bigint := abs(hashint8extended(nextval('storm_calls'), {SEED}) % 2000);
         begin
           if dice < {REFUSED} * 2 then
             perform nextval('storm_refusals');
             raise exception 'refused by the test' using errcode = case when dice % 2 = 0 then '40001' else '40P01' end;
           end if;
           return new;
         end $$;
         create trigger storm before insert or update on provisioning_runs for each row execute function storm();
         create trigger storm before insert or update on run_journal for each row execute function storm();"
    )
}

/// Locks the rows of runs that are at work, the last first, where Berth locks the first first.
const BACKWARDS: &str = "do $$ declare it record; begin
   for it in select id from provisioning_runs where not terminal order by id desc limit 12 loop
     perform 1 from provisioning_runs r where r.id = it.id for no key update; perform pg_sleep(0.004);
   end loop;
 exception when deadlock_detected then null; end $$";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_refused_for_contention_are_done_again_and_once() {
    let Size { runs, .. } = Size::of(Size { runs: 60, kills: 0 }, Size { runs: 1500, kills: 0 });
    let mut fleet = Fleet::new(Installation::begun().await, &[("BERTH_DEV__TIME_SCALE", "0.2")]).await;
    // Berth's side finds a deadlock first, most of the time.
    fleet.installation.psql(SUPERUSER, &format!("alter role {APP} set deadlock_timeout = '20ms'")).unwrap();
    fleet.installation.psql(OWNER, &triggers()).unwrap();
    for kind in [Kind::Serve, Kind::Work, Kind::Serve, Kind::Work] {
        fleet.start(kind).await;
    }
    let lanes = fleet.load.begin(LANES);
    fleet.load.allow(runs);
    let live = "select count(*) from provisioning_runs where not terminal";
    let backwards = async {
        while fleet.load.accepted() < runs || fleet.asks(live) != ["0"] {
            tokio::task::block_in_place(|| fleet.installation.psql(SUPERUSER, BACKWARDS)).unwrap();
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(patience(runs), backwards).await;
    assert!(ended.is_ok(), "{}; {:?} have not ended", fleet.load.said(), fleet.asks(live));
    fleet.load.end(lanes, patience(0)).await;
    let refusals: u32 = fleet.asks("select last_value from storm_refusals")[0].parse().unwrap();
    let deadlocks: u32 = fleet.asks("select deadlocks from pg_stat_database where datname = current_database()")[0].parse().unwrap();
    fleet.installation.psql(OWNER, "drop function storm cascade").unwrap();
    println!("seed {SEED}: {refusals} transactions refused by the trigger, {deadlocks} real deadlocks");
    assert!(refusals > 20 && deadlocks > 0, "nothing was tried");
    fleet.assert_done(patience(runs)).await;
}
