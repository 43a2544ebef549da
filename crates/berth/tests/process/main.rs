//! `berth dev` as a real process: started, talked to, killed, restarted, and looked at from outside.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_starts;
mod compensation;
mod export;
mod first_start;
mod hostile;
mod kill;
mod server;
mod shutdown;
mod spicedb;
mod tokens;
mod traces;
mod walkthrough;
mod world;
