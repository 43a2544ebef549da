//! An upgrade as `docs/operations.md` tells it, of processes under load: the Berth of an earlier commit and the present one on one
//! PostgreSQL, with a migration that expands the schema and a new version of a saga in between; forward, back, and forward again.
//!
//! `make upgrade` builds the earlier one and names it in `BERTH_UPGRADE_FROM`. The migrations between the two are those that this
//! tree has and that commit has not. The saga's new version is the present one's by `dev.sagas`, because a released one would
//! have to be carried for ever.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../process/installation.rs"]
#[expect(dead_code, reason = "shared with the tests of processes, which use all of it")]
mod installation;
mod load;
#[path = "../process/server.rs"]
#[expect(dead_code, reason = "shared with the tests of processes, which use all of it")]
mod server;
#[path = "../process/world.rs"]
#[expect(dead_code, reason = "shared with the tests of processes, which use all of it")]
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;

use reqwest::{Method, StatusCode};
use serde_json::json;

use installation::{APP, Installation};
use load::{Fleet, Load};
use server::{PATIENCE, Server, answer, text};

/// What only the new version of the saga does.
const NEW_STEP: &str = "look-again";
const SAGAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/upgrade/sagas");
const HELD: usize = 3;

/// The two Berths, one installation.
struct Stage {
    installation: Installation,
    old: PathBuf,
    new: PathBuf,
    fleet: Fleet,
    token: String,
    account: String,
    held: usize,
}

impl Stage {
    fn become_old(&mut self) {
        self.installation.binary.clone_from(&self.old);
        self.installation.unset("BERTH_DEV__SAGAS");
    }

    fn become_new(&mut self) {
        self.installation.binary.clone_from(&self.new);
        self.installation.set("BERTH_DEV__SAGAS", SAGAS);
    }

    async fn serve(&mut self) -> Server {
        let mut server = self.installation.serve(&[]).await;
        if self.account.is_empty() {
            self.token.clone_from(&server.token);
        }
        server.account.clone_from(&self.account);
        server
    }

    fn number(&self, sql: &str) -> usize {
        let said = self.installation.psql(APP, sql).unwrap();
        said.trim().parse().unwrap_or_else(|_| panic!("{sql}: {said}"))
    }

    fn ended(&self, version: u32) -> usize {
        self.number(&format!(
            "select count(*) from provisioning_runs where saga = 'create-workspace' and saga_version = {version} and terminal"
        ))
    }

    /// Waits until the database tells it.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waits = async {
            while !holds(self) {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, waits).await.is_err() {
            let runs =
                "select saga_version, state, owner is not null as owned, count(*) from provisioning_runs group by 1, 2, 3 order by 1, 2";
            panic!("{what} does not come:\n{}", self.installation.psql(APP, runs).unwrap());
        }
    }

    /// Some more runs of a version come to their end.
    async fn flows(&self, version: u32) {
        let before = self.ended(version);
        self.until(&format!("the end of more runs of version {version}"), |stage| stage.ended(version) >= before + 4).await;
    }

    async fn paused(&self, by: &Server, is_paused: bool) {
        let method = if is_paused { Method::PUT } else { Method::DELETE };
        let request = by.request(method, "/v1/pauses/backend/local");
        let request = if is_paused { request.json(&json!({"comment": "to hold runs in flight"})) } else { request };
        let (status, body) = answer(request.send().await.unwrap()).await;
        assert!(status.is_success(), "{status} {body}");
    }

    /// Makes runs that are held before their backends, and tells which.
    async fn hold(&mut self, by: &Server, version: u32) -> Vec<String> {
        let mut runs = Vec::new();
        for _ in 0..HELD {
            self.held += 1;
            let name = format!("held-{}", self.held);
            let (status, accepted) = by.create(&name).await;
            assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
            let run = accepted["provisioning_run_id"].as_str().unwrap().to_owned();
            self.fleet.accepted.lock().unwrap().insert(name, run.clone());
            runs.push(run);
        }
        let ids = runs.iter().map(|run| format!("'{run}'")).collect::<Vec<_>>().join(", ");
        let waiting = format!(
            "select count(*) from provisioning_runs where id in ({ids}) and saga_version = {version} and state = 'waiting' and owner is null"
        );
        self.until("a run that waits", |stage| stage.number(&waiting) == HELD).await;
        runs
    }

    async fn succeed(&self, by: &Server, runs: &[String]) {
        for run in runs {
            let ended = by.ended(run).await;
            assert_eq!(ended["state"], "succeeded", "{ended:#}");
        }
    }

    /// Ids, epochs and journals of live runs of the new version: what changes when somebody is at work on them.
    fn live_and_new(&self) -> String {
        let sql = "select r.id, r.epoch, r.state, (select count(*) from run_journal j where j.bucket = r.bucket and j.run_id = r.id)
             from provisioning_runs r where r.saga_version = 2 and not r.terminal order by r.id";
        self.installation.psql(APP, sql).unwrap()
    }
}

async fn gauge(process: &Server, name: &str) -> usize {
    let metrics = process.client.get(format!("{}/metrics", process.admin)).send().await.unwrap().text().await.unwrap();
    let line =
        metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or_else(|| panic!("no {name}:\n{metrics}"));
    line.parse().unwrap()
}

async fn stopped(fleet: &Fleet, processes: Vec<Server>) {
    for process in &processes {
        fleet.leaves(&process.url);
    }
    for process in processes {
        let log = process.log();
        assert!(!log.contains("panicked"), "{log}");
        assert_eq!(process.stop().await.code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_follow_each_other_and_go_back_while_runs_are_in_flight() {
    #[expect(clippy::disallowed_methods, reason = "`make upgrade` tells the test, as it does not tell Berth")]
    let old = std::env::var_os("BERTH_UPGRADE_FROM").expect("the old binary: `make upgrade` builds it and names it in BERTH_UPGRADE_FROM");
    let mut installation = Installation::empty().await;
    let settings = [
        ("BERTH_WORKER__POLL", "200ms"),
        ("BERTH_DEV__BACKEND_FAIL_RATE", "0.1"),
        ("BERTH_DEV__BACKEND_LOSE_REPLY_RATE", "0.1"),
        // The customers ask for as many as there is time for.
        ("BERTH_ACCOUNTS__WORKSPACES_MAX", "1000000"),
    ];
    for (name, value) in settings {
        installation.set(name, value);
    }
    let (new, fleet) = (installation.binary.clone(), Fleet::default());
    let mut stage = Stage { installation, old: old.into(), new, fleet, token: String::new(), account: String::new(), held: 0 };

    // The old version as an operator made it.
    stage.become_old();
    let migrated = stage.installation.migrate(&["--runtime-role", APP]).await;
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    assert!(stage.installation.says(&["bootstrap", "--operator", "ann"], &[]).await.status.success());
    let mut old_serve = stage.serve().await;
    let old_work = stage.installation.work().await;
    Installation::open_account(&mut old_serve).await;
    stage.account.clone_from(&old_serve.account);
    stage.fleet.joins(&old_serve.url);
    let load = Load::start(&stage.fleet, &stage.token, &stage.account);
    stage.flows(1).await;

    // The schema expands under it, and one more of the old version may still start.
    stage.become_new();
    let migrated = stage.installation.migrate(&["--runtime-role", APP]).await;
    let said = text(&migrated.stdout);
    assert!(migrated.status.success() && said.contains("0012_worker_sagas"), "{said}{}", text(&migrated.stderr));
    stage.become_old();
    let late = stage.installation.work().await;
    stage.flows(1).await;

    // New processes join while the old ones are at work.
    stage.become_new();
    let new_serve = stage.serve().await;
    let new_work = stage.installation.work().await;
    stage.fleet.joins(&new_serve.url);
    stage.flows(1).await;
    stage.flows(2).await;

    // The old ones go while runs of both versions are in flight.
    stage.paused(&old_serve, true).await;
    let mut held = stage.hold(&old_serve, 1).await;
    held.extend(stage.hold(&new_serve, 2).await);
    stopped(&stage.fleet, vec![old_serve, old_work, late]).await;
    stage.paused(&new_serve, false).await;
    stage.succeed(&new_serve, &held).await;
    stage.flows(2).await;

    // Back: the old ones come again, and know nothing of what is in flight.
    stage.paused(&new_serve, true).await;
    let held = stage.hold(&new_serve, 2).await;
    stage.become_old();
    let old_serve = stage.serve().await;
    stage.fleet.joins(&old_serve.url);
    stopped(&stage.fleet, vec![new_serve, new_work]).await;
    let stranded = stage.live_and_new();
    let old_work = stage.installation.work().await;
    stage.paused(&old_serve, false).await;
    stage.flows(1).await;
    assert_eq!(stage.live_and_new(), stranded, "nobody touches a run whose definition it does not know");
    let live = stage.number("select count(*) from provisioning_runs where saga_version = 2 and not terminal");
    assert!(live >= HELD, "{live}");
    assert_eq!(gauge(&old_work, "berth_runs_unclaimable").await, live);
    assert!(old_work.log().contains("live runs of a definition that this binary does not know"), "{}", old_work.log());

    // Forward again, and to the end.
    stage.become_new();
    let new_serve = stage.serve().await;
    stage.fleet.joins(&new_serve.url);
    let new_work = stage.installation.work().await;
    stage.succeed(&new_serve, &held).await;
    assert_eq!(gauge(&new_work, "berth_runs_unclaimable").await, 0);
    stopped(&stage.fleet, vec![old_serve, old_work]).await;
    load.stop().await;
    let accepted = stage.fleet.accepted.lock().unwrap().clone();
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for run in accepted.values() {
        let ended = new_serve.ended(run).await;
        *states.entry(ended["state"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    stage.until("the end of all runs", |stage| stage.number("select count(*) from provisioning_runs where not terminal") == 0).await;
    let environment = [("BERTH_URL", new_serve.url.as_str()), ("BERTH_TOKEN", stage.token.as_str())];
    let verified = stage.installation.says(&["audit", "verify", "--account", &stage.account], &environment).await;
    assert!(verified.status.success(), "{}{}", text(&verified.stdout), text(&verified.stderr));
    stopped(&stage.fleet, vec![new_serve, new_work]).await;
    assert_nothing_lost_or_doubled(&stage, &accepted);
    stage.become_new();
    stage.installation.world().await.assert_whole();
    println!(
        "{} accepted, {} runs of version 1 and {} of version 2 ended, {states:?}; {live} of version 2 waited for their binary; {}",
        accepted.len(),
        stage.ended(1),
        stage.ended(2),
        text(&verified.stdout).lines().next().unwrap_or_default()
    );
}

fn assert_nothing_lost_or_doubled(stage: &Stage, accepted: &BTreeMap<String, String>) {
    let runs = stage.installation.psql(APP, "select id from provisioning_runs where saga = 'create-workspace' order by id").unwrap();
    let mut told: Vec<&str> = accepted.values().map(String::as_str).collect();
    told.sort_unstable();
    assert_eq!(runs.split_whitespace().collect::<Vec<_>>(), told, "runs that there are, and runs that somebody was told of");
    for (what, sql) in [
        ("names twice", "select count(*) - count(distinct folded_name) from workspaces"),
        (
            "runs of one version under another's digest",
            "select count(*) from (select saga_version from provisioning_runs where saga = 'create-workspace'
               group by saga_version having count(distinct saga_digest) > 1) d",
        ),
        (
            "steps that succeeded twice",
            "select count(*) from (select run_id from run_journal where event ->> 'type' = 'step_succeeded'
               group by run_id, event ->> 'step' having count(*) > 1) d",
        ),
    ] {
        assert_eq!(stage.number(sql), 0, "{what}");
    }
    // What each did is what its own version says.
    let did = format!(
        "select count(*) from provisioning_runs r where r.saga = 'create-workspace' and r.state = 'succeeded' and (r.saga_version = 2) <>
           exists (select 1 from run_journal j where j.bucket = r.bucket and j.run_id = r.id and j.event ->> 'step' = '{NEW_STEP}'
             and j.event ->> 'type' = 'step_succeeded')"
    );
    assert_eq!(stage.number(&did), 0, "runs that did what another version says");
}
