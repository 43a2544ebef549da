//! What an operator does to an installation on PostgreSQL, at its database: `berth migrate`, `bootstrap`, `token`, `keys` and
//! `generate-key`. Each ends by itself, and can be repeated.

pub mod keys;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use domain::PrincipalKind;
use domain::platform::{Bootstrapped, bootstrap as begin};
use saga::StoreError;
use store::{Granted, Store};

use crate::config::{Config, Environment};
use crate::data_folder::cannot;
use crate::failure::Failure;
use crate::grant::{self, Wanted};
use crate::house::issuer::Keyring;
use crate::house::{self, House, Parts};
use crate::process::on_runtime;
use crate::{database, serve, telemetry};

/// Brings the schema to this version, and the runtime role's rights with it.
///
/// # Errors
/// The database cannot be reached, or is of a version that this binary must leave alone; a lock was not to be had.
pub fn migrate(config: &Config, environment: &Environment) -> Result<(), Failure> {
    let _telemetry = telemetry::start(&config.log, environment)?;
    let report = on_runtime(async {
        let db = database::open_to_migrate(config).await?;
        let applied = db.migrate().await.map_err(|e| Failure::new(e.to_string()))?;
        let mut report =
            if applied.is_empty() { "The database is up to date.\n".to_owned() } else { format!("Applied {}.\n", applied.join(", ")) };
        if let Some(role) = &config.database.runtime_role {
            let failed = |e| Failure::new(format!("the role `{role}` could not be given its rights: {}", StoreError::from(e)));
            match db.grant_runtime(role).await.map_err(failed)? {
                Granted::Done => report.extend(["The role ", role, " may do what `berth serve` and `berth work` need.\n"]),
                Granted::NoSuchRole => {
                    return Err(Failure::new(format!("there is no role `{role}`: make it first, with `create role \"{role}\" login`")));
                }
                Granted::Owner => {
                    return Err(Failure::new(format!(
                        "the role `{role}` owns the schema, or is a superuser: nothing can be kept from it. Serve and work as another role"
                    )));
                }
            }
        }
        db.close().await;
        Ok(report)
    })?;
    crate::print(&report)
}

/// Makes the user called `subject` the platform's first operator.
///
/// # Errors
/// There is another one; the database cannot be reached, or has not been migrated.
pub fn bootstrap(config: &Config, environment: &Environment, subject: &str) -> Result<(), Failure> {
    let _telemetry = telemetry::start(&config.log, environment)?;
    let subject = grant::name(subject)?;
    let report = on_runtime(async {
        let House { berth, store, .. } = house(config).await?;
        let cut_off =
            |e| Failure::of(&e, format!("{subject} was not made the first operator: {e}. Try again: what was cut off is completed"));
        let begun = begin(&berth, &store, subject).await.map_err(cut_off)?;
        let report = match begun {
            Bootstrapped::Now => {
                Ok(format!("{subject} is the platform's first operator. A token for them: berth token --user {subject}\n"))
            }
            Bootstrapped::Already { at } => Ok(format!(
                "{subject} has been the platform's first operator since {at}. Nothing was changed; the permission system was told again.\n"
            )),
            Bootstrapped::Another { operator, at } => {
                let known = berth.principals.get(operator).await.ok().flatten().map_or_else(|| operator.id.to_string(), |p| p.name);
                Err(Failure::new(format!(
                    "the platform has had its first operator since {at}: {known}. Further ones are made with \
                     `berth token --user {subject} --role operator --on platform`"
                )))
            }
        };
        store.db().close().await;
        report
    })?;
    crate::print(&report)
}

/// Prints a token of the built-in issuer, with a role if one is wanted.
///
/// # Errors
/// A role that does not exist there; no key; the database cannot be reached.
pub fn token(config: &Config, environment: &Environment, wanted: &Wanted) -> Result<(), Failure> {
    let _telemetry = telemetry::start(&config.log, environment)?;
    let file = serve::key_file(config)?;
    let token = on_runtime(async {
        let House { berth, store, .. } = house(config).await?;
        if wanted.role.is_none() {
            let known = berth.principals.find(wanted.kind, wanted.name.trim()).await;
            let known = known.map_err(grant::away)?;
            if known.is_none() && wanted.kind == PrincipalKind::User {
                tracing::info!(name = wanted.name, "a user of this name was not known; one is made");
            }
        }
        let keyring = Keyring::new(config, &store, file);
        let issuer = keyring.open(&berth, &config.issuer.name, false).await?;
        let token = grant::token(&berth, &issuer, wanted).await;
        store.db().close().await;
        token
    })?;
    crate::print(&format!("{token}\n"))
}

/// Makes a signing key for the built-in issuer.
///
/// # Errors
/// The file is there already, or cannot be written.
pub fn generate_key(path: &Path) -> Result<(), Failure> {
    let key = house::issuer::generate()?;
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(key.pkcs8())?;
        file.sync_all()
    };
    write().map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(format!("{} is there already, and was left as it is: tokens of its key would become invalid", path.display()))
        }
        _ => cannot("write the signing key", path, &e),
    })
}

/// A house for a moment, which does nothing by itself.
///
/// # Errors
/// The database cannot be reached, or has not been migrated.
pub async fn house(config: &Config) -> Result<House, Failure> {
    let db = database::open(config).await?;
    let backends = house::backends::closed(config)?;
    house::assemble(config, Parts { store: Store::new(db), backends }).await
}
