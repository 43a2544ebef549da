//! What every command that asks Berth takes, and what it gets from it.

use clap::Args;

use super::client::Client;
use super::output::Output;
use super::profile;
use super::stop::Stop;
use crate::config::Environment;

/// Who asks.
#[derive(Debug, Args)]
pub struct Who {
    /// A profile of the configuration file; without it `BERTH_URL` and `BERTH_TOKEN` are used, or the profile `default`.
    #[arg(long, value_name = "NAME", display_order = 900)]
    pub profile: Option<String>,
}

/// Who asks, and how the answer is printed.
#[derive(Debug, Args)]
pub struct Ask {
    #[command(flatten)]
    pub who: Who,
    /// How the answer is printed; a problem is printed as JSON on standard error with `json` and `ndjson`.
    #[arg(long, short, value_enum, value_name = "FORM", default_value_t, display_order = 901)]
    pub output: Output,
}

/// The account that names are looked up in.
#[derive(Debug, Args)]
pub struct InAccount {
    /// The account, by name or id; without it `BERTH_ACCOUNT_ID`, or the only account that you have.
    #[arg(long, value_name = "NAME|ID", display_order = 800)]
    pub account: Option<String>,
}

/// A connection to Berth, and how its answers are printed.
pub struct Session {
    pub client: Client,
    pub output: Output,
}

impl Who {
    /// # Errors
    /// It is not known where Berth is, or who asks.
    pub fn client(&self, environment: &Environment) -> Result<Client, Stop> {
        Client::new(profile::find(self.profile.as_deref(), environment)?)
    }
}

impl Ask {
    /// # Errors
    /// As `Who::client`.
    pub fn session(&self, environment: &Environment) -> Result<Session, Stop> {
        Ok(Session { client: self.who.client(environment)?, output: self.output })
    }
}
