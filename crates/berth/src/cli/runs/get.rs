//! `berth runs get`.

use clap::Args;
use serde_json::Value;

use super::list::{progress, why};
use crate::cli::names;
use crate::cli::session::{Ask, InAccount};
use crate::cli::stop::Stop;
use crate::cli::table::{card, plain, rows, time};
use crate::config::Environment;

#[derive(Debug, Args)]
pub struct Get {
    /// The run's id, or a workspace's name for the run that `workspaces get` shows of it.
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    account: InAccount,
    #[command(flatten)]
    ask: Ask,
}

impl Get {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let id = names::run(&session.client, &self.run, self.account.account.as_deref()).await?;
        let run = session.client.get(format!("/v1/provisioning-runs/{id}")).send().await?.body;
        session.output.item(&run, shown)
    }
}

/// A run with its steps, for a person.
fn shown(run: &Value) -> String {
    let mut lines = vec![
        ("Run", plain(&run["id"])),
        ("Saga", format!("{} v{}", plain(&run["saga"]), plain(&run["version"]))),
        ("State", plain(&run["state"])),
        ("Steps", progress(run)),
        ("Workspace", plain(&run["workspace_id"])),
        ("Account", plain(&run["account_id"])),
        ("Created", time(&run["created_at"])),
        ("Deadline", time(&run["deadline_at"])),
    ];
    if why(run) != "-" {
        lines.push(("Why", why(run)));
    }
    if run["reason"]["detail"].is_string() {
        lines.push(("", plain(&run["reason"]["detail"])));
    }
    for (name, key) in [("Retry of", "retry_of"), ("Retried by", "retried_by")] {
        if run[key].is_string() {
            lines.push((name, plain(&run[key])));
        }
    }
    lines.extend(run["leftovers"].as_array().into_iter().flatten().map(|leftover| ("Leftover", plain(leftover))));
    card(lines) + "\n" + &steps(run) + &what_to_do(run)
}

fn steps(run: &Value) -> String {
    rows(
        ["STEP", "STATE", "TRIES", "TAKEN BACK", "TRIES", "NEXT", "LAST ERROR"],
        run["steps"].as_array().into_iter().flatten().map(|step| {
            let undo = &step["compensation"];
            let latest = if undo.is_object() { undo } else { step };
            [
                plain(&step["name"]),
                plain(&step["state"]),
                plain(&step["attempts"]),
                plain(&undo["state"]),
                plain(&undo["attempts"]),
                if run["terminal"] == true { "-".to_owned() } else { time(&latest["next_attempt_at"]) },
                plain(&latest["error"]["title"]),
            ]
        }),
        "No steps.",
    )
}

/// What a run that an operator holds back waits for: nothing that is done to the run itself gets it going.
fn paused(run: &Value) -> Option<String> {
    let what = run["paused_by"].as_array().filter(|what| !what.is_empty() && run["terminal"] != true)?;
    let lines: Vec<String> = what.iter().map(|what| format!("{0} is paused. Go on:  berth resume {0}", plain(what))).collect();
    Some(format!("\n{}\n`berth pauses` tells why and by whom.\n", lines.join("\n")))
}

/// Lines for a person who has to do something about the run; none where nobody has to.
pub fn what_to_do(run: &Value) -> String {
    let id = plain(&run["id"]);
    if let Some(paused) = paused(run) {
        return paused;
    }
    let words: &[&str] = match (run["state"].as_str().unwrap_or_default(), run["waiting_for"].as_str().unwrap_or_default()) {
        ("stuck", _) => &[
            "It needs a person. Remove the cause, then try again: berth runs retry RUN",
            "Did it by hand:         berth runs skip RUN --comment TEXT",
            "Leave it as it is:      berth runs abandon RUN --comment TEXT",
        ],
        ("waiting", "operator") => &["It waits for you. Go on:  berth runs retry RUN", "Take it back:             berth runs cancel RUN"],
        ("waiting", "unfreeze") => &["Its workspace is frozen; it goes on when that is lifted, and its deadline stands still."],
        ("abandoned", _) if run["workspace_id"].is_string() => &[
            "What it left is listed as leftovers. Deleting its workspace has it dropped when that is purged:",
            "  berth workspaces delete WORKSPACE",
        ],
        ("failed" | "cancelled", _) if run["workspace_id"].is_string() && run["retried_by"].is_null() => {
            &["Everything it made was taken back. Try again by a new run: berth runs retry RUN"]
        }
        _ => &[],
    };
    let workspace = plain(&run["workspace_id"]);
    let lines: String = words.iter().map(|line| line.replace("RUN", &id).replace("WORKSPACE", &workspace) + "\n").collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}
