//! Every statement of the store is understood by both databases.

use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};

use crate::world::World;

#[rstest]
#[tokio::test]
async fn every_statement_can_be_prepared(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let statements = store::statements();
    assert!(statements.len() > 80, "the list of statements has lost some: {}", statements.len());
    let mut refused = Vec::new();
    for statement in statements {
        if let Err(error) = world.test.db.prepare(statement).await {
            refused.push(format!("{}: {error:?}", statement.name()));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// A text that is shared must mean the same on both databases: nothing in it is computed by either.
#[test]
fn shared_texts_compute_nothing() {
    for statement in store::statements() {
        let [postgres, sqlite] = statement.texts();
        if postgres == sqlite {
            let text = postgres.to_lowercase();
            for word in ["now()", "interval", "::", "any(", "array[", "cast(", "unixepoch", "clock_timestamp"] {
                assert!(!text.contains(word), "{} is shared and says `{word}`", statement.name());
            }
        }
    }
}
