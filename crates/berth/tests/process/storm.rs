//! Failures of every kind, again and again, at several `berth serve` and `berth work` on one PostgreSQL while requests flow: processes
//! killed and paused, the database killed, connections cut at COMMIT, transactions refused, a full disk. After each of these tests
//! all that was accepted is there once and whole, and nothing else is.
//!
//! `make test` runs a short form, `make storm` the long one: `BERTH_STORM=long`. Seeds and counts are printed.

mod commits;
mod disk;
mod fence;
mod fleet;
mod kills;
mod load;
mod proxy;
mod refusals;

/// How much is done.
pub struct Size {
    pub runs: usize,
    pub kills: usize,
}

impl Size {
    /// Of the form that was asked for.
    #[expect(clippy::disallowed_methods, reason = "the command that runs the tests says which form it wants")]
    pub fn of(short: Self, long: Self) -> Self {
        match std::env::var("BERTH_STORM").as_deref() {
            Ok("long") => long,
            Ok(other) => panic!("BERTH_STORM is {other:?}: `long`, or not set"),
            Err(_) => short,
        }
    }
}
