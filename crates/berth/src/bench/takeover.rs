//! `berth bench takeover`: how long it takes until a killed worker's runs are in another's hands.

use std::time::Duration;

use clap::Args;
use domain::ids::within;
use domain::{Principal, PrincipalKind};
use saga::RunId;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::crew::{self, Crew};
use super::place::{On, Place};
use super::report::{Form, Report};
use super::sample::Sample;
use super::worker::{Orders, usual_lease};
use super::{noop, refused};
use crate::failure::Failure;

/// Runs that one commit submits.
const CHUNK: usize = 500;
/// What the second worker does when it starts is over by then.
const SETTLED: Duration = Duration::from_secs(2);
/// If the runs are not claimed so long after the lease, they will not be.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    on: On,
    /// How many runs the killed worker has in flight.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// How many times a worker is killed.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    times: u32,
    /// The lease of both workers [default: as settings have it that say nothing about it, 10].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=30))]
    lease: Option<u64>,
    #[command(flatten)]
    form: Form,
}

/// One worker is killed; what it had in flight.
struct Round<'a> {
    place: &'a Place,
    orders: &'a Orders,
    runs: u32,
    account: Uuid,
}

impl Arguments {
    pub async fn run(&self) -> Result<(), Failure> {
        self.on.several_processes()?;
        self.on.with(async |place| self.measure(place).await?.print(&self.form, place).await).await
    }

    async fn measure(&self, place: &Place) -> Result<Report, Failure> {
        let lease = self.lease.map_or_else(usual_lease, Duration::from_secs);
        let mut sample = Sample::default();
        for round in 0..self.times {
            let orders = Orders {
                database: place.location.clone(),
                connections: self.on.connections,
                // No other round's workers know this saga: what the last one left behind is not taken up.
                steps: round + 1,
                concurrency: self.runs as usize,
                lease,
                lasting: true,
            };
            let round_of = Round { place, orders: &orders, runs: self.runs, account: Uuid::new_v4() };
            // A worker dies anywhere between two of its renewals.
            let phase = lease.mul_f64(0.3 * f64::from(round) / f64::from(self.times));
            sample.add(round_of.measure(phase).await?);
        }
        let lease_ms = lease.as_secs_f64() * 1_000.0;
        let mut figures = sample.figures().to_vec();
        figures.push(("lease_ms", json!(lease_ms)));
        figures.push(("p50_over_lease_ms", json!(sample.millis(0.5).map(|ms| ms - lease_ms))));
        figures.push(("longest_over_lease_ms", json!(sample.millis(1.0).map(|ms| ms - lease_ms))));
        Ok(Report {
            bench: "takeover",
            measures: "Two worker processes, one of which has all the runs in flight, each in the middle of a step, and is killed (SIGKILL): the time from \
                       then until the other has claimed every one of them, as the database shows it. It counts from the death, and what is left of \
                       the lease then is a part of it: the lease at most, and the time between two renewals less at least."
                .to_owned(),
            parameters: self.on.parameters(json!({"runs": self.runs, "times": self.times, "lease_seconds": lease.as_secs()})),
            figures,
            beside: None,
        })
    }
}

impl Round<'_> {
    async fn measure(&self, phase: Duration) -> Result<Duration, Failure> {
        let (ears, _deaf) = crew::ears();
        let mut first = Crew::processes(1, self.orders, &ears).await?;
        self.submit().await?;
        first.wake().await;
        self.owned(1).await?;
        let mut second = Crew::processes(1, self.orders, &ears).await?;
        tokio::time::sleep(SETTLED + phase).await;
        let early = self.place.store.bench().owned(self.account, 2).await.map_err(refused)?;
        if early > 0 {
            return Err(Failure::new(format!("{early} runs were taken from a worker that was alive: the machine is too busy to measure")));
        }
        first.kill()?;
        let began = Instant::now();
        self.owned(2).await?;
        let took = began.elapsed();
        second.kill()?;
        Ok(took)
    }

    async fn submit(&self) -> Result<(), Failure> {
        let (bench, definition) = (self.place.store.bench(), noop::definition(self.orders.steps)?.id);
        let creator = Principal { kind: PrincipalKind::ServiceAccount, id: self.account };
        bench.account(self.account, creator).await.map_err(refused)?;
        let ids: Vec<RunId> = (0..self.runs).map(|_| RunId(within(self.account, Uuid::now_v7()))).collect();
        for some in ids.chunks(CHUNK) {
            bench.submit(self.account, creator, &definition, self.orders.steps, some).await.map_err(refused)?;
        }
        Ok(())
    }

    /// Waits until every run has been claimed so often, and is held by a worker.
    async fn owned(&self, claim: i64) -> Result<(), Failure> {
        let until = Instant::now() + self.orders.lease + PATIENCE;
        loop {
            let owned = self.place.store.bench().owned(self.account, claim).await.map_err(refused)?;
            if owned >= u64::from(self.runs) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Failure::new(format!("only {owned} of {} runs have been claimed", self.runs)));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
