//! Which binaries may run on which schema, and that a migration does not wait for ever.

use std::time::Duration;

use rstest::rstest;
use store::db::Statement;
use store::{BINARY, MigrateError, Waits, migrations};
use testkit::Backend::{self, Postgres, Sqlite};
use testkit::TestDb;

static RECORDED: Statement = Statement::shared("recorded", "select migration, oldest_binary from schema_compatibility order by migration");
static PRETEND_ONE_MORE: Statement = Statement::split(
    "pretend one more",
    "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'later', true, '\\x00', 0)",
    "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'later', 1, x'00', 0)",
);
static ALLOW: Statement = Statement::shared("allow", "insert into schema_compatibility (migration, oldest_binary) values (9999, $1)");
static FORGET: Statement = Statement::shared("forget", "delete from _sqlx_migrations where version = 9");
static DROP_PLATFORM: Statement = Statement::shared("drop platform", "drop table platform");
static DROP_COMPATIBILITY: Statement = Statement::shared("drop compatibility", "drop table schema_compatibility");
static LET_NOBODY_WRITE: Statement = Statement::split("let nobody write", "lock table _sqlx_migrations in share mode", "select 1");
static PLATFORM: Statement = Statement::split("platform", "select to_regclass('platform') is not null as there", "select 1 as there");

/// The first that could: those before it are all allowed by it.
const FIRST: i64 = 9;

async fn run(test: &TestDb, statements: &[&'static Statement]) {
    let mut tx = test.db.write().await.unwrap();
    for statement in statements {
        tx.query(statement).execute().await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// One that forgets to say so would lock out every binary but the newest.
#[rstest]
#[tokio::test]
async fn every_migration_says_which_is_the_oldest_binary_that_may_run_on_it(#[values(Sqlite, Postgres)] backend: Backend) {
    let test = TestDb::new(backend).await;
    let mut tx = test.db.read().await.unwrap();
    let mut recorded = Vec::new();
    for row in tx.query(&RECORDED).fetch_all().await.unwrap() {
        let oldest = semver::Version::parse(&row.get::<String>("oldest_binary").unwrap()).unwrap();
        assert!(oldest <= semver::Version::parse(BINARY).unwrap(), "this binary may not run on its own schema");
        recorded.push(row.get::<i64>("migration").unwrap());
    }
    let expected: Vec<i64> = migrations().into_iter().filter(|version| *version >= FIRST).collect();
    assert_eq!(recorded, expected, "a migration inserts its own row into schema_compatibility");
}

#[rstest]
#[tokio::test]
async fn a_newer_schema_is_taken_if_it_allows_this_binary(#[values(Sqlite, Postgres)] backend: Backend) {
    let test = TestDb::new(backend).await;
    run(&test, &[&PRETEND_ONE_MORE]).await;
    assert!(matches!(test.db.check_schema().await.unwrap_err(), MigrateError::Newer { found: 9999, .. }), "it says nothing");
    let mut tx = test.db.write().await.unwrap();
    tx.query(&ALLOW).bind(BINARY).execute().await.unwrap();
    tx.commit().await.unwrap();
    test.db.check_schema().await.unwrap();
    assert!(test.db.migrate().await.unwrap().is_empty(), "there is nothing to do for this binary");
}

#[rstest]
#[tokio::test]
async fn a_binary_that_is_too_old_is_told_which_version_to_install(#[values(Sqlite, Postgres)] backend: Backend) {
    let test = TestDb::new(backend).await;
    run(&test, &[&PRETEND_ONE_MORE]).await;
    let mut tx = test.db.write().await.unwrap();
    tx.query(&ALLOW).bind("7.4.0").execute().await.unwrap();
    tx.commit().await.unwrap();
    for refused in [test.db.check_schema().await, test.db.migrate().await.map(drop)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, MigrateError::TooOld { .. }), "{error:?}");
        assert!(error.to_string().contains("install Berth 7.4.0 or a newer one"), "{error}");
    }
}

#[rstest]
#[tokio::test]
async fn a_schema_that_lacks_a_migration_is_not_served_from(#[values(Sqlite, Postgres)] backend: Backend) {
    let test = TestDb::new(backend).await;
    run(&test, &[&FORGET, &DROP_PLATFORM, &DROP_COMPATIBILITY]).await;
    let error = test.db.check_schema().await.unwrap_err();
    assert!(matches!(&error, MigrateError::Behind { missing } if *missing == ["0009_processes"]), "{error:?}");
    assert!(error.to_string().contains("berth migrate"), "{error}");
    assert_eq!(test.db.migrate().await.unwrap(), ["0009_processes"]);
    test.db.check_schema().await.unwrap();
}

/// While others serve, a migration that cannot have its lock at once must not make everybody queue behind it.
#[tokio::test]
async fn a_migration_that_waits_too_long_for_a_lock_gives_up_and_has_done_nothing() {
    let waits = Waits { lock: Duration::from_millis(100), ..Waits::default() };
    let test = TestDb::with_waits(Postgres, waits).await;
    run(&test, &[&FORGET, &DROP_PLATFORM, &DROP_COMPATIBILITY]).await;
    let other = test.reopen().await;
    let mut holding = other.write().await.unwrap();
    holding.query(&LET_NOBODY_WRITE).execute().await.unwrap();
    let error = test.db.migrate().await.unwrap_err();
    assert!(matches!(error, MigrateError::Locked(_)), "{error:?}");
    holding.rollback().await.unwrap();
    let mut tx = test.db.read().await.unwrap();
    assert!(!tx.query(&PLATFORM).fetch_one().await.unwrap().get::<bool>("there").unwrap());
    drop(tx);
    assert_eq!(test.db.migrate().await.unwrap(), ["0009_processes"]);
}
