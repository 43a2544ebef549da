//! What holds runs back on the real engine, on both databases.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod limits;
mod pauses;
mod world;
