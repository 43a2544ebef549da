//! Berth's own database: the only SQL there is, on SQLite and PostgreSQL alike.
//!
//! [`Store`] implements every port that needs it. One port method is one transaction; handles never leave this crate.

mod accepts;
mod accounts;
mod api_tokens;
mod audit;
mod bench;
mod changes;
pub mod db;
mod deletions;
mod edits;
mod exports;
mod freezes;
mod gates;
mod gathered;
mod heads;
mod idempotency;
mod identities;
mod intents;
mod membership_changes;
mod memberships;
mod pauses;
mod platform;
mod principals;
mod provisioning_runs;
mod questions;
mod retention;
mod run_commits;
mod runs;
mod service_accounts;
mod signing_keys;
mod together;
mod tuples;
mod words;
mod workers;
mod workspace_tokens;
mod workspaces;

use std::sync::Arc;

pub use bench::{Bench, Filling};
pub use db::{Access, BINARY, Db, Granted, Hint, Hints, MigrateError, Pooler, Waits, migrations, schema_digest};
pub use exports::BoundedExports;

use domain::ports::NewWorkspace;
use together::Together;

/// The whole store, behind every port of the engine and the use cases; cheap to clone.
#[derive(Clone)]
pub struct Store {
    db: Db,
    accepts: Arc<Together<NewWorkspace, accepts::Answer>>,
    tuple_writes: Arc<Together<tuples::writes::Write, tuples::writes::Answer>>,
    questions: Arc<questions::Questions>,
}

impl Store {
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db, accepts: Arc::default(), tuple_writes: Arc::default(), questions: Arc::default() }
    }

    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// How many transactions of transitions a worker should have under way. Where there is one writer a second one waits for the
    /// first with the members that it has, while more come that could have shared it.
    #[must_use]
    pub fn commits_at_once(&self) -> usize {
        if self.db.is_sqlite() { 1 } else { 2 }
    }
}

/// Every statement of the store: what the conformance suite prepares on both databases.
#[must_use]
pub fn statements() -> Vec<&'static db::Statement> {
    [
        accepts::STATEMENTS,
        accounts::STATEMENTS,
        api_tokens::STATEMENTS,
        audit::STATEMENTS,
        audit::search::STATEMENTS,
        bench::audit::STATEMENTS,
        bench::finished::STATEMENTS,
        bench::owned::STATEMENTS,
        bench::submit::STATEMENTS,
        changes::STATEMENTS,
        changes::ended::STATEMENTS,
        changes::logins::STATEMENTS,
        changes::purge::STATEMENTS,
        changes::rows::STATEMENTS,
        db::STATEMENTS,
        db::hints::STATEMENTS,
        db::about::STATEMENTS,
        db::migrate::STATEMENTS,
        db::roles::STATEMENTS,
        db::server::STATEMENTS,
        deletions::STATEMENTS,
        exports::STATEMENTS,
        freezes::STATEMENTS,
        freezes::apply::STATEMENTS,
        edits::STATEMENTS,
        gates::STATEMENTS,
        heads::STATEMENTS,
        idempotency::STATEMENTS,
        identities::STATEMENTS,
        intents::STATEMENTS,
        intents::homes::STATEMENTS,
        membership_changes::STATEMENTS,
        memberships::STATEMENTS,
        pauses::STATEMENTS,
        platform::STATEMENTS,
        principals::STATEMENTS,
        provisioning_runs::STATEMENTS,
        provisioning_runs::glances::STATEMENTS,
        provisioning_runs::retry::STATEMENTS,
        retention::STATEMENTS,
        run_commits::STATEMENTS,
        run_commits::one_writer::STATEMENTS,
        run_commits::rows::STATEMENTS,
        run_commits::swift::STATEMENTS,
        runs::STATEMENTS,
        service_accounts::STATEMENTS,
        signing_keys::STATEMENTS,
        tuples::STATEMENTS,
        tuples::writes::STATEMENTS,
        workers::STATEMENTS,
        workspace_tokens::STATEMENTS,
        workspaces::STATEMENTS,
        workspaces::read::STATEMENTS,
    ]
    .concat()
}
