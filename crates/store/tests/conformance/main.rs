//! Every port method of the store, on both databases. Races are scripted: one transaction is held open, and the other is
//! seen to wait; the brute cases are beside them, for what nobody thought of.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod accounts;
mod api_tokens;
mod audit;
mod audit_search;
mod batches;
mod claims;
mod compatibility;
mod connections;
mod database;
mod deletions;
mod edits;
mod exports;
mod freezes;
mod gates;
mod given_up;
mod idempotency;
mod identities;
mod intents;
mod large_batches;
mod logins;
mod member_races;
mod members;
mod outbox;
mod parked;
mod pauses;
mod plans;
mod platform;
mod principals;
mod purge;
mod races;
mod requests;
mod retention;
mod retries;
mod roles;
mod runs;
mod schema;
mod service_accounts;
mod shared_commits;
mod signing_keys;
mod statements;
mod tuples;
mod workers;
mod workspace_tokens;
mod workspaces;
mod world;
