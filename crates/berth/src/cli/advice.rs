//! What to type next after a refusal, where the command line knows more than the server's general advice.

use std::fmt::Write as _;

use serde_json::Value;

use super::table::{plain, printable, time};

/// Lines for a person; none where the problem's own detail says it all.
pub fn of(problem: &Value) -> Vec<String> {
    match problem["code"].as_str().unwrap_or_default() {
        "run_in_progress" => run_in_the_way(problem),
        "workspace_frozen" => frozen(problem),
        "quota_exceeded" => vec!["`berth workspaces list` shows what there is.".to_owned()],
        "not_found" if plain(&problem["detail"]).starts_with("There is no such pause") => {
            vec!["`berth pauses` lists what is paused.".to_owned()]
        }
        "name_ambiguous" => ids(problem),
        "name_retired" => retired(problem),
        "unauthenticated" | "invalid_token" => {
            vec!["Set BERTH_TOKEN to a token that is valid, or name a profile that has one: --profile NAME.".to_owned()]
        }
        "idempotency_key_reused" => vec!["Leave --idempotency-key out to have a key made.".to_owned()],
        "verb_conflict" => vec!["`berth runs get RUN` shows the run's state and its steps.".to_owned()],
        "termination_protected" => {
            vec!["`berth workspaces update WORKSPACE --termination-protection false` takes the protection off.".to_owned()]
        }
        "route_not_found" => vec!["Is BERTH_URL the address of Berth, without a path? Is the server as new as this program?".to_owned()],
        _ => Vec::new(),
    }
}

fn run_in_the_way(problem: &Value) -> Vec<String> {
    let Some(id) = problem["run_url"].as_str().and_then(|url| url.rsplit('/').next()) else { return Vec::new() };
    let mut lines = vec![format!("`berth runs watch {id}` waits for it.")];
    if problem["cancel_url"].is_string() {
        lines.push(format!("`berth runs cancel {id}` takes back what it did."));
    }
    lines
}

fn frozen(problem: &Value) -> Vec<String> {
    problem["freezes"].as_array().into_iter().flatten().map(|one| format!("{}; {} lifts it.", freeze(one), lifted(one))).collect()
}

/// What lifts a freeze.
fn lifted(freeze: &Value) -> String {
    match freeze["source"].as_str().unwrap_or_default() {
        "account_admin" => "`berth workspaces unfreeze WORKSPACE`".to_owned(),
        "deletion" => "`berth workspaces restore WORKSPACE`".to_owned(),
        source => format!("an operator's `berth workspaces unfreeze WORKSPACE --source {}`", printable(source)),
    }
}

/// One freeze in a line.
pub fn freeze(freeze: &Value) -> String {
    let mut line = format!("frozen by {} ({})", plain(&freeze["source"]), plain(&freeze["mode"]));
    if let Some(code) = freeze["reason"]["code"].as_str() {
        let _ = write!(line, ", {code}");
    }
    if let Some(note) = freeze["reason"]["note"].as_str().filter(|note| !note.is_empty()) {
        let _ = write!(line, ": {note}");
    }
    if let Some(until) = freeze["expires_at"].as_str() {
        let _ = write!(line, ", until {}", time(&Value::from(until)));
    }
    line
}

fn candidates(problem: &Value) -> Vec<&str> {
    problem["workspace_ids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn retired(problem: &Value) -> Vec<String> {
    match &candidates(problem)[..] {
        [one] => {
            vec![format!("`berth workspaces get {one}` shows it; if it was deleted, `berth workspaces restore {one}` brings it back.")]
        }
        _ => ids(problem),
    }
}

fn ids(problem: &Value) -> Vec<String> {
    let ids = candidates(problem);
    if ids.is_empty() { Vec::new() } else { vec![format!("Name one by its id: {}.", ids.join(", "))] }
}
