//! `berth audit`: who did what, as it happens, and whether the record of it was changed.

mod actors;
mod entries;
mod follow;
mod list;
mod verify;

use clap::{Args, Subcommand, ValueEnum};

use self::actors::Actors;
use super::client::{Client, Request};
use super::moment::Moment;
use super::names;
use super::stop::Stop;
use crate::config::Environment;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists the entries of a workspace or an account, the newest first.
    List(list::List),
    /// Shows new entries as they come, until you stop it.
    Follow(follow::Follow),
    /// Proves that no entry was changed, moved or lost, or names the first that was.
    Verify(verify::Verify),
}

impl Command {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        match self {
            Self::List(command) => command.run(environment).await,
            Self::Follow(command) => command.run(environment).await,
            Self::Verify(command) => command.run(environment).await,
        }
    }
}

/// What became of what was asked.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Outcome {
    Accepted,
    Succeeded,
    Failed,
    Cancelled,
    Abandoned,
    Aborted,
    Denied,
}

/// Which entries.
#[derive(Debug, Args)]
pub struct Filters {
    /// Those of a workspace, by name or id; without it those of the account.
    #[arg(long, value_name = "NAME|ID")]
    workspace: Option<String>,
    /// The account, by name or id; without it `BERTH_ACCOUNT_ID`, or the only one that you have.
    #[arg(long, value_name = "NAME|ID")]
    account: Option<String>,
    /// Only what this user or service account did, by the name of a member or by id.
    #[arg(long, value_name = "NAME|ID")]
    actor: Option<String>,
    /// Only this action, such as `workspace.create`.
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only this outcome.
    #[arg(long, value_enum, value_name = "OUTCOME")]
    outcome: Option<Outcome>,
    /// Only what was done to this, by id.
    #[arg(long, value_name = "ID")]
    target: Option<String>,
    /// Only what belongs to this run, by id.
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Only what happened since: a span such as 2h, or a time such as 2026-11-22T18:00:00Z.
    #[arg(long, value_name = "T")]
    since: Option<Moment>,
}

/// A log that is looked into.
struct Log<'a> {
    filters: &'a Filters,
    client: &'a Client,
    path: String,
    /// The id of whose entries are wanted.
    actor: Option<String>,
    actors: Actors,
}

impl Filters {
    /// `for_people` also asks for the names of those who may stand in it.
    async fn log<'a>(&'a self, client: &'a Client, for_people: bool) -> Result<Log<'a>, Stop> {
        let scope = match &self.workspace {
            Some(workspace) => format!("/v1/workspaces/{}", names::workspace(client, workspace, self.account.as_deref()).await?),
            None => format!("/v1/accounts/{}", names::account(client, self.account.as_deref()).await?),
        };
        let actor = self.actor.as_deref();
        let actors = if for_people || actor.is_some_and(|actor| names::id(actor).is_none()) {
            Actors::of(client, &scope).await
        } else {
            Actors::default()
        };
        let actor = actor.map(|actor| actors.id(actor)).transpose()?;
        Ok(Log { filters: self, client, path: format!("{scope}/audit"), actor, actors })
    }
}

impl Log<'_> {
    /// A request for some of the entries.
    fn request(&self) -> Request<'_> {
        let filters = self.filters;
        let outcome = filters.outcome.and_then(|outcome| Some(outcome.to_possible_value()?.get_name().to_owned()));
        self.client
            .get(&self.path)
            .maybe("actor", self.actor.as_ref())
            .maybe("action", filters.action.as_ref())
            .maybe("outcome", outcome)
            .maybe("target", filters.target.as_ref())
            .maybe("run_id", filters.run.as_ref())
            .maybe("occurred_after", filters.since.map(Moment::ago))
    }
}
