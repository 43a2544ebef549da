//! The command line for those who use Berth: account admins, platform engineers, scripts.
//!
//! It speaks the HTTP API only and holds no rule of its own: what it may do is what its caller's token may do.

mod accounts;
mod advice;
mod audit;
mod client;
mod completions;
mod confirm;
mod document;
mod exit;
mod labels;
mod man;
mod members;
mod moment;
mod most;
mod names;
mod output;
mod pauses;
mod profile;
mod reference;
mod runs;
mod session;
mod sse;
mod stop;
pub mod table;
mod waiting;
mod workspaces;

use std::process::ExitCode;

use clap::{ArgMatches, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

pub use self::exit::Exit;
pub use self::exit::help as exit_codes;
use self::output::Output;
use self::stop::Stop;
use crate::config::Environment;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Creates, shows, freezes, deletes and exports workspaces.
    #[command(subcommand)]
    Workspaces(workspaces::Command),
    /// Creates and shows accounts.
    #[command(subcommand)]
    Accounts(accounts::Command),
    /// Shows and changes who has which role.
    #[command(subcommand)]
    Members(members::Command),
    /// Shows provisioning runs, and gets them unstuck.
    #[command(subcommand)]
    Runs(runs::Command),
    /// Shows who did what.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Holds back what is new on a backend, of a saga or for an account.
    Pause(pauses::Pause),
    /// Lets what was paused go on, spread over a minute.
    Resume(pauses::Resume),
    /// Lists what is paused.
    Pauses(pauses::Pauses),
    /// Prints a script that completes commands in your shell.
    Completions(completions::Completions),
    /// Writes the man pages.
    Man(man::Man),
    /// Prints the reference of all commands (docs/cli.md).
    #[command(hide = true)]
    Reference,
}

/// Does what was asked and says how it ended.
pub fn run(command: &Command, matches: &ArgMatches, environment: &Environment) -> ExitCode {
    let exit = match on_runtime(command, environment) {
        Ok(()) => Exit::Done,
        Err(stop) => {
            stop.print(output(matches));
            stop.exit()
        }
    };
    exit.into()
}

/// The form in which the command that was typed prints, problems included.
fn output(matches: &ArgMatches) -> Output {
    let mut innermost = matches;
    while let Some((_, below)) = innermost.subcommand() {
        innermost = below;
    }
    innermost.try_get_one::<Output>("output").ok().flatten().copied().unwrap_or_default()
}

fn on_runtime(command: &Command, environment: &Environment) -> Result<(), Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Stop::new(Exit::Failed, format!("the runtime cannot start: {e}"), "Free some memory or threads, then try again."))?;
    let result = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
        // The terminal was closed, or the line was cut.
        let mut hangup = signal(SignalKind::hangup()).map_err(no_signals)?;
        // Whoever is dropped here takes back what it has half done.
        tokio::select! {
            result = dispatch(command, environment) => result,
            _ = interrupt.recv() => Err(interrupted(command)),
            _ = terminate.recv() => Err(interrupted(command)),
            _ = hangup.recv() => Err(interrupted(command)),
        }
    });
    // A question that is still being asked on the terminal is not waited for.
    runtime.shutdown_background();
    result
}

/// To be stopped is how following the log ends.
fn interrupted(command: &Command) -> Stop {
    if matches!(command, Command::Audit(audit::Command::Follow(_))) { Stop::Told(Exit::Interrupted) } else { Stop::interrupted() }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn no_signals(e: std::io::Error) -> Stop {
    Stop::new(Exit::Failed, format!("signals cannot be received: {e}"), "")
}

async fn dispatch(command: &Command, environment: &Environment) -> Result<(), Stop> {
    match command {
        Command::Workspaces(command) => command.run(environment).await,
        Command::Accounts(command) => command.run(environment).await,
        Command::Runs(command) => command.run(environment).await,
        Command::Members(command) => command.run(environment).await,
        Command::Audit(command) => command.run(environment).await,
        Command::Pause(command) => command.run(environment).await,
        Command::Resume(command) => command.run(environment).await,
        Command::Pauses(command) => command.run(environment).await,
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
        Command::Reference => output::put(&reference::markdown()),
    }
}
