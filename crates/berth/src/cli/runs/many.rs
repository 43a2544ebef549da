//! One verb over many runs: they are listed first, and each result is told by itself.

use clap::Args;
use serde_json::Value;

use super::verbs::{Verb, send};
use super::{Filters, list};
use crate::cli::confirm::Confirm;
use crate::cli::document::Document;
use crate::cli::exit::Exit;
use crate::cli::names;
use crate::cli::output::{put, say};
use crate::cli::session::Session;
use crate::cli::stop::Stop;
use crate::cli::table::plain;
use crate::cli::waiting::Wait;

/// Which runs a verb is for.
#[derive(Debug, Args)]
pub struct Which {
    /// The runs' ids, or workspaces' names for the runs that `workspaces get` shows of them.
    #[arg(value_name = "RUN", required_unless_present = "all", conflicts_with = "all")]
    runs: Vec<String>,
    /// All runs that fit the filters; without --state those that the verb is made for.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filters: Filters,
}

impl Which {
    /// The ids of the runs; several of them are shown and confirmed first.
    pub async fn runs(&self, session: &Session, verb: &Verb, confirm: &Confirm) -> Result<Vec<String>, Stop> {
        if !self.all {
            if !self.filters.states.is_empty() || self.filters.since.is_some() || self.filters.workspace.is_some() {
                return Err(Stop::usage("--state, --since and --workspace choose among all runs", "Add --all, and leave out the runs."));
            }
            let mut ids = Vec::new();
            for run in &self.runs {
                ids.push(names::run(&session.client, run, self.filters.account.as_deref()).await?);
            }
            return Ok(ids);
        }
        let found = self.filters.find(&session.client, &self.filters.states_or(verb.states), None).await?.items;
        if found.is_empty() {
            say("berth: no run fits\n");
            return Ok(Vec::new());
        }
        say(&list::table(&found));
        let many = if found.len() == 1 { "run" } else { "runs" };
        confirm.ask(&format!("{} {} {many}?", capital(verb.word), found.len())).await?;
        Ok(found.iter().map(|run| plain(&run["id"])).collect())
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Sends the verb to each run. One run is answered as any other command is; of several, each has its line.
pub async fn each(session: &Session, runs: &[String], verb: &Verb, wait: &Wait) -> Result<(), Stop> {
    if let [run] = runs {
        let answer = send(session, run, verb).await?;
        let at_work = at_work(&answer, run);
        if wait.wanted() {
            wait.run_to(session, &at_work, verb.outcome).await?;
        }
        return session.output.item(&answer, |answer| {
            let hint = if wait.wanted() { String::new() } else { crate::cli::waiting::hint(&at_work) };
            line(run, verb, answer) + &hint
        });
    }
    let (mut done, mut failed) = (Vec::new(), 0);
    for run in runs {
        match send(session, run, verb).await {
            Ok(answer) if session.output.is_table() => {
                put(&line(run, verb, &answer))?;
                done.push((at_work(&answer, run), answer));
            }
            Ok(answer) => done.push((at_work(&answer, run), answer)),
            Err(stop) => {
                failed += 1;
                if session.output.is_table() {
                    put(&format!("{run}  refused  {}\n", stop.line()))?;
                } else {
                    stop.print(session.output);
                }
            }
        }
    }
    if !session.output.is_table() {
        let answers: Vec<Document> = done.iter().map(|(_, answer)| answer.clone()).collect();
        session.output.list(&answers, |_| String::new())?;
    }
    if wait.wanted() {
        for (run, _) in &done {
            if let Err(stop) = wait.run_to(session, run, verb.outcome).await {
                stop.print(session.output);
                failed += 1;
            }
        }
    }
    if failed > 0 { Err(Stop::Told(Exit::Failed)) } else { Ok(()) }
}

/// The run that does what was asked: a new one where an ended one is tried again.
fn at_work(answer: &Value, run: &str) -> String {
    answer["provisioning_run_id"].as_str().unwrap_or(run).to_owned()
}

fn line(run: &str, verb: &Verb, answer: &Value) -> String {
    if answer["new_run"] == true {
        format!("{run}  accepted  {} by the new run {}\n", verb.word, plain(&answer["provisioning_run_id"]))
    } else {
        format!("{run}  accepted  {}\n", verb.word)
    }
}
