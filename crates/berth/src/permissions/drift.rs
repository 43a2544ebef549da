//! `berth permissions diff` and `berth permissions repair`: what differs is printed as it is found, so that memory is bounded
//! however much it is.

use domain::drift::{Class, Drift, Fate, Mode, Sides, Walk, step};
use serde_json::{Value, json};

use super::Form;
use crate::config::{Config, Environment};
use crate::failure::Failure;
use crate::house::House;
use crate::process::on_runtime;
use crate::{operator, telemetry};

/// # Errors
/// Something differs that was not repaired; the database or the permission system is away.
pub fn run(config: &Config, environment: &Environment, form: Form, mode: Mode) -> Result<(), Failure> {
    let _telemetry = telemetry::start(&config.log, environment)?;
    on_runtime(async {
        let House { berth, store, held, .. } = operator::house(config).await?;
        let sides = Sides { berth: &berth, intents: &store, held: &*held };
        let compared = compare(&sides, form, mode).await;
        store.db().close().await;
        let left = compared?;
        if left.all() == 0 { Ok(()) } else { Err(Failure::unverified(left.told(mode))) }
    })
}

/// The differences that are left, by what became of them.
#[derive(Default)]
struct Left {
    found: u64,
    overtaken: u64,
    failed: u64,
}

impl Left {
    fn add(&mut self, fate: &Fate) {
        match fate {
            Fate::Repaired => {}
            Fate::Found => self.found += 1,
            Fate::LeftAlone => self.overtaken += 1,
            Fate::Failed(_) => self.failed += 1,
        }
    }

    fn all(&self) -> u64 {
        self.found + self.overtaken + self.failed
    }

    fn told(&self, mode: Mode) -> String {
        if !mode.repair {
            let times = if self.found == 1 { "once".to_owned() } else { format!("{} times", self.found) };
            return format!(
                "the permission system differs from the database {times}. `berth permissions repair` brings it to what the database means"
            );
        }
        let unknown = "that the database knows nothing of: `--remove-unknown` takes it away, if this is the right database";
        let alone = "that was changed meanwhile: repair again in a minute";
        let failed = "that could not be repaired, for the reason that stands there";
        let parts = [(self.found, unknown), (self.overtaken, alone), (self.failed, failed)];
        let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        format!("differences are left. {}", parts.join("; "))
    }
}

/// What is left.
async fn compare(sides: &Sides<'_>, form: Form, mode: Mode) -> Result<Left, Failure> {
    let mut walk = Walk::default();
    let (mut counts, mut left, mut looked_at, mut left_alone) = ([0_u64; Class::ALL.len()], Left::default(), 0, 0);
    if form == Form::Json {
        crate::print("{\"drift\": [")?;
    }
    loop {
        let stretch = match step(sides, &mut walk, mode).await {
            Ok(stretch) => stretch,
            Err(error) => {
                if form == Form::Json {
                    crate::print(&format!("\n], \"error\": {}}}\n", json!(error.to_string())))?;
                }
                let told = if mode.repair { ". What was repaired stays so: it can be repeated" } else { "" };
                return Err(Failure::of(&error, format!("the permission system was not compared to the end: {error}{told}")));
            }
        };
        looked_at += stretch.looked_at;
        left_alone += stretch.left_alone;
        for (drift, fate) in &stretch.found {
            let is_first = counts.iter().all(|n| *n == 0);
            for (class, count) in Class::ALL.iter().zip(&mut counts) {
                *count += u64::from(*class == drift.class);
            }
            left.add(fate);
            crate::print(&match form {
                Form::Lines => line(drift, fate),
                Form::Json => format!("{}\n  {}", if is_first { "" } else { "," }, document(drift, fate)),
                Form::Ndjson => format!("{}\n", document(drift, fate)),
            })?;
        }
        if stretch.is_last {
            break;
        }
    }
    let classes: Vec<(&str, u64)> = Class::ALL.iter().map(|class| class.as_str()).zip(counts).collect();
    match form {
        Form::Lines => {
            let counted: Vec<String> = classes.iter().filter(|(_, n)| *n > 0).map(|(class, n)| format!("{n} {class}")).collect();
            let found = if counted.is_empty() { "no drift".to_owned() } else { counted.join(", ") };
            let alone =
                if left_alone == 0 { String::new() } else { format!("; {left_alone} left alone: a run or a change was on its way") };
            crate::print(&format!("{found}; looked at {looked_at}{alone}\n"))?;
        }
        Form::Json => {
            let counts: Value = classes.iter().map(|(class, n)| ((*class).to_owned(), json!(n))).collect::<serde_json::Map<_, _>>().into();
            crate::print(&format!("\n], \"counts\": {counts}, \"looked_at\": {looked_at}, \"left_alone\": {left_alone}}}\n"))?;
        }
        Form::Ndjson => {}
    }
    Ok(left)
}

fn document(drift: &Drift, fate: &Fate) -> Value {
    let mut document = drift.json();
    document["fate"] = json!(fate.as_str());
    if let Fate::Failed(error) = fate {
        document["error"] = json!(error);
    }
    document
}

/// `+` is missing in the permission system, `-` is too much in it.
fn line(drift: &Drift, fate: &Fate) -> String {
    let document = document(drift, fate);
    let texts = |key: &str, sign: &str| -> Vec<String> {
        document[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(|text| format!("{sign} {text}")).collect()
    };
    let differences = [texts("missing", "+"), texts("surplus", "-")].concat().join("  ");
    let error = document["error"].as_str().map(|error| format!("  {error}")).unwrap_or_default();
    format!("{:<12}  {:<10}  {differences}{error}\n", drift.class.as_str(), fate.as_str())
}
