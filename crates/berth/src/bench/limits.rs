//! The machine's own limits, as the store measures them, each under the letter that figures of Berth's are divided by.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};
use store::db::Limit;

use super::place::{On, Place};
use super::refused;
use super::report::{Form, Report};
use super::sample::{Sample, rate};
use crate::failure::Failure;

const CLIENTS: u32 = 32;
const READERS: u32 = 64;
/// Runs whose steps share a commit.
const BATCH: i64 = 50;

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letter {
    /// Steps a second, each a commit of its own, from 32 connections.
    C,
    /// Steps a second, 50 runs' in each commit, from one connection.
    B,
    /// Milliseconds that one connection's commit of one row takes, the median.
    L,
    /// Rows a second read by their key, from 64 connections.
    S,
    /// Rows of ten columns a second, copied out of a table as CSV.
    Y,
}

const ALL: [Letter; 5] = [Letter::C, Letter::B, Letter::L, Letter::S, Letter::Y];

impl Letter {
    fn name(self) -> &'static str {
        match self {
            Self::C => "C_steps_per_second",
            Self::B => "B_steps_per_second",
            Self::L => "L_p50_ms",
            Self::S => "S_selects_per_second",
            Self::Y => "Y_rows_per_second",
        }
    }

    fn letter(self) -> char {
        match self {
            Self::C => 'C',
            Self::B => 'B',
            Self::L => 'L',
            Self::S => 'S',
            Self::Y => 'Y',
        }
    }
}

/// How long, and on how many rows.
#[derive(Debug, Clone, Copy, Args)]
pub struct Extent {
    /// How many seconds each limit is measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    limit_seconds: f64,
    /// How many rows are copied for the limit of exports.
    #[arg(long, value_name = "ROWS", default_value_t = 1_000_000)]
    limit_rows: u32,
}

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    extent: Extent,
    #[command(flatten)]
    form: Form,
}

impl Arguments {
    pub async fn run(&self) -> Result<(), Failure> {
        self.on.with(async |place| self.measure(place).await?.print(&self.form, place).await).await
    }

    async fn measure(&self, place: &Place) -> Result<Report, Failure> {
        let known = measured(place, &ALL, self.extent).await?;
        Ok(Report {
            bench: "limits",
            measures:
                "What the database does without Berth, over the driver that Berth uses, from one process that shares the machine with it. \
                       A step is one row advanced and one row appended. C: one step a commit, 32 connections; B: 50 steps a commit, one \
                       connection; L: one row updated, one connection; S: one row read by its key, 64 connections; Y: rows of ten columns \
                       copied out as CSV. On SQLite there is one writer, whatever the number of connections, and no Y."
                    .to_owned(),
            parameters: self.on.parameters(json!({"limit_seconds": self.extent.limit_seconds, "limit_rows": self.extent.limit_rows})),
            figures: ALL.iter().map(|letter| (letter.name(), json!(known.of(*letter)))).collect(),
            beside: None,
        })
    }
}

/// Limits that were measured.
#[derive(Debug, Clone, Default)]
pub struct Limits(Vec<(Letter, Option<f64>)>);

impl Limits {
    fn of(&self, letter: Letter) -> Option<f64> {
        self.0.iter().find(|(known, _)| *known == letter).and_then(|(_, value)| *value)
    }

    /// The middle between two measurements of the same.
    fn middle(&self, other: &Self) -> Self {
        let middle = |letter| Some(f64::midpoint(self.of(letter)?, other.of(letter)?));
        Self(self.0.iter().map(|(letter, _)| (*letter, middle(*letter))).collect())
    }
}

async fn measured(place: &Place, letters: &[Letter], extent: Extent) -> Result<Limits, Failure> {
    let db = place.store.db();
    let failed = |e: store::db::Error| refused(saga::StoreError::from(e));
    db.prepare_limits().await.map_err(failed)?;
    let time = Duration::from_secs_f64(extent.limit_seconds.clamp(0.01, 3_600.0));
    let mut limits = Vec::new();
    for letter in letters {
        let rate_of = |limit, clients| async move {
            let measured = db.limit(limit, clients, time).await.map_err(failed)?;
            Ok::<_, Failure>((rate(measured.micros.len(), measured.elapsed), Sample::of_micros(measured.micros)))
        };
        let value = match letter {
            Letter::C => Some(rate_of(Limit::Steps(1), CLIENTS).await?.0),
            #[expect(clippy::cast_precision_loss, reason = "it is 50")]
            Letter::B => Some(rate_of(Limit::Steps(BATCH), 1).await?.0 * BATCH as f64),
            Letter::L => rate_of(Limit::Update, 1).await?.1.millis(0.5),
            Letter::S => Some(rate_of(Limit::Select, READERS).await?.0),
            Letter::Y => {
                let took = db.export_limit(extent.limit_rows).await.map_err(failed)?;
                took.map(|took| rate(extent.limit_rows as usize, took))
            }
        };
        limits.push((*letter, value));
    }
    Ok(Limits(limits))
}

/// Whether a measurement has the limits measured beside it.
#[derive(Debug, Clone, Copy, Args)]
pub struct Beside {
    /// Measures the machine's own limits too, before and after, and says the figures in them.
    #[arg(long)]
    limits: bool,
    #[command(flatten)]
    extent: Extent,
}

impl Beside {
    /// Does `work`; `units` says which of its figures are told in which limit.
    pub async fn around(
        &self,
        place: &Place,
        units: &[(&'static str, Letter)],
        work: impl Future<Output = Result<Report, Failure>>,
    ) -> Result<Report, Failure> {
        if !self.limits {
            return work.await;
        }
        let mut letters: Vec<Letter> = Vec::new();
        for (_, letter) in units {
            if !letters.contains(letter) {
                letters.push(*letter);
            }
        }
        let before = measured(place, &letters, self.extent).await?;
        let mut report = work.await?;
        let after = measured(place, &letters, self.extent).await?;
        let known = before.middle(&after);
        let mut in_units = Map::new();
        for (figure, letter) in units {
            let value = report.figures.iter().find(|(name, _)| name == figure).and_then(|(_, value)| value.as_f64());
            if let (Some(value), Some(limit)) = (value, known.of(*letter)) {
                in_units.insert(format!("{figure}_in_{}", letter.letter()), json!(value / limit));
            }
        }
        let limits: Map<String, Value> = letters.iter().map(|letter| (letter.name().to_owned(), json!(known.of(*letter)))).collect();
        report.beside = Some(json!({"limits": limits, "in_units": in_units}));
        Ok(report)
    }
}
