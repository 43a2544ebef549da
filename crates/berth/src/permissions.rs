//! The permission system that the settings name, its schema, and its comparison with the database.

mod drift;

use std::fmt::Write as _;
use std::sync::Arc;

use clap::{Subcommand, ValueEnum};
use domain::drift::Mode;
use domain::permissions::{Permissions, RelationshipPages, Tuples};
use providers::permissions::Embedded;
use providers::permissions::spicedb::{Difference, Key, SchemaError, Settings, SpiceDb};
use store::Store;

use crate::config::{Config, Environment, PermissionSystem};
use crate::failure::Failure;

#[derive(Subcommand)]
pub enum Command {
    /// The schema in SpiceDB.
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Compares what the permission system holds with what the database means, and changes nothing. Exits with 8 if they differ.
    Diff {
        /// The form of what is printed.
        #[arg(short, long, value_enum, default_value = "lines")]
        output: Form,
    },
    /// Compares as `diff` does, and brings the permission system to what the database means. Exits with 8 if something is left.
    Repair {
        /// Also takes away what the database knows nothing of. See first, with `diff`, that this is the right database.
        #[arg(long)]
        remove_unknown: bool,
        /// The form of what is printed.
        #[arg(short, long, value_enum, default_value = "lines")]
        output: Form,
    },
}

/// What differs, one line or document each, and what it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Lines for people: class, what became of it, `+` what is missing and `-` what is too much.
    Lines,
    /// One JSON document: `drift`, what differs; `counts` of it by class; `looked_at`; `left_alone`. If it was cut off, `drift` and `error`.
    Json,
    /// What differs, one JSON document per line.
    Ndjson,
}

#[derive(Clone, Copy, Subcommand)]
pub enum SchemaCommand {
    /// Tells in what SpiceDB's schema is not this version's; fails if Berth could not work with it.
    Check,
    /// Writes this version's schema; refuses to drop what relationships stand on. Run it before the processes of a new version start.
    Write,
}

/// The one that the settings name; SpiceDB need not be up.
///
/// # Errors
/// A key or certificate that cannot be read, an endpoint that is none.
pub async fn open(config: &Config, store: &Store) -> Result<Opened, Failure> {
    Ok(match config.permissions.kind {
        PermissionSystem::Embedded => {
            let tuples: Arc<dyn Tuples> = Arc::new(store.clone());
            let embedded = Arc::new(Embedded::new(tuples));
            Opened { permissions: embedded.clone(), held: embedded }
        }
        PermissionSystem::SpiceDb => {
            let spicedb = Arc::new(spicedb(config).await?);
            Opened { permissions: spicedb.clone(), held: spicedb }
        }
    })
}

/// One permission system behind both of its ports.
pub struct Opened {
    pub permissions: Arc<dyn Permissions>,
    pub held: Arc<dyn RelationshipPages>,
}

async fn spicedb(config: &Config) -> Result<SpiceDb, Failure> {
    let settings = &config.permissions;
    let key = match (&settings.key, &settings.key_file) {
        (Some(key), _) => Key::Given(key.reveal().to_owned()),
        (None, Some(file)) => Key::File(file.clone()),
        (None, None) => return Err(Failure::new("`permissions.key_file` is needed")),
    };
    let endpoint = settings.endpoint.as_deref().unwrap_or_default();
    let settings = Settings { ca: settings.ca_file.clone(), ..Settings::new(endpoint, key, Arc::new(jitter)) };
    SpiceDb::new(settings).await.map_err(|e| Failure::new(format!("`permissions`: {e}")))
}

#[expect(clippy::disallowed_methods, reason = "back-offs of many processes are to differ")]
pub fn jitter() -> f64 {
    rand::random()
}

/// Carries a command out, and says what there was to say.
///
/// # Errors
/// As the command's.
pub fn run(config: &Config, environment: &Environment, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Schema(command) => crate::print(&schema(config, *command)?),
        Command::Diff { output } => drift::run(config, environment, *output, Mode::default()),
        Command::Repair { remove_unknown, output } => {
            drift::run(config, environment, *output, Mode { repair: true, remove_unknown: *remove_unknown })
        }
    }
}

/// # Errors
/// The settings name no SpiceDB, or it is away; a schema that Berth could not work with; relationships in the way.
fn schema(config: &Config, command: SchemaCommand) -> Result<String, Failure> {
    if config.permissions.kind != PermissionSystem::SpiceDb {
        return Err(Failure::new(
            "the permission system is the embedded one, whose schema is built in: there is nothing to write or check",
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("the runtime cannot be started: {e}")))?;
    runtime.block_on(async {
        let spicedb = spicedb(config).await?;
        match command {
            SchemaCommand::Check => check(&spicedb).await,
            SchemaCommand::Write => write(&spicedb).await,
        }
    })
}

async fn check(spicedb: &SpiceDb) -> Result<String, Failure> {
    let differences = spicedb.schema_differences().await.map_err(|e| told(e.into()))?;
    let text = listed(&differences);
    if differences.iter().any(|d| !matches!(d, Difference::Surplus(_))) {
        return Err(Failure::new(format!("SpiceDB's schema is not this version's:\n{text}Run `berth permissions schema write`")));
    }
    Ok(if text.is_empty() {
        "the schema is this version's\n".to_owned()
    } else {
        format!("the schema has all of this version's, and more:\n{text}")
    })
}

async fn write(spicedb: &SpiceDb) -> Result<String, Failure> {
    let differences = spicedb.write_schema().await.map_err(told)?;
    Ok(if differences.is_empty() {
        "the schema was this version's already\n".to_owned()
    } else {
        format!("the schema is written:\n{}", listed(&differences))
    })
}

fn told(error: SchemaError) -> Failure {
    let sentence = error.to_string();
    match error {
        SchemaError::Permissions(error) if domain::Error::from(error.clone()).is_outage() => Failure::of(&error.into(), sentence),
        _ => Failure::new(sentence),
    }
}

/// `+` is new, `-` is gone, `~` means something else.
fn listed(differences: &[Difference]) -> String {
    differences.iter().fold(String::new(), |mut text, difference| {
        let _ = writeln!(text, "  {difference}");
        text
    })
}
