//! What a measurement has to say: a card for people, or one JSON object with the same in it.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::place::Place;
use super::refused;
use crate::cli::table;
use crate::failure::Failure;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Lines for people.
    #[default]
    Table,
    /// One JSON object.
    Json,
}

#[derive(Debug, Clone, Args)]
pub struct Form {
    /// How the report is printed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Figures in the order in which they are told.
#[derive(Debug)]
pub struct Report {
    /// The command's name.
    pub bench: &'static str,
    /// What was measured and how, in a sentence or two.
    pub measures: String,
    pub parameters: Value,
    pub figures: Vec<(&'static str, Value)>,
    /// The machine's limits and the figures in units of them, where they were measured too.
    pub beside: Option<Value>,
}

impl Report {
    /// Prints the report of what was measured in `place`.
    ///
    /// # Errors
    /// The database does not say what it is; standard output cannot be written.
    pub async fn print(self, form: &Form, place: &Place) -> Result<(), Failure> {
        let versions = versions(place).await?;
        let text = match form.output {
            Output::Json => {
                let mut object = Map::new();
                object.insert("bench".to_owned(), json!(self.bench));
                object.insert("measures".to_owned(), json!(self.measures));
                for (name, value) in self.figures {
                    object.insert(name.to_owned(), value);
                }
                if let Some(Value::Object(beside)) = self.beside {
                    object.extend(beside);
                }
                object.insert("parameters".to_owned(), self.parameters);
                object.insert("versions".to_owned(), versions);
                format!("{:#}\n", Value::Object(object))
            }
            Output::Table => {
                let mut lines: Vec<(String, String)> = Vec::new();
                for (name, value) in &self.figures {
                    spread(&mut lines, name, value);
                }
                spread(&mut lines, "", &self.beside.unwrap_or_default());
                spread(&mut lines, "", &self.parameters);
                spread(&mut lines, "", &versions);
                format!("{}\n\n{}", self.measures, table::card(lines))
            }
        };
        crate::print(&text)
    }
}

/// An object as a line each of its members, whatever is not a plain value as its JSON.
fn spread(lines: &mut Vec<(String, String)>, name: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            for (below, value) in members {
                let name = if name.is_empty() { below.clone() } else { format!("{name} {below}") };
                spread(lines, &name, value);
            }
        }
        Value::Null if name.is_empty() => {}
        value => lines.push((name.replace('_', " "), cell(value))),
    }
}

fn cell(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if value.is_f64() && number.abs() >= 100.0 => format!("{number:.0}"),
        Some(number) if value.is_f64() => format!("{number:.3}"),
        _ => table::plain(value),
    }
}

async fn versions(place: &Place) -> Result<Value, Failure> {
    let mut database = place.store.db().about().await.map_err(|e| refused(saga::StoreError::from(e)))?;
    database["name"] = json!(place.name());
    Ok(json!({
        "berth": env!("CARGO_PKG_VERSION"),
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "database": database,
    }))
}
