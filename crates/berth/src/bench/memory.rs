//! `berth bench memory`: what a process keeps resident, idle and with many runs that wait.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use domain::audit::Draft;
use domain::ids::PLATFORM;
use domain::pauses::{Kind, Scope};
use domain::ports::NewPause;
use serde_json::json;
use store::Store;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::house::{House, REGION};
use super::installation::{Installation, Running};
use super::place::{On, Place};
use super::refused;
use super::report::{Form, Report};
use crate::failure::Failure;

/// Requests that are accepted at once while the runs are made.
const AT_ONCE: u32 = 64;
/// If for so long no further run has begun to wait, none will.
const PATIENCE: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    on: On,
    /// How many runs wait.
    #[arg(long, value_name = "N", default_value_t = 0)]
    waiting: u32,
    /// How long the process has had nothing to do when it is looked at.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    idle_for: f64,
    #[command(flatten)]
    form: Form,
}

impl Arguments {
    pub async fn run(&self) -> Result<(), Failure> {
        self.on.with(async |place| self.measure(place).await?.print(&self.form, place).await).await
    }

    async fn measure(&self, place: &Place) -> Result<Report, Failure> {
        let installation = Installation::new(&self.on, place)?;
        let words = installation.whole();
        // Makes what is there when the process starts that is looked at.
        installation.start(words).await?.stop().await?;
        if self.waiting > 0 {
            let store = installation.store().await?;
            let filled = fill(&store, self.waiting).await;
            installation.close(store).await;
            filled?;
        }
        let running = installation.start(words).await?;
        let took_up = taken_up(&running, u64::from(self.waiting)).await?;
        tokio::time::sleep(Duration::from_secs_f64(self.idle_for.clamp(0.0, 86_400.0))).await;
        let (resident, own, peak) = (running.memory("VmRSS")?, running.memory("RssAnon")?, running.memory("VmHWM")?);
        running.stop().await?;
        Ok(Report {
            bench: "memory",
            measures: "Resident memory (VmRSS) of a whole Berth in one process (`berth dev`; on PostgreSQL `berth serve --with-worker`, without the \
                       database's own), once it has had nothing to do for a while, the part of it that is no file's (RssAnon: without the program itself), and the highest that it has been since its start (VmHWM). Runs \
                       that wait are create-workspace, accepted before the start and held back by an operator's pause of their backend: \
                       the process has claimed each, executed its first step, and released it in front of the backend's, where it waits for the pause's end."
                .to_owned(),
            parameters: self.on.parameters(json!({
                "command": words.join(" "), "waiting": self.waiting, "idle_for_seconds": self.idle_for,
            })),
            figures: vec![
                ("resident_mib", json!(resident)),
                ("own_mib", json!(own)),
                ("peak_mib", json!(peak)),
                ("taken_up_in_seconds", json!(took_up.as_secs_f64())),
            ],
            beside: None,
        })
    }
}

/// A pause of the backend, and `count` workspaces that were asked for.
async fn fill(store: &Store, count: u32) -> Result<(), Failure> {
    let mut house = House::open(store, AT_ONCE as usize).await?;
    house.work();
    let mut house = Arc::new(house);
    let account = house.accounts(1).await?[0];
    Arc::get_mut(&mut house).ok_or_else(|| Failure::new("an account is still being made"))?.rest().await?;
    let scope = Scope::new(Kind::Backend, "local");
    let pause = NewPause {
        audit: Draft::by_berth(&*house.berth.ids, PLATFORM, None, "pause.set").after(json!({"scope": scope.to_string(), "undo": false})),
        scope,
        undo: false,
        comment: "A measurement of what waits".to_owned(),
        created_by: house.user.principal,
    };
    house.berth.pauses.set(pause).await.map_err(refused)?;
    let mut tasks = JoinSet::new();
    for first in 0..AT_ONCE {
        let house = house.clone();
        tasks.spawn(async move {
            for number in (first..count).step_by(AT_ONCE as usize) {
                house.create(account, format!("Waits {number}")).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(refused)??;
    }
    Ok(())
}

/// Waits until as many runs wait.
async fn taken_up(running: &Running, wanted: u64) -> Result<Duration, Failure> {
    let began = Instant::now();
    let (mut most, mut since) = (0, began);
    loop {
        let details = running.readiness().await?;
        let waiting = details["runs"]["waiting"].as_u64().unwrap_or_default();
        if waiting >= wanted {
            return Ok(began.elapsed());
        }
        if waiting > most {
            (most, since) = (waiting, Instant::now());
        } else if since.elapsed() > PATIENCE {
            return Err(Failure::new(format!(
                "{waiting} runs wait in {REGION} instead of {wanted}, and no more come: {}",
                details["runs"]
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
