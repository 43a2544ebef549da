//! Berth's rules, use cases, saga steps and ports. No IO, no clock, no randomness: those come in through [`ports`].

mod access;
pub mod account_settings;
pub mod accounts;
pub mod api_tokens;
pub mod audit;
pub mod berth;
pub mod change;
pub mod drift;
pub mod error;
pub mod exports;
pub mod housekeeping;
pub mod ids;
pub mod labels;
pub mod me;
pub mod members;
pub mod model;
pub mod names;
pub mod paging;
pub mod pauses;
pub mod permissions;
pub mod platform;
pub mod ports;
pub mod principal;
pub mod runs;
pub mod secrets;
pub mod service_accounts;
pub mod signing_keys;
pub mod steps;
pub mod users;
pub mod workspaces;

pub use berth::Berth;
pub use change::Change;
pub use error::{Error, Invalid};
pub use principal::{Caller, Principal, PrincipalKind};
