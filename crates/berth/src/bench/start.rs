//! `berth bench start`: how long a start takes, on a database that is there already.

use clap::Args;
use serde_json::json;

use super::installation::Installation;
use super::place::{On, Place};
use super::report::{Form, Report};
use super::sample::Sample;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    on: On,
    /// How many starts are measured.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    #[command(flatten)]
    form: Form,
}

impl Arguments {
    pub async fn run(&self) -> Result<(), Failure> {
        self.on.with(async |place| self.measure(place).await?.print(&self.form, place).await).await
    }

    async fn measure(&self, place: &Place) -> Result<Report, Failure> {
        let installation = Installation::new(&self.on, place)?;
        let words: &[&str] = if self.on.database_url.is_some() { &["serve"] } else { &["dev"] };
        // Makes what later starts find.
        let first = installation.start(words).await?;
        let first_ms = first.ready_after.as_secs_f64() * 1_000.0;
        first.stop().await?;
        let mut sample = Sample::default();
        for _ in 0..self.times {
            let running = installation.start(words).await?;
            sample.add(running.ready_after);
            running.stop().await?;
        }
        let mut figures = sample.figures().to_vec();
        figures.push(("first_ms", json!(first_ms)));
        Ok(Report {
            bench: "start",
            measures: "Starts of `berth dev` (on PostgreSQL: of `berth serve`) as processes of their own, one after the other, on a database that an \
                       earlier start has made and that holds next to nothing: the time from before the process is made until its \
                       readiness is answered 200. The files are in the kernel's cache, and each process was stopped by SIGTERM before the next. \
                       `first_ms` is the start that found no data folder (on PostgreSQL: no signing key in the database)."
                .to_owned(),
            parameters: self.on.parameters(json!({"command": words.join(" "), "times": self.times})),
            figures,
            beside: None,
        })
    }
}
