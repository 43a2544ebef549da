//! The permission system that the settings name, and its schema.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::Subcommand;
use domain::permissions::{Permissions, Tuples};
use providers::permissions::Embedded;
use providers::permissions::spicedb::{Difference, Key, Settings, SpiceDb};
use store::Store;

use crate::config::{Config, PermissionSystem};
use crate::failure::Failure;

#[derive(Subcommand)]
pub enum Command {
    /// The schema in SpiceDB.
    #[command(subcommand)]
    Schema(SchemaCommand),
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
pub async fn open(config: &Config, store: &Store) -> Result<Arc<dyn Permissions>, Failure> {
    Ok(match config.permissions.kind {
        PermissionSystem::Embedded => {
            let tuples: Arc<dyn Tuples> = Arc::new(store.clone());
            Arc::new(Embedded::new(tuples))
        }
        PermissionSystem::SpiceDb => Arc::new(spicedb(config).await?),
    })
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
fn jitter() -> f64 {
    rand::random()
}

/// Carries a command out, and says what there was to say.
///
/// # Errors
/// The settings name no SpiceDB, or it is away; a schema that Berth could not work with; relationships in the way.
pub fn run(config: &Config, command: &Command) -> Result<String, Failure> {
    let Command::Schema(command) = command;
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
    let differences = spicedb.schema_differences().await.map_err(|e| Failure::new(e.to_string()))?;
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
    let differences = spicedb.write_schema().await.map_err(|e| Failure::new(e.to_string()))?;
    Ok(if differences.is_empty() {
        "the schema was this version's already\n".to_owned()
    } else {
        format!("the schema is written:\n{}", listed(&differences))
    })
}

/// `+` is new, `-` is gone, `~` means something else.
fn listed(differences: &[Difference]) -> String {
    differences.iter().fold(String::new(), |mut text, difference| {
        let _ = writeln!(text, "  {difference}");
        text
    })
}
