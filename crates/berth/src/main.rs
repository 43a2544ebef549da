//! The `berth` binary: reads the command line and the configuration, and wires the crates together.

mod admin;
mod bench;
mod cli;
mod config;
mod data_folder;
mod database;
mod dev;
mod failure;
mod grant;
mod house;
mod ids;
mod inventory;
mod operator;
mod permissions;
mod process;
mod sagas;
mod serve;
mod telemetry;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{Config, DatabaseUrl, Environment, Overrides};
use crate::failure::Failure;
use crate::serve::Roles;

/// A request makes and drops hundreds of small things: with the allocator of the C library that is a fifth of what it costs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Berth provisions workspaces: each by a durable run that creates all of it, or leaves nothing behind.
#[derive(Parser)]
#[command(name = "berth", version, arg_required_else_help = true, after_help = cli::exit_codes())]
struct Cli {
    /// A TOML file of settings for all commands that are no clients of the API; see `berth config reference`.
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
    /// Serves the API from a PostgreSQL database; any number of such processes run beside each other.
    Serve {
        #[command(flatten)]
        place: Production,
        /// Address and port of the API [default: 127.0.0.1:7700].
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<SocketAddr>,
        /// Executes runs as well: for an installation of one process, or of a few alike.
        #[arg(long)]
        with_worker: bool,
    },
    /// Executes the provisioning runs of a PostgreSQL database; any number of such processes share them. Needs no public port.
    Work {
        #[command(flatten)]
        place: Production,
    },
    /// Brings a PostgreSQL database to the schema of this version, while others serve from it. Connects as the schema's owner.
    Migrate {
        #[command(flatten)]
        database: Database,
        /// The role that `serve` and `work` connect as: gets the rights that they need, and may not change audit entries.
        #[arg(long, value_name = "NAME")]
        runtime_role: Option<String>,
    },
    /// Makes the first operator of a fresh installation; once.
    Bootstrap {
        #[command(flatten)]
        database: Database,
        /// The user who is to be operator, as tokens will name them.
        #[arg(long, value_name = "SUBJECT")]
        operator: String,
    },
    /// Makes a user or service account, with a role if one is named, and prints a token of the built-in issuer for it.
    Token {
        #[command(flatten)]
        database: Database,
        #[command(flatten)]
        arguments: grant::Arguments,
    },
    /// Makes a key file for the built-in issuer (`issuer.key_file`), which only its owner can read.
    GenerateKey { file: PathBuf },
    /// The keys that the built-in issuer signs tokens with: lists, rotates and revokes them.
    Keys {
        #[command(flatten)]
        database: Database,
        #[command(subcommand)]
        command: operator::keys::Command,
    },
    /// Prints what the database holds, as JSON.
    #[command(hide = true)]
    Inventory {
        #[command(flatten)]
        database: Database,
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
    /// What concerns the permission system: the schema in SpiceDB, and whether it holds what the database means.
    Permissions {
        #[command(flatten)]
        file: SettingsFile,
        #[command(subcommand)]
        command: permissions::Command,
    },
    /// Measures what this machine and a database can do, in a database of its own that is dropped afterwards.
    #[command(subcommand)]
    Bench(bench::Command),
}

#[derive(Args)]
struct SettingsFile {
    /// A TOML file of settings; see `berth config reference`.
    #[arg(long = "config", id = "settings", global = true, value_name = "FILE")]
    path: Option<PathBuf>,
}

/// Which PostgreSQL.
#[derive(Args)]
struct Database {
    #[command(flatten)]
    file: SettingsFile,
    /// The PostgreSQL. Better set `BERTH_DATABASE__URL` if there is a password in it: command lines are visible to all users.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

impl Database {
    fn overrides(&mut self) -> Overrides {
        Overrides { database_url: self.database_url.take().map(DatabaseUrl::new), ..Overrides::default() }
    }
}

/// Where a process of an installation on PostgreSQL is.
#[derive(Args)]
struct Production {
    #[command(flatten)]
    database: Database,
    /// Address and port for metrics and readiness [default: 127.0.0.1:7701].
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin_listen: Option<SocketAddr>,
    /// The folder that the `local` backend is in [default: ./berth-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Production {
    fn overrides(&mut self) -> Overrides {
        Overrides { admin_listen: self.admin_listen, data_dir: self.data_dir.take(), ..self.database.overrides() }
    }
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
    Token(grant::Arguments),
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
            failure.exit().into()
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
fn environment() -> Environment {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

fn run(cli: Cli, environment: &Environment) -> Result<(), Failure> {
    let file = |below: SettingsFile| below.path.or(cli.config.clone());
    let settings = |below: SettingsFile, flags: &Overrides| -> Result<Config, Failure> {
        Ok(config::load(file(below).as_deref(), environment, flags)?)
    };
    match cli.command {
        Command::Client(_) => Ok(()),
        Command::Dev { place, command } => {
            let flags =
                Overrides { listen: place.listen, admin_listen: place.admin_listen, data_dir: place.data_dir, ..Overrides::default() };
            let config = config::load(file(place.file).as_deref(), environment, &flags)?;
            match command {
                None => dev::run(&config, environment),
                Some(DevCommand::Token(arguments)) => dev::token::run(&config, arguments),
                Some(DevCommand::Inventory) => inventory::of_folder(&config),
            }
        }
        Command::Serve { mut place, listen, with_worker } => {
            let flags = Overrides { listen, ..place.overrides() };
            let roles = Roles { serves: true, works: with_worker };
            serve::run(&settings(place.database.file, &flags)?, environment, roles)
        }
        Command::Work { mut place } => {
            let flags = place.overrides();
            serve::run(&settings(place.database.file, &flags)?, environment, Roles { serves: false, works: true })
        }
        Command::Migrate { mut database, runtime_role } => {
            let flags = Overrides { runtime_role, ..database.overrides() };
            let mut config = settings(database.file, &flags)?;
            if flags.database_url.is_some() {
                // Whoever names a database here means that one.
                config.database.direct_url = flags.database_url;
            }
            operator::migrate(&config, environment)
        }
        Command::Bootstrap { mut database, operator } => {
            let flags = database.overrides();
            operator::bootstrap(&settings(database.file, &flags)?, environment, &operator)
        }
        Command::Token { mut database, arguments } => {
            let flags = database.overrides();
            operator::token(&settings(database.file, &flags)?, environment, &arguments.wanted())
        }
        Command::GenerateKey { file } => operator::generate_key(&file),
        Command::Keys { mut database, command } => {
            let flags = database.overrides();
            operator::keys::run(&settings(database.file, &flags)?, environment, &command)
        }
        Command::Inventory { mut database } => {
            let flags = database.overrides();
            inventory::of_database(&settings(database.file, &flags)?)
        }
        Command::Openapi => print(&api::openapi_yaml()),
        Command::Config { file: below, command: ConfigCommand::Check } => {
            print(&config::check(&config::load(file(below).as_deref(), environment, &Overrides::default())?, environment))
        }
        Command::Config { command: ConfigCommand::Reference, .. } => print(&config::reference()),
        Command::Permissions { file: below, command } => permissions::run(&settings(below, &Overrides::default())?, environment, &command),
        Command::Sagas(SagasCommand::Check { files }) => print(&sagas::check(&files)?),
        Command::Sagas(SagasCommand::List { names }) => print(&sagas::list(names)?),
        Command::Sagas(SagasCommand::Show { name, format }) => print(&sagas::show(&name, format)?),
        Command::Bench(command) => bench::run(&command),
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
