//! `berth keys`: the built-in issuer's signing keys. Processes that serve learn of changes within seconds.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Subcommand;
use domain::audit::Draft;
use domain::ids::PLATFORM;
use domain::ports::{RevokeKeyAnswer, SigningKeys as _};
use domain::signing_keys::{KeyStanding, PUBLISHED_FOR, standings};
use saga::Time;
use uuid::Uuid;

use crate::config::{Config, Environment};
use crate::failure::Failure;
use crate::house::House;
use crate::house::issuer::{self, Keyring};
use crate::ids::system_time;
use crate::process::on_runtime;
use crate::{serve, telemetry};

#[derive(Subcommand)]
pub enum Command {
    /// Lists the signing keys, and what each is good for.
    List,
    /// Adds a key. It signs in five minutes, when every process and every cache of the public keys knows it; tokens of the earlier ones
    /// are accepted until `issuer.accept_for` after that.
    Rotate {
        /// It signs from now on: for a key that must not sign any more. Who caches public keys may refuse tokens for some minutes.
        #[arg(long)]
        at_once: bool,
    },
    /// Ends a key whose secret may be known: all its tokens are refused, within seconds. There must be another that signs.
    Revoke {
        /// As `berth keys list` shows it.
        #[arg(value_name = "KEY")]
        id: Uuid,
    },
}

/// # Errors
/// No key file is named; the database cannot be reached, or has not been migrated; there is no such key, or it is needed.
pub fn run(config: &Config, environment: &Environment, command: &Command) -> Result<(), Failure> {
    let _telemetry = telemetry::start(&config.log, environment)?;
    let file = serve::key_file(config)?;
    let report = on_runtime(async {
        let House { berth, store, .. } = super::house(config).await?;
        let keyring = Keyring::new(config, &store, file);
        let report = match command {
            Command::List => list(&keyring).await,
            Command::Rotate { at_once } => rotate(&keyring, &berth, if *at_once { Duration::ZERO } else { PUBLISHED_FOR }).await,
            Command::Revoke { id } => revoke(&keyring, &berth, *id).await,
        };
        store.db().close().await;
        report
    })?;
    crate::print(&report)
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
fn away(error: saga::StoreError) -> Failure {
    Failure::new(format!("the signing keys cannot be read or changed: {error}. Try again"))
}

async fn list(keyring: &Keyring) -> Result<String, Failure> {
    let keys = keyring.store.all().await.map_err(away)?;
    if keys.is_empty() {
        return Ok("There is no signing key yet: the first `berth serve` or `berth token` makes the key file's the first.\n".to_owned());
    }
    let mut report = format!("{:<36}  {:<24}  STATE\n", "KEY", "CREATED");
    for (key, standing) in keys.iter().zip(standings(&keys, system_time(), keyring.accept_for)) {
        let sealed_elsewhere = keyring.file.open(key.id, &key.sealed_key).is_none();
        let note = if sealed_elsewhere { ", sealed under another key file" } else { "" };
        let _ = writeln!(report, "{}  {:<24}  {}{note}", key.id, second(key.created_at), state(standing));
    }
    Ok(report)
}

fn second(time: Time) -> Time {
    Time::from_micros(time.micros().div_euclid(1_000_000) * 1_000_000)
}

fn state(standing: KeyStanding) -> String {
    match standing {
        KeyStanding::Next { from } => format!("signs from {}", second(from)),
        KeyStanding::Signs => "signs".to_owned(),
        KeyStanding::Accepted { until } => format!("accepted until {}", second(until)),
        KeyStanding::Past { since } => format!("not accepted since {}", second(since)),
        KeyStanding::Revoked { at } => format!("revoked at {}", second(at)),
    }
}

async fn rotate(keyring: &Keyring, berth: &domain::Berth, signs_in: Duration) -> Result<String, Failure> {
    let keys = keyring.store.all().await.map_err(away)?;
    // An installation without any key begins with the key file's, as ever.
    let key = if keys.is_empty() { keyring.file.first().clone() } else { issuer::generate()? };
    let Some(id) = keyring.add(berth, &key, keys.last().map(|newest| newest.id), signs_in).await? else {
        return Err(Failure::new("another key was added at the same time; this one was not. See `berth keys list`".to_owned()));
    };
    let from = if signs_in.is_zero() { "now".to_owned() } else { format!("{} minutes from now", signs_in.as_secs() / 60) };
    Ok(format!("{id} signs from {from} on.\n"))
}

async fn revoke(keyring: &Keyring, berth: &domain::Berth, id: Uuid) -> Result<String, Failure> {
    let draft = Draft::by_berth(&*berth.ids, PLATFORM, None, "signing_key.revoke").target("signing_key", id).outcome("succeeded");
    match keyring.store.revoke(id, draft).await.map_err(away)? {
        RevokeKeyAnswer::Revoked => Ok(format!("{id} is revoked: its tokens are refused from now on, everywhere within ten seconds.\n")),
        RevokeKeyAnswer::Already => Ok(format!("{id} was revoked before. Nothing was changed.\n")),
        RevokeKeyAnswer::Unknown => Err(Failure::new(format!("there is no signing key {id}: see `berth keys list`"))),
        RevokeKeyAnswer::Needed => {
            Err(Failure::new(format!("no other key signs by now, so that {id} is needed: run `berth keys rotate --at-once` first")))
        }
    }
}
