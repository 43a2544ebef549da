//! The steps of Berth's sagas: one file each, `run` and `undo` together.

pub mod input;
