//! `berth config check`: the settings as they are in force, with where a secret stands hidden.

use std::fmt::Write as _;

use serde_json::Value;

use super::load::Environment;
use super::{Config, SECTIONS};

/// Variables of the OpenTelemetry standard that we obey and whose values are credentials.
const SECRET_VARIABLES: &[&str] = &["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"];

/// The configuration as a TOML file that gives the same one, secrets hidden.
pub fn check(config: &Config, environment: &Environment) -> String {
    let mut text = String::new();
    let values = serde_json::to_value(config).unwrap_or_default();
    for section in SECTIONS {
        match section.in_force(&values) {
            Value::Array(items) => {
                for item in items {
                    let _ = writeln!(text, "[[{}]]", section.key);
                    write_settings(&mut text, section.key, item);
                }
            }
            settings => {
                let _ = writeln!(text, "[{}]", section.key);
                write_settings(&mut text, section.key, settings);
            }
        }
    }
    for (name, value) in environment.iter().filter(|(name, _)| name.starts_with("OTEL_")) {
        let shown = if SECRET_VARIABLES.contains(&name.as_str()) { "(hidden)" } else { value };
        let _ = writeln!(text, "# {name}={shown}");
    }
    text
}

fn write_settings(text: &mut String, section: &str, settings: &Value) {
    // A list of tables is a section of its own.
    let is_section = |key: &str| SECTIONS.iter().any(|other| other.key == format!("{section}.{key}"));
    for (key, value) in settings.as_object().into_iter().flatten().filter(|(key, value)| !value.is_null() && !is_section(key)) {
        let _ = writeln!(text, "{key} = {value}");
    }
    text.push('\n');
}
