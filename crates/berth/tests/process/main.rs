//! Berth as real processes, `berth dev` and those of an installation on PostgreSQL: started, talked to, killed, restarted, and
//! looked at from outside.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_starts;
mod compensation;
mod database_away;
mod drift;
mod export;
mod first_start;
mod hints;
mod hostile;
mod installation;
mod issuers;
mod kill;
mod planted;
mod pooler;
mod production;
mod rates;
mod server;
mod shutdown;
mod signing_keys;
mod skewed_clocks;
mod spicedb;
mod storm;
mod tokens;
mod traces;
mod walkthrough;
mod world;
