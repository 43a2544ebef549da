//! `berth bench check`: what each request asks the permission system, asked of the embedded one and of a SpiceDB in turn.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Args;
use domain::permissions::{
    Cause, Check, Consistency, Object, Permissions, PermissionsError, Relationship, RelationshipPages as _, Tuples, UPDATES_MAX, Update,
};
use domain::ports::Ids as _;
use providers::permissions::Embedded;
use providers::permissions::spicedb::{Key, Settings, SpiceDb};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::place::{On, Place};
use super::refused;
use super::report::{Form, Report};
use super::sample::{Sample, rate};
use crate::failure::Failure;
use crate::ids::RandomIds;
use crate::permissions::jitter;

const CAUSE: Cause = Cause::Hand("bench");
/// What every id begins with, so that what is left of a measurement that was cut off can be told from what somebody needs.
const OURS: &str = "bench-";
/// Relationships that are taken away at once.
const PAGE: u32 = 500;
/// What a request about a workspace wants to know.
const ASKED: [&str; 2] = ["read", "administer"];

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    on: On,
    /// A SpiceDB to compare with: http://HOST:PORT, https://HOST:PORT or unix:FILE. It must hold no accounts; what is written there is
    /// taken away again, but for the schema. Without it, the embedded permission system is measured alone.
    #[arg(long, value_name = "ENDPOINT", requires = "spicedb_key_file")]
    spicedb: Option<String>,
    /// The file with SpiceDB's preshared key.
    #[arg(long, value_name = "FILE", requires = "spicedb")]
    spicedb_key_file: Option<PathBuf>,
    /// How many ask at once, each one question at a time; with 1, one alone.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// How many questions are measured, of each permission system.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    questions: u32,
    /// Questions before the measured ones, for connections, caches and plans [default: a tenth of N, 1,000 at most].
    #[arg(long, value_name = "N")]
    warm_up: Option<u32>,
    /// How many workspaces there are; each question is about the next one.
    #[arg(long, value_name = "W", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    workspaces: u32,
    /// Over how many accounts they are spread.
    #[arg(long, value_name = "A", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    accounts: u32,
    #[command(flatten)]
    form: Form,
}

/// Who asks, about what.
struct Cast {
    user: Object,
    workspaces: Vec<Object>,
    tuples: Vec<Relationship>,
}

impl Cast {
    /// A user who owns all there is, as the creator of an account and its workspaces does.
    fn new(accounts: u32, workspaces: u32) -> Self {
        let fresh = |kind| Object::new(kind, format!("{OURS}{}", RandomIds.free()));
        let user = fresh("user");
        let accounts: Vec<Object> = (0..accounts).map(|_| fresh("account")).collect();
        let workspaces: Vec<Object> = (0..workspaces).map(|_| fresh("workspace")).collect();
        let of_account = |account: &Object| {
            [Relationship::new(account.clone(), "platform", Object::platform()), Relationship::new(account.clone(), "owner", user.clone())]
        };
        let of_workspace = |(number, workspace): (usize, &Object)| {
            let account = accounts[number % accounts.len()].clone();
            [Relationship::new(workspace.clone(), "account", account), Relationship::new(workspace.clone(), "owner", user.clone())]
        };
        let tuples = accounts.iter().flat_map(of_account).chain(workspaces.iter().enumerate().flat_map(of_workspace)).collect();
        Self { user, workspaces, tuples }
    }

    fn question(&self, number: u32) -> Vec<Check> {
        let workspace = &self.workspaces[number as usize % self.workspaces.len()];
        ASKED
            .map(|permission| Check { resource: workspace.clone(), permission: permission.to_owned(), subject: self.user.clone() })
            .to_vec()
    }

    /// Writes all of it; the token of the last write.
    async fn write(&self, system: &dyn Permissions) -> Result<String, Failure> {
        let mut token = String::new();
        for batch in self.tuples.chunks(UPDATES_MAX) {
            let updates: Vec<Update> = batch.iter().cloned().map(Update::Touch).collect();
            token = system.write(&updates, &[], &CAUSE).await.map_err(refused)?;
        }
        Ok(token)
    }
}

/// A permission system, as of when it is asked, and under which names its figures are told.
struct Asked {
    system: Arc<dyn Permissions>,
    at: Consistency,
    figures: [&'static str; 3],
}

impl Arguments {
    pub async fn run(&self) -> Result<(), Failure> {
        self.on.with(async |place| self.measure(place).await?.print(&self.form, place).await).await
    }

    async fn measure(&self, place: &Place) -> Result<Report, Failure> {
        let cast = Arc::new(Cast::new(self.accounts, self.workspaces));
        let tuples: Arc<dyn Tuples> = Arc::new(place.store.clone());
        let embedded: Arc<dyn Permissions> = Arc::new(Embedded::new(tuples));
        let token = cast.write(&*embedded).await?;
        place.store.db().analyze().await.map_err(|e| refused(saga::StoreError::from(e)))?;
        let names = ["embedded_per_second", "embedded_p50_ms", "embedded_p99_ms"];
        let embedded = Asked { system: embedded, at: Consistency::AtLeastAsFresh(token), figures: names };
        let (mut figures, own) = self.ask(&cast, &embedded).await?;
        if let (Some(endpoint), Some(key)) = (&self.spicedb, &self.spicedb_key_file) {
            let spicedb = opened(endpoint, key).await?;
            let compared = self.compared(&cast, &spicedb, own).await;
            let cleared = clear(&spicedb).await;
            figures.extend(compared?);
            cleared?;
        }
        Ok(Report {
            bench: "check",
            measures: "The question that each request about a workspace asks the permission system, at its port: whether the caller may read it and \
                       administer it, in one bulk check, each about the next of the workspaces. The embedded permission system answers from the \
                       database. SpiceDB is asked over one pooled HTTP/2 connection, as of the last write at least, as reads ask, and as of now \
                       (`spicedb_now`), as changes and lists ask. Who asks, Berth's database and SpiceDB share the machine, if they are on it."
                .to_owned(),
            parameters: self.on.parameters(json!({
                "clients": self.clients, "questions": self.questions, "warm_up": self.warm_up(), "workspaces": self.workspaces,
                "accounts": self.accounts,
            })),
            figures,
            beside: None,
        })
    }

    async fn compared(&self, cast: &Arc<Cast>, spicedb: &Arc<SpiceDb>, own: Option<f64>) -> Result<Vec<(&'static str, Value)>, Failure> {
        let token = cast.write(&**spicedb).await?;
        let as_read = Asked {
            system: spicedb.clone(),
            at: Consistency::AtLeastAsFresh(token),
            figures: ["spicedb_per_second", "spicedb_p50_ms", "spicedb_p99_ms"],
        };
        let now = Asked {
            system: spicedb.clone(),
            at: Consistency::FullyConsistent,
            figures: ["spicedb_now_per_second", "spicedb_now_p50_ms", "spicedb_now_p99_ms"],
        };
        let (mut figures, p50) = self.ask(cast, &as_read).await?;
        figures.extend(self.ask(cast, &now).await?.0);
        figures.push(("spicedb_p50_over_embedded", json!(p50.zip(own).map(|(p50, own)| p50 / own))));
        Ok(figures)
    }

    fn warm_up(&self) -> u32 {
        self.warm_up.unwrap_or((self.questions / 10).min(1_000))
    }

    /// The figures, and the median.
    async fn ask(&self, cast: &Arc<Cast>, asked: &Asked) -> Result<(Vec<(&'static str, Value)>, Option<f64>), Failure> {
        let warm_up = self.warm_up();
        ask(cast, asked, self.clients, 0..warm_up).await?;
        let began = Instant::now();
        let mut sample = ask(cast, asked, self.clients, warm_up..warm_up + self.questions).await?;
        let per_second = rate(sample.len(), began.elapsed());
        let values = [Some(per_second), sample.millis(0.5), sample.millis(0.99)];
        Ok((asked.figures.into_iter().zip(values.map(|value| json!(value))).collect(), values[1]))
    }
}

/// With the schema, and nothing that somebody needs.
async fn opened(endpoint: &str, key: &std::path::Path) -> Result<Arc<SpiceDb>, Failure> {
    let spicedb = SpiceDb::new(Settings::new(endpoint, Key::File(key.to_owned()), Arc::new(jitter))).await.map_err(refused)?;
    spicedb.write_schema().await.map_err(refused)?;
    clear(&spicedb).await?;
    Ok(Arc::new(spicedb))
}

/// Takes away what this measurement has left there, or an earlier one that was cut off.
async fn clear(spicedb: &SpiceDb) -> Result<(), Failure> {
    for kind in ["account", "workspace"] {
        loop {
            let page = spicedb.page(kind, None, PAGE).await.map_err(refused)?.relationships;
            if page.iter().any(|r| !r.resource.id.starts_with(OURS)) {
                return Err(Failure::new(format!("this SpiceDB holds {kind}s: name one that nobody needs, --spicedb ENDPOINT")));
            }
            if page.is_empty() {
                break;
            }
            let updates: Vec<Update> = page.into_iter().map(Update::Delete).collect();
            spicedb.write(&updates, &[], &CAUSE).await.map_err(refused)?;
        }
    }
    Ok(())
}

async fn ask(cast: &Arc<Cast>, asked: &Asked, clients: u32, numbers: std::ops::Range<u32>) -> Result<Sample, Failure> {
    let next = Arc::new(AtomicU32::new(numbers.start));
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (next, cast, system, at) = (next.clone(), cast.clone(), asked.system.clone(), asked.at.clone());
        tasks.spawn(async move {
            let mut sample = Sample::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    return Ok::<_, PermissionsError>(sample);
                }
                let question = cast.question(number);
                let began = Instant::now();
                let answers = system.check(&question, &at).await?;
                sample.add(began.elapsed());
                if answers != [true; ASKED.len()] {
                    return Err(PermissionsError::Invalid(format!("{answers:?} is not what was written")));
                }
            }
        });
    }
    let mut sample = Sample::default();
    while let Some(ended) = tasks.join_next().await {
        sample.append(ended.map_err(refused)?.map_err(refused)?);
    }
    Ok(sample)
}
