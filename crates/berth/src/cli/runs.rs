//! `berth runs`: why a run waits, and the verbs that get it going or end it.

mod display;
mod get;
mod list;
mod many;
mod source;
mod verbs;
pub mod watch;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::client::{Client, Listed};
use super::moment::Moment;
use super::names;
use super::stop::Stop;
use crate::config::Environment;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists runs, the newest first.
    List(list::List),
    /// Shows a run with its steps, and what to do if it needs a person.
    Get(get::Get),
    /// Shows how a run goes until it has ended.
    Watch(watch::Watch),
    /// Takes back what a run did, and ends it.
    Cancel(verbs::Cancel),
    /// Tries again: now, with a fresh budget, or by a new run for one that has ended.
    Retry(verbs::Retry),
    /// Counts a stuck step, or the taking back of one, as done, because you did it by hand.
    Skip(verbs::Skip),
    /// Ends a run as it is; what it leaves is listed.
    Abandon(verbs::Abandon),
}

impl Command {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        match self {
            Self::List(command) => command.run(environment).await,
            Self::Get(command) => command.run(environment).await,
            Self::Watch(command) => command.run(environment).await,
            Self::Cancel(command) => command.run(environment).await,
            Self::Retry(command) => command.run(environment).await,
            Self::Skip(command) => command.run(environment).await,
            Self::Abandon(command) => command.run(environment).await,
        }
    }
}

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum State {
    Pending,
    Running,
    Waiting,
    Compensating,
    Stuck,
    Succeeded,
    Failed,
    Cancelled,
    Abandoned,
}

impl State {
    fn word(self) -> String {
        self.to_possible_value().map_or_else(String::new, |word| word.get_name().to_owned())
    }
}

/// Which runs.
#[derive(Debug, Args)]
pub struct Filters {
    /// Only runs in this state; may be given several times.
    #[arg(long = "state", value_enum, value_name = "STATE")]
    states: Vec<State>,
    /// Only runs that were made since: a span such as 1h, or a time such as 2026-11-22T18:00:00Z.
    #[arg(long, value_name = "T")]
    since: Option<Moment>,
    /// Only runs of this workspace, by name or id.
    #[arg(long, value_name = "NAME|ID")]
    workspace: Option<String>,
    /// Only runs of this account, by name or id; it is also where names are looked up.
    #[arg(long, value_name = "NAME|ID")]
    account: Option<String>,
}

impl Filters {
    fn states_or(&self, otherwise: &[State]) -> Vec<State> {
        if self.states.is_empty() { otherwise.to_vec() } else { self.states.clone() }
    }

    /// Runs in one of `states`, or in any, the newest first.
    async fn find(&self, client: &Client, states: &[State], most: Option<usize>) -> Result<Listed, Stop> {
        let account = match &self.account {
            Some(account) => Some(names::account(client, Some(account)).await?),
            None => None,
        };
        let workspace = match &self.workspace {
            Some(workspace) => Some(names::workspace(client, workspace, self.account.as_deref()).await?),
            None => None,
        };
        let since = self.since.map(Moment::ago);
        // The API takes one state at a time.
        let asked: Vec<Option<State>> = if states.is_empty() { vec![None] } else { states.iter().copied().map(Some).collect() };
        let mut found = Listed { items: Vec::new(), more: false };
        for state in asked {
            let request = client
                .get("/v1/provisioning-runs")
                .maybe("state", state.map(State::word))
                .maybe("account_id", account.as_ref())
                .maybe("workspace_id", workspace.as_ref());
            let young = |run: &Value| since.is_none_or(|since| made(run).is_none_or(|at| at >= since));
            let listed = request.pages_while(most, young).await?;
            // A run that has moved on in between is found in both states: the later one counts.
            found.items.retain(|known| listed.items.iter().all(|run| run["id"] != known["id"]));
            found.items.extend(listed.items);
            found.more |= listed.more;
        }
        found.items.sort_by_key(|run| std::cmp::Reverse(made(run)));
        if let Some(most) = most.filter(|most| found.items.len() > *most) {
            found.items.truncate(most);
            found.more = true;
        }
        Ok(found)
    }
}

fn made(run: &Value) -> Option<saga::Time> {
    saga::Time::parse(run["created_at"].as_str()?)
}
