//! The `berth` binary: reads the command line and the configuration, and wires the crates together.

mod admin;
mod cli;
mod config;
mod data_folder;
mod dev;
mod failure;
mod ids;
mod permissions;
mod sagas;
mod telemetry;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{Environment, Overrides};
use crate::failure::Failure;

/// Berth provisions workspaces: each by a durable run that creates all of it, or leaves nothing behind.
#[derive(Parser)]
#[command(name = "berth", version, arg_required_else_help = true, after_help = cli::exit_codes())]
struct Cli {
    /// A TOML file of settings for `dev` and `config`; see `berth config reference`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Client(cli::Command),
    /// Starts a whole Berth in one process, with nothing to set up: try it, test against it.
    Dev {
        #[command(flatten)]
        place: Place,
        #[command(subcommand)]
        command: Option<DevCommand>,
    },
    /// Prints the OpenAPI document (openapi.yaml).
    Openapi,
    /// Shows and checks settings.
    Config {
        #[command(flatten)]
        file: SettingsFile,
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Shows and checks saga definitions.
    #[command(subcommand)]
    Sagas(SagasCommand),
    /// What concerns the permission system: the schema in SpiceDB.
    Permissions {
        #[command(flatten)]
        file: SettingsFile,
        #[command(subcommand)]
        command: permissions::Command,
    },
}

#[derive(Args)]
struct SettingsFile {
    /// A TOML file of settings; see `berth config reference`.
    #[arg(long = "config", id = "settings", global = true, value_name = "FILE")]
    path: Option<PathBuf>,
}

/// Where `berth dev` is.
#[derive(Args)]
struct Place {
    #[command(flatten)]
    file: SettingsFile,
    /// Address and port of the API [default: 127.0.0.1:7700].
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Address and port for metrics and readiness [default: 127.0.0.1:7701].
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    admin_listen: Option<SocketAddr>,
    /// The data folder [default: ./berth-data].
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum DevCommand {
    /// Makes a user or service account, with a role if one is named, and prints a token for it.
    Token(dev::token::Arguments),
    /// Prints what the database holds, as JSON; the data folder must not be in use.
    #[command(hide = true)]
    Inventory,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Prints the settings in force, secrets hidden, or what is wrong with them.
    Check,
    /// Prints the reference of all settings (docs/configuration.md).
    Reference,
}

#[derive(Subcommand)]
enum SagasCommand {
    /// Checks the built-in definitions and that no released one changed, or the files that are named.
    Check { files: Vec<PathBuf> },
    /// Lists the built-in definitions.
    List {
        /// Only the names.
        #[arg(long)]
        names: bool,
    },
    /// Draws a definition.
    Show {
        name: String,
        #[arg(long, value_enum, default_value = "text")]
        format: sagas::Format,
    },
}

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    let environment = environment();
    if let Command::Client(command) = &cli.command {
        return cli::run(command, &matches, &environment);
    }
    match run(cli, &environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("berth: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
fn environment() -> Environment {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

fn run(cli: Cli, environment: &Environment) -> Result<(), Failure> {
    let file = |below: SettingsFile| below.path.or(cli.config.clone());
    match cli.command {
        Command::Client(_) => Ok(()),
        Command::Dev { place, command } => {
            let flags = Overrides { listen: place.listen, admin_listen: place.admin_listen, data_dir: place.data_dir };
            let config = config::load(file(place.file).as_deref(), environment, &flags)?;
            match command {
                None => dev::run(&config, environment),
                Some(DevCommand::Token(arguments)) => dev::token::run(&config, arguments),
                Some(DevCommand::Inventory) => dev::inventory(&config),
            }
        }
        Command::Openapi => print(&api::openapi_yaml()),
        Command::Config { file: below, command: ConfigCommand::Check } => {
            print(&config::check(&config::load(file(below).as_deref(), environment, &Overrides::default())?, environment))
        }
        Command::Config { command: ConfigCommand::Reference, .. } => print(&config::reference()),
        Command::Permissions { file: below, command } => {
            print(&permissions::run(&config::load(file(below).as_deref(), environment, &Overrides::default())?, &command)?)
        }
        Command::Sagas(SagasCommand::Check { files }) => print(&sagas::check(&files)?),
        Command::Sagas(SagasCommand::List { names }) => print(&sagas::list(names)?),
        Command::Sagas(SagasCommand::Show { name, format }) => print(&sagas::show(&name, format)?),
    }
}

/// Writes to standard output; a reader that has gone (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(format!("cannot write to standard output: {e}"))),
        _ => Ok(()),
    }
}
