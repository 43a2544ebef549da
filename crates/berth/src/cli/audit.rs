//! `berth audit`: who did what, as it happens, and whether the record of it was changed.

mod entries;
mod follow;
mod list;
mod verify;

use clap::{Args, Subcommand};

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

/// Which entries.
#[derive(Debug, Args)]
pub struct Filters {
    /// Those of a workspace, by name or id; without it those of the account.
    #[arg(long, value_name = "NAME|ID")]
    workspace: Option<String>,
    /// The account, by name or id; without it `BERTH_ACCOUNT_ID`, or the only one that you have.
    #[arg(long, value_name = "NAME|ID")]
    account: Option<String>,
    /// Only what this user or service account did, by id.
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// Only this action, such as `workspace.create`.
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only this outcome, such as `denied`.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
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

impl Filters {
    /// The path of the entries.
    async fn path(&self, client: &Client) -> Result<String, Stop> {
        Ok(match &self.workspace {
            Some(workspace) => format!("/v1/workspaces/{}/audit", names::workspace(client, workspace, self.account.as_deref()).await?),
            None => format!("/v1/accounts/{}/audit", names::account(client, self.account.as_deref()).await?),
        })
    }

    /// A request for some of the entries at `path`.
    fn request<'a>(&self, client: &'a Client, path: &str) -> Request<'a> {
        client
            .get(path)
            .maybe("actor", self.actor.as_ref())
            .maybe("action", self.action.as_ref())
            .maybe("outcome", self.outcome.as_ref())
            .maybe("target", self.target.as_ref())
            .maybe("run_id", self.run.as_ref())
            .maybe("occurred_after", self.since.map(Moment::ago))
    }
}
