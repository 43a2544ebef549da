//! `berth workspaces`: from their creation to their deletion, and all that is in between.

mod create;
mod delete;
mod export;

mod freeze;
mod get;
mod list;
mod restore;
mod update;

use clap::Subcommand;

use super::stop::Stop;
use crate::config::Environment;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Creates a workspace: answers at once, or with --wait when its run has ended.
    Create(create::Create),
    /// Lists the workspaces that you are a member of, or those of an account.
    List(list::List),
    /// Shows a workspace, with its freezes, its latest run and what you may do.
    Get(get::Get),
    /// Renames a workspace, changes its labels, or its protection against deletion.
    Update(update::Update),
    /// Shuts a workspace at once: nothing in it can be changed until the freeze is lifted.
    Freeze(freeze::Freeze),
    /// Lifts a freeze; the workspace stays shut while one of another source is in force.
    Unfreeze(freeze::Unfreeze),
    /// Deletes a workspace; it can be restored until it is purged.
    Delete(delete::Delete),
    /// Takes a deletion back.
    Restore(restore::Restore),
    /// Writes all that Berth knows of a workspace into a file, and proves that it is complete.
    Export(export::Export),
}

impl Command {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        match self {
            Self::Create(command) => command.run(environment).await,
            Self::List(command) => command.run(environment).await,
            Self::Get(command) => command.run(environment).await,
            Self::Update(command) => command.run(environment).await,
            Self::Freeze(command) => command.run(environment).await,
            Self::Unfreeze(command) => command.run(environment).await,
            Self::Delete(command) => command.run(environment).await,
            Self::Restore(command) => command.run(environment).await,
            Self::Export(command) => command.run(environment).await,
        }
    }
}
