//! The use cases against ports in memory: who may do what in which state, what is handed to the store, what is answered.
#![expect(clippy::unwrap_used, reason = "what a test's helpers cannot do fails the test")]

mod accounts;
mod blocked;
mod create_workspace;
mod deletions;
mod events;
mod exports;
mod housekeeping;
mod members;
mod on_behalf_of;
mod pauses;
mod read_workspaces;
mod removals;
mod runs;
mod status;
mod users;
mod world;
