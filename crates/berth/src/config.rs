//! All of Berth's settings: defaults in code, then a TOML file, then `BERTH_SECTION__KEY` variables, then flags.
//!
//! One struct per section; a key that nobody knows is refused with its name and place. The reference in
//! `docs/configuration.md` is made from the same declarations.

mod database_url;
mod issuers;
mod load;
mod print;
mod reference;
mod secret;
mod section;
mod sections;
mod units;

use serde::{Deserialize, Serialize};

pub use database_url::DatabaseUrl;
pub use load::{ConfigError, Environment, Overrides, load};
pub use print::check;
pub use reference::reference;
use section::Section;
pub use sections::{
    Accounts, Data, Database, Dev, Export, Identity, Issuer, Log, LogFormat, OutsideIssuer, PermissionSystem, Permissions, Pooling, Rates,
    Region, Runs, Server, SigningAlgorithm, Tokens, Worker, Workspaces,
};
pub use units::Period;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub server: Server,
    pub data: Data,
    pub database: Database,
    pub issuer: Issuer,
    pub identity: Identity,
    pub permissions: Permissions,
    pub accounts: Accounts,
    pub workspaces: Workspaces,
    pub tokens: Tokens,
    pub rates: Rates,
    pub runs: Runs,
    pub worker: Worker,
    pub export: Export,
    pub dev: Dev,
    pub log: Log,
    pub regions: Vec<Region>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: Server::default(),
            data: Data::default(),
            database: Database::default(),
            issuer: Issuer::default(),
            identity: Identity::default(),
            permissions: Permissions::default(),
            accounts: Accounts::default(),
            workspaces: Workspaces::default(),
            tokens: Tokens::default(),
            rates: Rates::default(),
            runs: Runs::default(),
            worker: Worker::default(),
            export: Export::default(),
            dev: Dev::default(),
            log: Log::default(),
            regions: vec![Region::default()],
        }
    }
}

/// The sections in the order of the reference.
const SECTIONS: &[&Section] = &[
    &Server::SECTION,
    &Data::SECTION,
    &Database::SECTION,
    &Issuer::SECTION,
    &Identity::SECTION,
    &OutsideIssuer::SECTION,
    &Permissions::SECTION,
    &Accounts::SECTION,
    &Workspaces::SECTION,
    &Tokens::SECTION,
    &Rates::SECTION,
    &Runs::SECTION,
    &Worker::SECTION,
    &Export::SECTION,
    &Dev::SECTION,
    &Log::SECTION,
    &Region::SECTION,
];
