//! The API over the real store, permissions and engine, on SQLite.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as tests do")]

mod answer;
mod api_tokens;
mod audit_log;
mod audited;
mod authorization;
mod check_count;
mod creating;
mod default_workspace;
mod deleting;
mod drift;
mod editing;
mod events;
mod exports;
mod hostile;
mod idempotency;
mod inner;
mod issuers;
mod lists;
mod members;
mod on_behalf_of;
mod outages;
mod pauses;
mod platform;
mod rates;
mod requests;
mod runs;
mod service_accounts;
mod signing_keys;
mod spicedb_away;
mod stale;
mod status;
mod system;
mod users;
mod workspace_tokens;
mod world;
