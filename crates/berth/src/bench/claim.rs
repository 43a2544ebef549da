//! `berth bench claim`: whether a claim gets slower as finished runs pile up.

use clap::Args;
use domain::ids::within;
use domain::{Principal, PrincipalKind};
use saga::ports::{Claim, Runs as _, Sought};
use saga::{DefinitionId, RunId, WorkerId};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::place::{On, Place};
use super::report::{Form, Report};
use super::sample::Sample;
use super::{noop, refused};
use crate::failure::Failure;

const STEPS: u32 = 10;
/// Finished runs that one commit inserts.
const CHUNK: i64 = 50_000;
/// Nothing is renewed while it is measured.
const LEASE: std::time::Duration = std::time::Duration::from_hours(24);

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    on: On,
    /// How many finished runs there are the second time.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    finished: u32,
    /// How many records each of them has in the journal.
    #[arg(long, value_name = "N", default_value_t = 1)]
    journal: u32,
    /// How many claims are measured each time.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    claims: u32,
    /// How many runs a claim takes.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=500))]
    batch: u32,
    #[command(flatten)]
    form: Form,
}

/// Whose runs are claimed.
struct Queue<'a> {
    place: &'a Place,
    account: Uuid,
    definition: DefinitionId,
    worker: WorkerId,
}

impl Queue<'_> {
    fn creator(&self) -> Principal {
        Principal { kind: PrincipalKind::ServiceAccount, id: self.account }
    }

    /// Submits as many runs as are then claimed, and claims them.
    async fn claim(&self, claims: u32, batch: u32) -> Result<Sample, Failure> {
        for _ in 0..claims {
            let ids: Vec<RunId> = (0..batch).map(|_| RunId(within(self.account, Uuid::now_v7()))).collect();
            self.place.store.bench().submit(self.account, self.creator(), &self.definition, STEPS, &ids).await.map_err(refused)?;
        }
        self.place.store.db().analyze().await.map_err(|e| refused(saga::StoreError::from(e)))?;
        let mut sample = Sample::default();
        for _ in 0..claims {
            let claim = Claim {
                worker: self.worker,
                limit: batch,
                definitions: vec![self.definition.clone()],
                without: Vec::new(),
                sought: Sought::New,
            };
            let began = Instant::now();
            let claimed = self.place.store.claim(&claim).await.map_err(refused)?;
            sample.add(began.elapsed());
            if claimed.runs.len() != batch as usize {
                return Err(Failure::new(format!("a claim took {} runs instead of {batch}", claimed.runs.len())));
            }
        }
        Ok(sample)
    }

    async fn finish(&self, count: u32, journal: u32) -> Result<(), Failure> {
        let count = i64::from(count);
        let mut done = 0;
        while done < count {
            let upto = (done + CHUNK).min(count);
            let chunk = (done + 1, upto);
            let bench = self.place.store.bench();
            bench.finished(self.account, self.creator(), &self.definition, chunk, journal).await.map_err(refused)?;
            done = upto;
        }
        Ok(())
    }
}

impl Arguments {
    pub async fn run(&self) -> Result<(), Failure> {
        self.on.with(async |place| self.measure(place).await?.print(&self.form, place).await).await
    }

    async fn measure(&self, place: &Place) -> Result<Report, Failure> {
        let queue = Queue { place, account: Uuid::new_v4(), definition: noop::definition(STEPS)?.id, worker: WorkerId(Uuid::now_v7()) };
        place.store.bench().account(queue.account, queue.creator()).await.map_err(refused)?;
        place.store.register(queue.worker, LEASE, std::slice::from_ref(&queue.definition)).await.map_err(refused)?;
        // For connections, caches and plans.
        queue.claim(self.claims.min(50), self.batch).await?;
        let mut empty = queue.claim(self.claims, self.batch).await?;
        let began = Instant::now();
        queue.finish(self.finished, self.journal).await?;
        let filled_in = began.elapsed();
        let mut full = queue.claim(self.claims, self.batch).await?;
        let ratio = full.millis(0.5).zip(empty.millis(0.5)).map(|(full, empty)| full / empty);
        let mut figures = vec![("empty_p50_ms", json!(empty.millis(0.5))), ("empty_p99_ms", json!(empty.millis(0.99)))];
        figures.extend(full.figures());
        figures.extend([("p50_over_empty", json!(ratio)), ("filled_in_seconds", json!(filled_in.as_secs_f64()))]);
        Ok(Report {
            bench: "claim",
            measures: "One worker claims due runs, a batch a claim, one claim after the other: first with no finished run in the tables, then with many. \
                       The planner's statistics are made anew before each measurement, as autovacuum does after such a growth."
                .to_owned(),
            parameters: self.on.parameters(json!({
                "finished": self.finished,
                "journal": self.journal,
                "claims": self.claims,
                "batch": self.batch})),
            figures,
            beside: None,
        })
    }
}
