//! `berth bench saga`: what the engine does when steps cost nothing.

use clap::Args;
use serde_json::json;

use super::crew::{self, Crew};
use super::driver::{Drained, Driver};
use super::limits::{Beside, Letter};
use super::place::{On, Place};
use super::report::{Form, Report};
use super::sample::rate;
use super::worker::{Orders, usual_lease};
use super::{noop, real};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    on: On,
    /// How many runs are measured.
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// How many runs are between submission and end at once, all workers together; with 1, one run at a time. With --burst: how many
    /// each worker works on at once, as a setting of a worker that is added does.
    #[arg(long, value_name = "K", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    in_flight: u32,
    /// How many steps a run has.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    steps: u32,
    /// How many worker processes share the runs; with 1, the worker is in the measuring process unless it is to be apart.
    #[arg(long, value_name = "W", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Gives one worker a process of its own too, to be compared with several.
    #[arg(long)]
    apart: bool,
    /// Submits all runs at once and waits until they are drained, instead of keeping K in flight.
    #[arg(long)]
    burst: bool,
    /// Creates workspaces instead, with all that belongs to one, audit entries included, on a data platform that does everything at once.
    #[arg(long, conflicts_with_all = ["steps", "workers", "apart"])]
    real: bool,
    /// Runs before the measured ones, for connections, caches and plans [default: a tenth of N, 500 at most].
    #[arg(long, value_name = "N")]
    warm_up: Option<u32>,
    #[command(flatten)]
    beside: Beside,
    #[command(flatten)]
    form: Form,
}

impl Arguments {
    pub async fn run(&self) -> Result<(), Failure> {
        if !self.is_here() {
            self.on.several_processes()?;
        }
        let units: &[_] = match (self.real, self.in_flight) {
            (true, _) => &[],
            (false, 1) => &[("p50_ms", Letter::L), ("p99_ms", Letter::L), ("steps_per_second", Letter::C)],
            (false, _) => &[("steps_per_second", Letter::C), ("steps_per_second", Letter::B)],
        };
        self.on
            .with(async |place| {
                let report = self.beside.around(place, units, Box::pin(self.measure(place))).await?;
                report.print(&self.form, place).await
            })
            .await
    }

    async fn measure(&self, place: &Place) -> Result<Report, Failure> {
        let warm_up = self.warm_up.unwrap_or((self.runs / 10).min(500));
        let at_once = if self.burst { self.runs } else { self.in_flight };
        let mut drained = if self.real {
            real::drain(place, warm_up, self.runs, at_once, self.in_flight).await?
        } else {
            self.drain(place, warm_up, at_once).await?
        };
        let per_second = rate(self.runs as usize, drained.elapsed);
        let mut figures = vec![("runs_per_second", json!(per_second))];
        if !self.real {
            figures.push(("steps_per_second", json!(per_second * f64::from(self.steps))));
        }
        figures.extend(drained.sample.figures());
        figures
            .extend([("seconds", json!(drained.elapsed.as_secs_f64())), ("submitted_in_seconds", json!(drained.submitted.as_secs_f64()))]);
        Ok(Report {
            bench: "saga",
            measures: self.sentence(),
            parameters: self.on.parameters(json!({
                "saga": if self.real { "create-workspace" } else { "bench" },
                "workload": if self.burst { "burst" } else if self.in_flight == 1 { "single" } else { "closed" },
                "runs": self.runs,
                "in_flight": self.in_flight,
                "steps": if self.real { None } else { Some(self.steps) },
                "accounts": if self.real { real::ACCOUNTS } else { 1 },
                "workers": self.workers,
                "apart": !self.is_here(),
                "warm_up": warm_up})),
            figures,
            beside: None,
        })
    }

    /// Whether the worker is in this process.
    fn is_here(&self) -> bool {
        self.workers == 1 && !self.apart
    }

    async fn drain(&self, place: &Place, warm_up: u32, at_once: u32) -> Result<Drained, Failure> {
        let (ears, ended) = crew::ears();
        let mut crew = self.crew(place, ears).await?;
        let definition = noop::definition(self.steps)?.id;
        let mut driver = Driver::new(place.store.bench(), definition, self.steps, ended).await?;
        driver.drain(&mut crew, warm_up as usize, self.in_flight as usize).await?;
        let drained = driver.drain(&mut crew, self.runs as usize, at_once as usize).await?;
        crew.dismiss().await?;
        Ok(drained)
    }

    async fn crew(&self, place: &Place, ears: tokio::sync::mpsc::UnboundedSender<super::tap::Ended>) -> Result<Crew, Failure> {
        if self.is_here() {
            return Crew::here(place.store.clone(), self.steps, self.in_flight as usize, ears);
        }
        let orders = Orders {
            database: place.location.clone(),
            connections: self.on.connections,
            steps: self.steps,
            concurrency: if self.burst { self.in_flight } else { self.in_flight.div_ceil(self.workers) } as usize,
            lease: usual_lease(),
            lasting: false,
        };
        Crew::processes(self.workers, &orders, &ears).await
    }

    fn sentence(&self) -> String {
        let what = if self.burst {
            "All runs are submitted at once, then drained, each worker at work on as many as are in flight; runs a second are counted from \
             the first submission to the last end"
        } else {
            "As many runs as are in flight are kept between submission and end"
        };
        let who = if self.is_here() {
            "The worker is in the measuring process, and is told at once of what is due."
        } else {
            "Workers are processes of their own, which are told of what is due over a pipe."
        };
        if self.real {
            return format!(
                "{what}. One run is create-workspace, made by the use case that a request calls, with its audit entries: rows, three \
                 environments on a data platform that does everything at once, relationships in the embedded permission system, and their \
                 check. A run's time goes from before the request until its end is durable. {who}"
            );
        }
        format!(
            "{what}. One run is {} steps that do nothing, each durable before the next begins; no audit entry is written. A run's \
             time goes from before its submission until its end is durable. Submissions share commits, up to 500 runs each. {who}",
            self.steps
        )
    }
}
