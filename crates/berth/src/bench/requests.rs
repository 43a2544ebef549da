//! `berth bench accept|get|list|audit`: requests over HTTP to a Berth in this process, on a socket of this machine.

use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value, json};
use store::Filling;

use super::house::{House, REGION, Served};
use super::limits::{Beside, Letter};
use super::load::{Make, Traffic, get, post};
use super::place::{On, Place};
use super::refused;
use super::report::{Form, Report};
use crate::failure::Failure;

/// Entries that one commit appends.
const BATCH: u32 = 1_000;
/// Runs that are worked on at once before anything is measured.
const CONCURRENCY: usize = 64;
/// How it was measured, whatever it was.
const HOW: &str = "Client and server are in one process and talk over loopback: what the client costs is in the figures. Nothing is \
                   logged, and no worker is at work meanwhile.";

#[derive(Debug, Args)]
pub struct Asked {
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    traffic: Traffic,
    #[command(flatten)]
    beside: Beside,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, Args)]
pub struct Accept {
    #[command(flatten)]
    asked: Asked,
    /// Over how many accounts the workspaces are spread.
    #[arg(long, value_name = "A", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    accounts: u32,
}

#[derive(Debug, Args)]
pub struct Get {
    #[command(flatten)]
    asked: Asked,
    /// How many workspaces there are; each request is about the next one.
    #[arg(long, value_name = "W", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    workspaces: u32,
    /// Over how many accounts they are spread.
    #[arg(long, value_name = "A", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    accounts: u32,
}

#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    get: Get,
    /// How many workspaces a request asks for.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    page: u32,
}

#[derive(Debug, Args)]
pub struct Audit {
    #[command(flatten)]
    asked: Asked,
    /// How many entries the account's log has.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    entries: u32,
    /// How many entries a request asks for.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    page: u32,
}

impl Asked {
    async fn run(
        &self,
        units: &[(&'static str, Letter)],
        measure: impl AsyncFnOnce(&Place) -> Result<Report, Failure>,
    ) -> Result<(), Failure> {
        self.on
            .with(async |place| {
                let report = self.beside.around(place, units, Box::pin(measure(place))).await?;
                report.print(&self.form, place).await
            })
            .await
    }

    /// Sends what `make` makes of a token, and reports.
    async fn measure(
        &self,
        house: &House,
        (bench, what): (&'static str, &str),
        more: &[(&str, u32)],
        expected: u16,
        make: impl FnOnce(String) -> Make,
    ) -> Result<Report, Failure> {
        let served = Served::start(house).await?;
        let make = make(served.token.clone());
        let sent = self.traffic.send(served.address, &make, expected).await;
        served.stop().await?;
        let mut parameters = Map::new();
        parameters.extend(self.traffic.parameters().map(|(name, value)| (name.to_owned(), value)));
        parameters.extend(more.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
        Ok(Report {
            bench,
            measures: format!("{what} {HOW}"),
            parameters: self.on.parameters(Value::Object(parameters)),
            figures: sent?.figures(),
            beside: None,
        })
    }

    /// One client's time is told in the time of a commit, many clients' rate in a rate.
    fn units(&self, many: Letter, one: Option<Letter>) -> Vec<(&'static str, Letter)> {
        match one {
            Some(one) if self.traffic.clients == 1 => vec![("p50_ms", one), ("p99_ms", one)],
            _ => vec![("requests_per_second", many)],
        }
    }
}

/// A Berth with accounts, and a worker at work.
async fn opened(place: &Place) -> Result<Arc<House>, Failure> {
    let mut house = House::open(&place.store, CONCURRENCY).await?;
    house.work();
    Ok(Arc::new(house))
}

/// What was made is made; from here on nothing but requests is worked on.
async fn rested(house: Arc<House>) -> Result<House, Failure> {
    let mut house = Arc::into_inner(house).ok_or_else(|| Failure::new("something is still at work on what is to be measured"))?;
    house.rest().await?;
    Ok(house)
}

impl Accept {
    pub async fn run(&self) -> Result<(), Failure> {
        let units = self.asked.units(Letter::C, Some(Letter::L));
        self.asked.run(&units, async |place| self.measure(place).await).await
    }

    async fn measure(&self, place: &Place) -> Result<Report, Failure> {
        let house = opened(place).await?;
        let accounts = house.accounts(self.accounts).await?;
        let house = rested(house).await?;
        let what = "POST /v1/workspaces until 202: the workspace, its run, its audit entry and its idempotency key are durable.";
        self.asked
            .measure(&house, ("accept", what), &[("accounts", self.accounts)], 202, |token| {
                Arc::new(move |number| {
                    let account = accounts[number as usize % accounts.len()];
                    let body = json!({"account_id": account, "name": format!("Workspace {number}"), "region": REGION});
                    post(&token, "/v1/workspaces", &format!("bench-{number}"), &body).into()
                })
            })
            .await
    }
}

impl Get {
    pub async fn run(&self) -> Result<(), Failure> {
        let units = self.asked.units(Letter::S, None);
        self.asked.run(&units, async |place| self.measure(place).await).await
    }

    async fn measure(&self, place: &Place) -> Result<Report, Failure> {
        let house = opened(place).await?;
        let accounts = house.accounts(self.accounts).await?;
        let workspaces = house.workspaces(&accounts, self.workspaces).await?;
        let house = rested(house).await?;
        let more = [("workspaces", self.workspaces), ("accounts", self.accounts)];
        let what = "GET /v1/workspaces/{id} with its permission check, each request about the next of the workspaces.";
        self.asked
            .measure(&house, ("get", what), &more, 200, |token| {
                let requests: Vec<Arc<[u8]>> = workspaces.iter().map(|id| get(&token, &format!("/v1/workspaces/{id}")).into()).collect();
                Arc::new(move |number| requests[number as usize % requests.len()].clone())
            })
            .await
    }
}

impl List {
    pub async fn run(&self) -> Result<(), Failure> {
        let units = self.get.asked.units(Letter::S, None);
        self.get.asked.run(&units, async |place| self.measure(place).await).await
    }

    async fn measure(&self, place: &Place) -> Result<Report, Failure> {
        let get_ = &self.get;
        let house = opened(place).await?;
        let accounts = house.accounts(get_.accounts).await?;
        house.workspaces(&accounts, get_.workspaces).await?;
        let house = rested(house).await?;
        let more = [("workspaces", get_.workspaces), ("accounts", get_.accounts), ("page", self.page)];
        let what = "GET /v1/workspaces/by-account/{account}: the first page of an account's workspaces, each with its permission check.";
        get_.asked
            .measure(&house, ("list", what), &more, 200, |token| {
                let path = |account| format!("/v1/workspaces/by-account/{account}?limit={}", self.page);
                let requests: Vec<Arc<[u8]>> = accounts.iter().map(|account| get(&token, &path(account)).into()).collect();
                Arc::new(move |number| requests[number as usize % requests.len()].clone())
            })
            .await
    }
}

impl Audit {
    pub async fn run(&self) -> Result<(), Failure> {
        let units = self.asked.units(Letter::S, None);
        self.asked.run(&units, async |place| self.measure(place).await).await
    }

    async fn measure(&self, place: &Place) -> Result<Report, Failure> {
        let (house, workspace) = filled(place, self.entries).await?;
        let more = [("entries", self.entries), ("page", self.page)];
        let what = "GET /v1/workspaces/{id}/audit with its permission check: the first page of a long audit log.";
        let path = format!("/v1/workspaces/{workspace}/audit?limit={}", self.page);
        self.asked
            .measure(&house, ("audit", what), &more, 200, |token| {
                let request: Arc<[u8]> = get(&token, &path).into();
                Arc::new(move |_| request.clone())
            })
            .await
    }
}

/// A Berth with one workspace, whose audit log has `entries` more entries than it needs.
pub async fn filled(place: &Place, entries: u32) -> Result<(House, uuid::Uuid), Failure> {
    let house = opened(place).await?;
    let accounts = house.accounts(1).await?;
    let workspaces = house.workspaces(&accounts, 1).await?;
    let house = rested(house).await?;
    let (account, workspace) = (accounts[0], workspaces[0]);
    let mut left = entries;
    while left > 0 {
        let batch = left.min(BATCH);
        place.store.bench().audit_entries(Filling { account, workspace, batch }).await.map_err(refused)?;
        left -= batch;
    }
    place.store.db().analyze().await.map_err(|e| refused(saga::StoreError::from(e)))?;
    Ok((house, workspace))
}
