//! An installation as an operator makes it: a PostgreSQL of its own with an owner and a runtime role, migrated and begun, and
//! processes of `berth serve` and `berth work` on it that share one folder of the `local` backend.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use reqwest::{Client, Method};
use serde_json::json;
use testkit::cluster::{Cluster, SUPERUSER};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::server::{PATIENCE, Server, answer, text};
use crate::world::World;

pub const OWNER: &str = "berth_owner";
pub const APP: &str = "berth_app";
const DATABASE: &str = "house";

pub struct Installation {
    pub cluster: Cluster,
    pub folder: tempfile::TempDir,
    /// What is started.
    pub binary: PathBuf,
    /// Settings of every process.
    environment: Vec<(String, String)>,
    started: u32,
}

impl Installation {
    /// Roles and an empty database.
    pub async fn empty() -> Self {
        Self::empty_on(Cluster::start).await
    }

    async fn empty_on(start: impl FnOnce() -> Cluster + Send + 'static) -> Self {
        let cluster = tokio::task::spawn_blocking(|| {
            let cluster = start();
            let make = format!("create role {OWNER} login; create role {APP} login");
            cluster.psql(SUPERUSER, "postgres", &make).unwrap();
            cluster.psql(SUPERUSER, "postgres", &format!("create database {DATABASE} owner {OWNER}")).unwrap();
            cluster
        });
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("issuer.key");
        let environment = vec![("BERTH_ISSUER__KEY_FILE".to_owned(), key.display().to_string())];
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_berth"));
        let mut installation = Self { cluster: cluster.await.unwrap(), folder, binary, environment, started: 0 };
        let url = installation.cluster.url(APP, DATABASE);
        installation.set("BERTH_DATABASE__URL", &url);
        assert!(installation.says(&["generate-key", key.to_str().unwrap()], &[]).await.status.success());
        installation
    }

    /// Migrated, and with its first operator.
    pub async fn begun() -> Self {
        Self::begun_on(Cluster::start).await
    }

    /// As [`Installation::begun`], on this cluster.
    pub async fn begun_on(start: impl FnOnce() -> Cluster + Send + 'static) -> Self {
        let installation = Self::empty_on(start).await;
        let migrated = installation.migrate(&["--runtime-role", APP]).await;
        assert!(migrated.status.success(), "{}", text(&migrated.stderr));
        let begun = installation.says(&["bootstrap", "--operator", "ann"], &[]).await;
        assert!(begun.status.success(), "{}", text(&begun.stderr));
        installation
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    pub fn url(&self, role: &str) -> String {
        self.cluster.url(role, DATABASE)
    }

    pub fn pooled_url(&self) -> String {
        self.cluster.pooled_url(APP, DATABASE)
    }

    pub fn psql(&self, role: &str, sql: &str) -> Result<String, String> {
        self.cluster.psql(role, DATABASE, sql)
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").current_dir(self.folder.path()).kill_on_drop(true);
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).envs(environment.iter().copied());
        command
    }

    /// Runs a command to its end.
    pub async fn says(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let output = self.command(arguments, environment).output();
        tokio::time::timeout(PATIENCE, output).await.expect("the command ends").unwrap()
    }

    /// As the owner, whatever the processes connect as.
    pub async fn migrate(&self, arguments: &[&str]) -> Output {
        let url = self.url(OWNER);
        self.says(&[&["migrate", "--database-url", &url], arguments].concat(), &[]).await
    }

    pub async fn token(&self, arguments: &[&str]) -> String {
        let output = self.says(&[&["token"], arguments].concat(), &[]).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    /// A process that says that it is there. One that serves is talked to as the operator.
    async fn start(&mut self, arguments: &[&str]) -> Server {
        self.try_start(arguments, &[]).await.unwrap_or_else(|log| panic!("it ended:\n{log}"))
    }

    /// As a process of [`Installation::serve`] or [`Installation::work`], with settings of its own; or what it logged, if it ended.
    pub async fn try_start(&mut self, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Server, String> {
        self.started += 1;
        let log = self.folder.path().join(format!("{}-{}.log", arguments[0], self.started));
        let mut command = self.command(arguments, environment);
        let data = self.data();
        command.args(["--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(data);
        command.stdout(Stdio::piped()).stderr(Stdio::from(std::fs::File::create(&log).unwrap()));
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let printed = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it is there in time").unwrap();
        let Some(printed) = printed else { return Err(std::fs::read_to_string(&log).unwrap()) };
        let after = |words: &str| printed.split(words).nth(1).map(|rest| rest.split([' ', ')']).next().unwrap().to_owned());
        let admin = after("readiness on ").expect("an admin listener");
        let url = after("serves on ").unwrap_or_default();
        let client = Client::builder().no_proxy().build().unwrap();
        Ok(Server { child, url, admin, token: String::new(), account: String::new(), printed, log, client })
    }

    pub async fn serve(&mut self, arguments: &[&str]) -> Server {
        let mut server = self.start(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat()).await;
        server.token = self.token(&["--user", "ann"]).await;
        server
    }

    pub async fn work(&mut self) -> Server {
        self.start(&["work"]).await
    }

    /// Gives the server an account to work in. A worker must be at work.
    pub async fn open_account(server: &mut Server) {
        let made = server.request(Method::POST, "/v1/accounts").json(&json!({"name": "Acme"})).send().await.unwrap();
        let (status, made) = answer(made).await;
        assert_eq!(status, 202, "{made}");
        made["account_id"].as_str().unwrap().clone_into(&mut server.account);
        let ended = server.ended(made["provisioning_run_id"].as_str().unwrap()).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
    }

    /// Everything there is; no process may be at work.
    pub async fn world(&self) -> World {
        let output = self.says(&["inventory"], &[]).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        World::read(&self.data(), &output.stdout)
    }
}
