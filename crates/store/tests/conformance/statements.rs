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

/// `make test` runs this suite on the oldest and on the newest PostgreSQL, and says so in `BERTH_TEST_POSTGRES_VERSION`.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "tests are told by the command that runs them which server to use")]
async fn the_server_is_of_the_version_that_was_asked_for() {
    let wanted: Option<i64> = std::env::var("BERTH_TEST_POSTGRES_VERSION").ok().map(|version| version.parse().unwrap());
    let fits = |version: i64| wanted.map_or(version >= 15, |wanted| version == wanted);
    assert!(World::new(Postgres).await.test.db.postgres_version().await.unwrap().is_some_and(fits));
    let own = testkit::Cluster::start();
    let of_its_own = own.psql(testkit::cluster::SUPERUSER, "postgres", "show server_version_num").unwrap();
    assert!(fits(of_its_own.trim().parse::<i64>().unwrap() / 10_000), "{of_its_own}");
}
