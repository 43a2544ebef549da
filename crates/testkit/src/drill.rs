//! The fault matrix: every saga, every step of it, every fault, on a real database.
//!
//! It is driven by the registry: a saga that is registered is drilled, and none can opt out. [`drills`] says what is
//! done to a saga, [`Stage`] does it, one drill after the other in one database with a bystander in it, so that after each
//! drill the world can be compared whole.

mod asking;
mod cases;
mod control;
mod engine;
mod freezes;
mod plan;
mod redirect;
mod repeats;
mod snapshot;
mod stage;

pub use freezes::{Heard, Owner};
pub use plan::{Drill, Fault, Then, drills, expected_drills};
pub use stage::{Stage, definitions};
