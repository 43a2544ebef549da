//! `berth bench idle`: what workers cost that have nothing to do.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::installation::{Installation, Running};
use super::place::{On, Place};
use super::refused;
use super::report::{Form, Report};
use crate::failure::Failure;

/// What workers do when they start is over by then.
const SETTLED: Duration = Duration::from_secs(2);
/// The unit of times in `/proc`: a hundredth of a second, whatever the kernel's own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    on: On,
    /// How many worker processes there are.
    #[arg(long, value_name = "W", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// How long they are watched. What they do now and then, they do every 20 seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    seconds: f64,
    #[command(flatten)]
    form: Form,
}

impl Arguments {
    pub async fn run(&self) -> Result<(), Failure> {
        self.on.several_processes()?;
        self.on.with(async |place| self.measure(place).await?.print(&self.form, place).await).await
    }

    async fn measure(&self, place: &Place) -> Result<Report, Failure> {
        let failed = |e: store::db::Error| refused(saga::StoreError::from(e));
        let db = place.store.db();
        let counted = db.count_statements().await.map_err(failed)?;
        let installation = Installation::new(&self.on, place)?;
        let mut running = Vec::new();
        for _ in 0..self.workers {
            running.push(installation.start(&["work"]).await?);
        }
        let pids = running.iter().map(Running::pid).collect::<Result<Vec<_>, _>>()?;
        tokio::time::sleep(SETTLED).await;
        let before = (cpu(&pids)?, db.transactions().await.map_err(failed)?, db.statements_done().await.ok());
        let began = tokio::time::Instant::now();
        tokio::time::sleep(Duration::from_secs_f64(self.seconds.clamp(0.01, 86_400.0))).await;
        let seconds = began.elapsed().as_secs_f64();
        let after = (cpu(&pids)?, db.transactions().await.map_err(failed)?, db.statements_done().await.ok());
        for process in running {
            process.stop().await?;
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let per_second = |before: i64, after: i64| (after - before).max(0) as f64 / seconds;
        let statements = before.2.zip(after.2).filter(|_| counted).map(|(before, after)| per_second(before, after));
        Ok(Report {
            bench: "idle",
            measures: "Processes of `berth work` with nothing to do: the processor time of all of them together, in percent of one core, and what they ask \
                       of the database. Statements, BEGIN and COMMIT among them, are counted where the server was started with \
                       pg_stat_statements; the database's own processor time is not in the figure."
                .to_owned(),
            parameters: self.on.parameters(json!({"workers": self.workers, "seconds": self.seconds})),
            figures: vec![
                ("cpu_percent_of_one_core", json!((after.0 - before.0) / seconds * 100.0)),
                ("statements_per_second", json!(statements)),
                ("transactions_per_second", json!(per_second(before.1, after.1))),
                ("seconds", json!(seconds)),
            ],
            beside: None,
        })
    }
}

/// Seconds that these processes have been at work, in user mode and for the system.
fn cpu(pids: &[u32]) -> Result<f64, Failure> {
    let mut seconds = 0.0;
    for pid in pids {
        let path = format!("/proc/{pid}/stat");
        let text = std::fs::read_to_string(&path).map_err(|e| Failure::new(format!("{path} cannot be read: {e}. A worker is gone")))?;
        // The name, in brackets, may hold anything; the 12th and 13th words after it are the times.
        let words = text.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: f64 = words.skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
        seconds += ticks / TICKS_PER_SECOND;
    }
    Ok(seconds)
}
