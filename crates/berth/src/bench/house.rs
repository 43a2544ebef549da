//! A Berth to be measured: its use cases over the bench's database, with a data platform that costs nothing; if it is to be
//! asked over HTTP, on a real socket of this machine, as it is served in production.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{Issuer, PrivateKey};
use domain::berth::Reply;
use domain::model::StoredPrincipal;
use domain::{Berth, Caller, Change, PrincipalKind};
use saga::RunId;
use saga::worker::Worker;
use store::Store;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ends::Ends;
use super::{assembly, refused};
use crate::failure::Failure;
use crate::ids::system_time;

const USER: &str = "bench";
pub const REGION: &str = "local";
/// How many things are made at once before anything is measured.
const AT_ONCE: usize = 32;
/// After this a drain is over.
const DRAIN: Duration = Duration::from_secs(10);

/// A Berth, one user, and a worker while there is one.
pub struct House {
    pub berth: Berth,
    pub user: StoredPrincipal,
    ends: Ends,
    worker: Option<Worker<Change>>,
    working: Option<(CancellationToken, JoinHandle<()>)>,
}

impl House {
    /// # Errors
    /// The user cannot be made.
    pub async fn open(store: &Store, concurrency: usize) -> Result<Self, Failure> {
        let (ends, sender) = Ends::new();
        let (berth, worker) = assembly::assemble(store, sender, concurrency)?;
        let user = berth.principals.ensure(PrincipalKind::User, USER, None, berth.ids.free()).await.map_err(refused)?;
        Ok(Self { berth, user, ends, worker: Some(worker), working: None })
    }

    /// Puts the worker to work.
    pub fn work(&mut self) {
        if let Some(worker) = self.worker.take() {
            let stop = CancellationToken::new();
            self.working = Some((stop.clone(), tokio::spawn(worker.run(stop))));
        }
    }

    /// Lets the worker drain; from then on runs are accepted only.
    pub async fn rest(&mut self) -> Result<(), Failure> {
        if let Some((stop, working)) = self.working.take() {
            stop.cancel();
            working.await.map_err(refused)?;
        }
        Ok(())
    }

    /// Who asks in this process.
    pub fn caller(&self) -> Caller {
        Caller {
            principal: self.user.principal,
            on_behalf_of: None,
            workspace: None,
            credential_id: None,
            source_ip: None,
            user_agent: None,
            request_id: self.berth.ids.free().to_string(),
            traceparent: None,
        }
    }

    /// Waits for the end of a run that this house's worker executes.
    ///
    /// # Errors
    /// It did not succeed, or does not end.
    pub async fn ended(&self, run: RunId) -> Result<tokio::time::Instant, Failure> {
        self.ends.of(run).await
    }

    /// Active accounts, made as every account is.
    ///
    /// # Errors
    /// One is refused, or its run fails.
    pub async fn accounts(self: &Arc<Self>, count: u32) -> Result<Vec<Uuid>, Failure> {
        let house = self.clone();
        at_once(count, move |number| {
            let house = house.clone();
            async move {
                let made = domain::accounts::create(&house.berth, &house.caller(), format!("Account {number}"), None).await;
                let Reply::Fresh(accepted) = made.map_err(refused)? else { return Err(refused("a replay")) };
                house.ended(accepted.run_id).await?;
                Ok(accepted.account_id)
            }
        })
        .await
    }

    /// Active workspaces, spread evenly over `accounts`.
    ///
    /// # Errors
    /// As [`House::accounts`].
    pub async fn workspaces(self: &Arc<Self>, accounts: &[Uuid], count: u32) -> Result<Vec<Uuid>, Failure> {
        let (house, accounts) = (self.clone(), accounts.to_vec());
        at_once(count, move |number| {
            let (house, account) = (house.clone(), accounts[number as usize % accounts.len()]);
            async move {
                let (workspace, run) = house.create(account, format!("Workspace {number}")).await?;
                house.ended(run).await?;
                Ok(workspace)
            }
        })
        .await
    }

    /// Accepts one workspace.
    ///
    /// # Errors
    /// It is refused.
    pub async fn create(&self, account: Uuid, name: String) -> Result<(Uuid, RunId), Failure> {
        let request = domain::workspaces::create::Request {
            account_id: account,
            name,
            region: REGION.to_owned(),
            slug: None,
            tenancy_model: domain::model::TenancyModel::Shared,
            on_failure: saga::ports::OnFailure::Rollback,
            labels: domain::labels::Labels::default(),
            termination_protection: false,
        };
        let made = domain::workspaces::create::create(&self.berth, &self.caller(), request, None).await.map_err(refused)?;
        let Reply::Fresh(accepted) = made else { return Err(refused("a replay")) };
        Ok((accepted.workspace_id, accepted.run_id))
    }
}

/// Makes `count` things, some at once.
async fn at_once<T, F>(count: u32, make: impl Fn(u32) -> F) -> Result<Vec<T>, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let (mut tasks, mut done) = (JoinSet::new(), Vec::new());
    for number in 0..count {
        if tasks.len() >= AT_ONCE {
            done.extend(tasks.join_next().await.transpose().map_err(refused)?.transpose()?);
        }
        tasks.spawn(make(number));
    }
    while let Some(ended) = tasks.join_next().await {
        done.push(ended.map_err(refused)??);
    }
    Ok(done)
}

/// A house on a socket.
pub struct Served {
    pub address: SocketAddr,
    pub token: String,
    stop: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
    denials: api::Denials,
}

impl Served {
    /// Serves the house on a free port of this machine only.
    ///
    /// # Errors
    /// There is no port, or no randomness for a key.
    pub async fn start(house: &House) -> Result<Self, Failure> {
        let key = PrivateKey::generate().map_err(refused)?;
        let issuer = Arc::new(Issuer::new(key, "berth-bench", Arc::new(system_time)).map_err(refused)?);
        let token = issuer.sign(house.user.principal, house.berth.ids.free(), Duration::from_hours(24)).map_err(refused)?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let stop = CancellationToken::new();
        let mut state = api::State::new(house.berth.clone(), issuer, Arc::new(system_time));
        state.draining = stop.clone();
        let denials = state.denials.clone();
        let serving = tokio::spawn(api::serve::serve(listener, api::router(state), stop.clone(), DRAIN));
        Ok(Self { address, token, stop, serving, denials })
    }

    pub async fn stop(self) -> Result<(), Failure> {
        self.stop.cancel();
        self.serving.await.map_err(refused)?.map_err(refused)?;
        self.denials.drain().await;
        Ok(())
    }
}
