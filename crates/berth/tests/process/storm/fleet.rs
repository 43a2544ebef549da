//! Several processes on one database, which come and go; and what must hold when all is over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::permissions::{Filter, Permissions, Relationship};
use providers::permissions::Embedded;
use rand::RngExt as _;
use rand::rngs::StdRng;
use testkit::{TestDb, whole};
use uuid::Uuid;

use super::load::Load;
use crate::installation::{APP, Installation};
use crate::server::{PATIENCE, Server};

/// A supervisor starts what has ended again, so often at most.
const STARTS: u32 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Serve,
    Work,
}

pub struct Fleet {
    pub installation: Installation,
    pub load: Arc<Load>,
    pub processes: Vec<(Kind, Server)>,
    /// Where requests go, and the settings that everything is asked with once it is over.
    direct: String,
    logs: Vec<PathBuf>,
}

/// Leases end soon, and locks of a paused process too; no account is full.
pub const SETTINGS: [(&str, &str); 7] = [
    ("BERTH_WORKER__LEASE", "2s"),
    ("BERTH_WORKER__RENEW", "500ms"),
    ("BERTH_WORKER__POLL", "200ms"),
    ("BERTH_DATABASE__STATEMENT_TIMEOUT", "3s"),
    ("BERTH_DATABASE__CONNECTION_TIMEOUT", "1s"),
    ("BERTH_ACCOUNTS__WORKSPACES_MAX", "1000000"),
    ("BERTH_LOG__FILTER", "error,berth=info,saga=warn,store=debug"),
];

impl Fleet {
    /// An installation with two accounts and no process; `settings` are for what is started from now on.
    pub async fn new(mut installation: Installation, settings: &[(&str, &str)]) -> Self {
        for (name, value) in SETTINGS {
            installation.set(name, value);
        }
        let mut server = installation.serve(&["--with-worker"]).await;
        let mut accounts = Vec::new();
        for _ in 0..2 {
            Installation::open_account(&mut server).await;
            accounts.push(server.account.clone());
        }
        let load = Load::new(server.token.clone(), accounts);
        assert!(server.stop().await.success());
        for (name, value) in settings {
            installation.set(name, value);
        }
        let direct = installation.url(APP);
        Self { installation, load, processes: Vec::new(), direct, logs: Vec::new() }
    }

    pub fn of(&self, kind: Kind) -> Vec<usize> {
        (0..self.processes.len()).filter(|at| self.processes[*at].0 == kind).collect()
    }

    /// Starts one; again where the troubles of the moment have ended it, as a supervisor does.
    pub async fn start(&mut self, kind: Kind) {
        let arguments: &[&str] = match kind {
            Kind::Serve => &["serve", "--listen", "127.0.0.1:0"],
            Kind::Work => &["work"],
        };
        for _ in 0..STARTS {
            match self.installation.try_start(arguments, &[]).await {
                Ok(server) => {
                    self.logs.push(server.log.clone());
                    self.processes.push((kind, server));
                    return self.tell();
                }
                Err(log) => assert!(log.contains("berth: ") && !log.contains("panicked"), "{log}"),
            }
        }
        panic!("{kind:?} does not start");
    }

    /// Starts one and kills it before it has said that it is there.
    pub async fn kill_while_starting(&mut self, kind: Kind, dice: &mut StdRng) {
        let data = self.installation.data();
        let arguments: &[&str] = if kind == Kind::Serve { &["serve", "--listen", "127.0.0.1:0"] } else { &["work"] };
        let mut command = self.installation.command(arguments, &[]);
        command.args(["--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(data);
        let mut child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..200))).await;
        child.kill().await.unwrap();
    }

    pub async fn kill(&mut self, at: usize) {
        let (_, mut server) = self.processes.swap_remove(at);
        assert_eq!(server.child.try_wait().unwrap(), None, "it ended by itself: {}", server.log());
        server.child.kill().await.unwrap();
        self.tell();
    }

    fn tell(&self) {
        self.load.served_at(self.of(Kind::Serve).into_iter().map(|at| self.processes[at].1.url.clone()).collect());
    }

    /// Something is done to the cluster, which blocks.
    pub fn cluster(&mut self, what: impl FnOnce(&mut testkit::Cluster) + Send) {
        tokio::task::block_in_place(|| what(&mut self.installation.cluster));
    }

    /// One column of a statement's rows.
    pub fn asks(&self, sql: &str) -> Vec<String> {
        self.installation.psql(testkit::cluster::SUPERUSER, sql).unwrap().lines().map(str::to_owned).collect()
    }

    /// Waits until a statement's answer is this one.
    pub async fn until(&self, sql: &str, wanted: &str, patience: Duration) {
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        let all = async {
            loop {
                looks.tick().await;
                if self.asks(sql) == [wanted] {
                    return;
                }
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            let runs =
                self.asks("select id, saga, state, waiting_for, owner, epoch, due_at from provisioning_runs where not terminal limit 20");
            panic!("{sql}: {:?} and not {wanted} in the end; not ended: {runs:#?}", self.asks(sql));
        }
    }

    /// As [`Fleet::assert_whole`]; and no run has failed, for nothing that happened was a reason to.
    pub async fn assert_done(self, patience: Duration) {
        let states = self.assert_whole(patience).await;
        assert!(states.keys().eq(["succeeded"]), "{states:?}");
    }

    /// Every run ends, every process stops when it is told to, and everything is there once and whole. How often runs ended how.
    pub async fn assert_whole(mut self, patience: Duration) -> BTreeMap<String, u32> {
        self.until("select count(*) from provisioning_runs where not terminal", "0", patience).await;
        for (_, process) in std::mem::take(&mut self.processes) {
            assert!(process.stop().await.success());
        }
        for log in &self.logs {
            let text = std::fs::read_to_string(log).unwrap();
            assert!(!text.contains("panicked"), "{}: {text}", log.display());
        }
        let direct = self.direct.clone();
        self.installation.set("BERTH_DATABASE__URL", &direct);
        let world = self.installation.world().await;
        world.assert_whole();

        let db = TestDb::on(self.direct.clone()).await;
        let store = db.store();
        let permissions = Embedded::new(Arc::new(store.clone()));
        let filter = |kind: &str| Filter { resource_kind: kind.to_owned(), resource_id: None, relation: None, subject: None };
        let operators: Vec<Relationship> = permissions.read(&filter("platform")).await.unwrap();
        let objects: BTreeMap<Uuid, bool> = world.objects().into_iter().map(|(id, open)| (id.parse().unwrap(), open)).collect();
        let wrong = whole::discrepancies(&store, &permissions, &objects, &operators).await;
        assert!(wrong.is_empty(), "{wrong:#?}");
        store.db().close().await;

        // Each that was asked for was accepted in the end, so that there is one run for each and no other.
        let accepted = self.load.accepted.lock().unwrap().clone();
        let creates: BTreeSet<(String, String)> = world
            .runs()
            .iter()
            .filter(|run| run["saga"] == "create-workspace")
            .map(|run| (run["workspace_id"].as_str().unwrap().to_owned(), run["id"].as_str().unwrap().to_owned()))
            .collect();
        let told: BTreeSet<(String, String)> = accepted.values().cloned().collect();
        assert_eq!(told.len(), accepted.len(), "two requests were told the same run");
        let lost: Vec<_> = told.difference(&creates).collect();
        let doubled: Vec<_> = creates.difference(&told).collect();
        assert!(lost.is_empty() && doubled.is_empty(), "answered 202 without a run: {lost:?}; runs that nobody was told of: {doubled:?}");
        let workspaces: BTreeSet<&str> = world.workspaces().iter().map(|w| w["id"].as_str().unwrap()).collect();
        assert_eq!(workspaces.len(), accepted.len(), "a workspace for each");

        let mut states: BTreeMap<String, u32> = BTreeMap::new();
        for run in world.runs() {
            *states.entry(run["state"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        println!("{}; {} runs in all: {states:?}", self.load.said(), world.runs().len());
        states
    }
}

/// What a test of the long form may wait for its runs.
pub fn patience(runs: usize) -> Duration {
    PATIENCE + Duration::from_millis(200) * u32::try_from(runs).unwrap()
}
