//! `berth bench freeze`: how long after a freeze was asked for nobody can log in on the backend any more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use domain::model::EnvironmentName;
use domain::ports::{BackendSpec, Backends, CallError, login_frozen};
use saga::CancellationToken;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::house::REGION;
use super::http::Client;
use super::installation::{Installation, Running};
use super::load::{get, patch, post};
use super::place::{On, Place};
use super::refused;
use super::report::{Form, Report};
use super::sample::Sample;
use crate::config::Config;
use crate::failure::Failure;
use crate::house::backends;

const USER: &str = "bench";
/// A run or a freeze that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two attempts to log in.
const LOOK_EVERY: Duration = Duration::from_millis(1);

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    on: On,
    /// How many freezes are measured.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// How many workspaces there are; each freeze is of the next one.
    #[arg(long, value_name = "W", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    workspaces: u32,
    #[command(flatten)]
    form: Form,
}

/// Who asks for freezes, and tries to log in.
struct Tenant {
    http: Client,
    token: String,
    backends: Arc<dyn Backends>,
}

/// A workspace, and where one would log in.
struct Frozen {
    /// Of its status.
    path: String,
    logins: Vec<BackendSpec>,
}

impl Arguments {
    pub async fn run(&self) -> Result<(), Failure> {
        self.on.with(async |place| self.measure(place).await?.print(&self.form, place).await).await
    }

    async fn measure(&self, place: &Place) -> Result<Report, Failure> {
        let installation = Installation::new(&self.on, place)?;
        let mut running: Vec<Running> = Vec::new();
        let commands: &[&str] = if self.on.database_url.is_some() { &["serve", "work"] } else { &["dev"] };
        for command in commands {
            running.push(installation.start(&[command]).await?);
        }
        let api = running.iter().find_map(|process| process.api).ok_or_else(|| Failure::new("no process serves"))?;
        let mut tenant = Tenant::new(api, &installation).await?;
        let workspaces = tenant.workspaces(self.workspaces, &installation).await?;
        let (mut answered, mut refused) = (Sample::default(), Sample::default());
        // The first ones are for connections, caches and plans.
        let warm_up = self.workspaces.min(5);
        for (number, workspace) in (0..warm_up + self.times).zip(workspaces.iter().cycle()) {
            let (answer, refusal) = tenant.freeze(workspace).await?;
            if number >= warm_up {
                answered.add(answer);
                refused.add(refusal);
            }
            tenant.unfreeze(workspace).await?;
        }
        for process in running {
            process.stop().await?;
        }
        let mut figures = refused.figures().to_vec();
        figures.push(("answered_p50_ms", json!(answered.millis(0.5))));
        figures.push(("answered_p99_ms", json!(answered.millis(0.99))));
        Ok(Report {
            bench: "freeze",
            measures: "From before PATCH /v1/workspaces/{id}/status asks for a freeze until none of the workspace's three backend workspaces lets anybody \
                       log in: logins are tried one after the other, each again every millisecond until it is refused, from the moment that \
                       the request is sent, on the `local` backend. `answered` is the time until the request's own answer. One freeze at a time, each lifted before the \
                       next; Berth is one process (`berth dev`), on PostgreSQL two (`berth serve` and `berth work`)."
                .to_owned(),
            parameters: self.on.parameters(json!({
                "processes": commands.len(), "backend": "local", "times": self.times, "workspaces": self.workspaces,
            })),
            figures,
            beside: None,
        })
    }
}

impl Tenant {
    async fn new(api: SocketAddr, installation: &Installation) -> Result<Self, Failure> {
        Ok(Self {
            token: installation.token(USER).await?,
            http: Client::connect(api).await.map_err(refused)?,
            backends: backends::open(&Config::default(), &installation.data())?,
        })
    }

    async fn ask(&mut self, request: &[u8], expected: u16) -> Result<Value, Failure> {
        let mut said = Vec::new();
        let status = self.http.ask(request, |piece| said.extend_from_slice(piece)).await.map_err(refused)?;
        if status != expected {
            let said = String::from_utf8_lossy(&said);
            return Err(Failure::new(format!("a request was answered {status} instead of {expected}: {said}")));
        }
        serde_json::from_slice(&said).map_err(refused)
    }

    /// Active workspaces of an account that is made for them, with where their logins are.
    async fn workspaces(&mut self, count: u32, installation: &Installation) -> Result<Vec<Frozen>, Failure> {
        let account = post(&self.token, "/v1/accounts", "bench-account", &json!({"name": "Bench"}));
        let account = self.made(&account).await?.0["account_id"].clone();
        let mut made = Vec::new();
        for number in 0..count {
            let body = json!({"account_id": account, "name": format!("Workspace {number}"), "region": REGION});
            let (accepted, run) = self.made(&post(&self.token, "/v1/workspaces", &format!("bench-{number}"), &body)).await?;
            let id = accepted["workspace_id"].as_str().and_then(|id| Uuid::try_parse(id).ok()).ok_or_else(|| refused(&accepted))?;
            made.push((id, run));
        }
        let there = providers::backends::local::inventory(&installation.data().join(backends::FOLDER)).map_err(refused)?;
        let logins = |workspace: Uuid, run: Uuid| {
            let of_run = there.iter().filter(move |existing| existing.mark.run.0 == run);
            let login = of_run.map(|existing| BackendSpec {
                id: existing.id,
                workspace_id: workspace,
                // The backend knows its own by their ids.
                environment_id: existing.id,
                environment: EnvironmentName::Dev,
                region: existing.region.clone(),
                run: existing.mark.run,
                key: existing.mark.key.clone(),
            });
            login.collect::<Vec<_>>()
        };
        let workspaces: Vec<Frozen> =
            made.into_iter().map(|(id, run)| Frozen { path: format!("/v1/workspaces/{id}/status"), logins: logins(id, run) }).collect();
        match workspaces.iter().find(|workspace| workspace.logins.is_empty()) {
            Some(Frozen { path, .. }) => Err(Failure::new(format!("there is no login on the backend to be tried: {path}"))),
            None => Ok(workspaces),
        }
    }

    /// What was accepted, once its run has succeeded, and the run.
    async fn made(&mut self, request: &[u8]) -> Result<(Value, Uuid), Failure> {
        let accepted = self.ask(request, 202).await?;
        let run = accepted["provisioning_run_id"].as_str().and_then(|id| Uuid::try_parse(id).ok()).ok_or_else(|| refused(&accepted))?;
        let request = get(&self.token, &format!("/v1/provisioning-runs/{run}"));
        let until = Instant::now() + PATIENCE;
        loop {
            let shown = self.ask(&request, 200).await?;
            match shown["state"].as_str() {
                Some("succeeded") => return Ok((accepted, run)),
                Some("failed" | "cancelled" | "abandoned" | "stuck") => {
                    return Err(Failure::new(format!("the run {run} did not succeed: {shown}")));
                }
                _ if Instant::now() > until => return Err(Failure::new(format!("the run {run} does not end: {shown}"))),
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// How long until the answer, and until no login is let in.
    async fn freeze(&mut self, workspace: &Frozen) -> Result<(Duration, Duration), Failure> {
        let body = json!({"status": "frozen", "reason": {"code": "bench"}});
        let request = patch(&self.token, &workspace.path, &body);
        let (backends, began) = (self.backends.clone(), Instant::now());
        let answered = async {
            self.ask(&request, 200).await?;
            Ok(began.elapsed())
        };
        let shut = async {
            turned(&*backends, workspace, false).await?;
            Ok(began.elapsed())
        };
        tokio::try_join!(answered, shut)
    }

    async fn unfreeze(&mut self, workspace: &Frozen) -> Result<(), Failure> {
        self.ask(&patch(&self.token, &workspace.path, &json!({"status": "active"})), 200).await?;
        turned(&*self.backends, workspace, true).await
    }
}

/// Waits until each login lets in, or none does.
async fn turned(backends: &dyn Backends, workspace: &Frozen, open: bool) -> Result<(), Failure> {
    let all = async {
        for login in &workspace.logins {
            while lets_in(backends, login).await? != open {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    };
    timeout(PATIENCE, all).await.unwrap_or_else(|_| Err(Failure::new(format!("a login does not become open ({open}): {}", workspace.path))))
}

/// Tries to log in, as a tenant's program would.
async fn lets_in(backends: &dyn Backends, login: &BackendSpec) -> Result<bool, Failure> {
    match backends.login(login, &CancellationToken::new()).await {
        Ok(()) => Ok(true),
        Err(CallError::Failed(fault)) if fault.r#type == login_frozen().r#type => Ok(false),
        Err(error) => Err(Failure::new(format!("a login cannot be tried: {error:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use domain::ports::LoginAnswer;
    use saga::{Fault, RunId};

    use super::*;

    /// Lets each login in as often as is written, and never again.
    struct Shutting(Mutex<Vec<(Uuid, u32)>>);

    #[async_trait]
    impl Backends for Shutting {
        fn name(&self, _: &str) -> Option<String> {
            None
        }
        async fn create(&self, _: &BackendSpec, _: &CancellationToken) -> Result<String, CallError> {
            Err(CallError::Failed(Fault::new("unasked", "Nobody asks for this")))
        }
        async fn drop(&self, _: &BackendSpec, _: &CancellationToken) -> Result<(), CallError> {
            Ok(())
        }
        async fn login(&self, spec: &BackendSpec, _: &CancellationToken) -> Result<(), CallError> {
            let mut left = self.0.lock().unwrap();
            match left.iter_mut().find(|(id, _)| *id == spec.id) {
                Some((_, 0)) => Err(CallError::Failed(login_frozen())),
                Some((_, times)) => {
                    *times -= 1;
                    Ok(())
                }
                None => Err(CallError::Failed(Fault::new("backend_workspace_missing", "There is no such backend workspace"))),
            }
        }
        async fn set_login(&self, _: &BackendSpec, _: bool, _: i64, _: &CancellationToken) -> Result<LoginAnswer, CallError> {
            Ok(LoginAnswer::Absent)
        }
    }

    fn login(id: Uuid) -> BackendSpec {
        BackendSpec {
            id,
            workspace_id: id,
            environment_id: id,
            environment: EnvironmentName::Dev,
            region: REGION.to_owned(),
            run: RunId(id),
            key: String::new(),
        }
    }

    #[tokio::test]
    async fn a_workspace_is_shut_when_the_last_of_its_logins_is_refused_and_not_by_what_is_no_refusal() {
        let ids: Vec<Uuid> = (0..3).map(|_| Uuid::now_v7()).collect();
        let backends = Shutting(Mutex::new(vec![(ids[0], 0), (ids[1], 7), (ids[2], 2)]));
        let workspace = Frozen { path: "here".to_owned(), logins: ids.iter().copied().map(login).collect() };
        turned(&backends, &workspace, false).await.unwrap();
        assert!(backends.0.lock().unwrap().iter().all(|(_, left)| *left == 0), "each was tried until it was refused");

        let stranger = Frozen { path: "there".to_owned(), logins: vec![login(Uuid::now_v7())] };
        assert!(turned(&backends, &stranger, false).await.unwrap_err().to_string().contains("cannot be tried"));
    }
}
