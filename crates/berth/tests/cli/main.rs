//! The command line as people and scripts use it: the real binary against a real `berth dev`.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod audit;
mod audit_verify;
mod caller;
mod deletion;
mod exports;
mod freezes;
mod members;
mod names;
mod offline;
mod pages;
mod refusals;
mod runs;
mod scripted;
#[path = "../process/server.rs"]
#[expect(dead_code, reason = "it is written for the tests of the process, and these need a part of it")]
mod server;
mod terminal;
mod wire;
mod workspaces;
