//! SQLite's one writer: what waits for a turn shares a commit, and nobody is told anything that is not durable.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use futures::poll;
use saga::Time;
use store::Db;
use store::db::{Columns, Error, Statement};
use testkit::Backend::Sqlite;
use testkit::TestDb;
use tokio::task::JoinSet;

static TABLE: Statement = Statement::shared("table", "create table numbers (n integer primary key, weight blob not null)");
static ADD: Statement = Statement::shared("add", "insert into numbers (n, weight) values ($1, zeroblob($2))");
static ADD_ONE: Statement = Statement::shared("add one", "insert into numbers (n, weight) values (?, zeroblob(1))");
static TAKE_ABOVE: Statement = Statement::shared("take above", "delete from numbers where n > ?");
macro_rules! add_rows {
    ($rows:literal) => {
        concat!(
            "with e (n) as (values ",
            $rows,
            ") insert into numbers (n, weight) select n, zeroblob(1) from e where n is not null and n < ?"
        )
    };
}
static ADD_EIGHT: Statement = Statement::shared("add eight", add_rows!("(?), (?), (?), (?), (?), (?), (?), (?)"));
static ADD_SIXTEEN: Statement =
    Statement::shared("add sixteen", add_rows!("(?), (?), (?), (?), (?), (?), (?), (?), (?), (?), (?), (?), (?), (?), (?), (?)"));
static COUNT: Statement = Statement::shared("count", "select count(*) as n from numbers");
static ALL: Statement = Statement::shared("all", "select n from numbers");
static NO_MORE_PAGES: Statement = Statement::shared("no more pages", "pragma max_page_count = 1");

async fn new() -> TestDb {
    let test = TestDb::new(Sqlite).await;
    let mut tx = test.db.write().await.unwrap();
    tx.query(&TABLE).execute().await.unwrap();
    tx.commit().await.unwrap();
    test
}

async fn add(tx: &mut store::db::Tx, number: i64) -> Result<u64, Error> {
    tx.query(&ADD).bind(number).bind(1_i64).execute().await
}

async fn seen_by(tx: &mut store::db::Tx) -> i64 {
    tx.query(&COUNT).fetch_one().await.unwrap().get("n").unwrap()
}

/// What everybody can see: what is committed.
async fn durable(db: &Db) -> i64 {
    db.ask(&COUNT).fetch_one().await.unwrap().get("n").unwrap()
}

/// Opens a transaction that has added a number, and polls its commit while somebody waits for a turn that may share it.
macro_rules! followed {
    ($db:ident, $first:ident, $($second:tt)+) => {
        let mut first = $db.write_together().await.unwrap();
        add(&mut first, 1).await.unwrap();
        let mut second = pin!($db.write_together());
        assert!(poll!(&mut second).is_pending());
        let mut $first = Box::pin(first.commit());
        assert!(poll!(&mut $first).is_pending());
        let $($second)+ = second.await.unwrap();
    };
}

#[tokio::test]
async fn what_waits_shares_a_commit_and_is_told_when_it_is_durable() {
    let test = new().await;
    let db = &test.db;
    followed!(db, first, mut second);
    assert_eq!((seen_by(&mut second).await, durable(db).await), (1, 0));
    add(&mut second, 2).await.unwrap();
    assert!(poll!(&mut first).is_pending(), "it is not durable yet");
    second.commit().await.unwrap();
    assert_eq!(durable(db).await, 2);
    first.await.unwrap();
}

#[tokio::test]
async fn a_part_that_is_dropped_takes_back_only_what_it_wrote() {
    let test = new().await;
    let db = &test.db;
    followed!(db, first, mut second);
    add(&mut second, 2).await.unwrap();
    drop(second);
    first.await.unwrap();
    assert_eq!(durable(db).await, 1);
}

#[tokio::test]
async fn who_rolls_back_is_told_so_when_what_it_has_read_is_durable() {
    let test = new().await;
    let db = &test.db;
    followed!(db, first, mut second);
    add(&mut second, 2).await.unwrap();
    assert_eq!(seen_by(&mut second).await, 2);
    second.rollback().await.unwrap();
    assert_eq!(durable(db).await, 1);
    first.await.unwrap();
}

#[tokio::test]
async fn who_shares_nothing_sees_only_what_is_durable() {
    let test = new().await;
    let db = &test.db;
    followed!(db, first, mut second);
    let mut alone = pin!(db.write());
    assert!(poll!(&mut alone).is_pending());
    add(&mut second, 2).await.unwrap();
    // Nobody who would share it waits, and yet the one who waits sees neither of them half done.
    second.commit().await.unwrap();
    let mut alone = alone.await.unwrap();
    assert_eq!((seen_by(&mut alone).await, durable(db).await), (2, 2));
    add(&mut alone, 3).await.unwrap();
    alone.commit().await.unwrap();
    first.await.unwrap();
}

#[tokio::test]
async fn who_has_asked_nothing_ends_at_once_and_takes_nothing_along() {
    let test = new().await;
    let db = &test.db;
    followed!(db, first, second);
    // Of what is not durable it has seen nothing either.
    let error = second.refused(Error::Stale("moved on".to_owned())).await;
    assert!(matches!(error, Error::Stale(_)), "{error:?}");
    first.await.unwrap();
    assert_eq!(durable(db).await, 1);
    db.write_together().await.unwrap().commit().await.unwrap();
    db.write_together().await.unwrap().rollback().await.unwrap();
    drop(db.write_together().await.unwrap());
    assert_eq!(add(&mut db.write().await.unwrap(), 2).await.unwrap(), 1);
}

#[tokio::test]
async fn statements_that_go_together_tell_how_much_each_has_changed() {
    let test = new().await;
    let db = &test.db;
    followed!(db, first, mut second);
    for number in 2..=4 {
        add(&mut second, number).await.unwrap();
    }
    second.commit().await.unwrap();
    first.await.unwrap();
    // One that opens the transaction, and one in the middle of it.
    let mut tx = db.write_together().await.unwrap();
    let opening = tx.query(&TAKE_ABOVE).bind(1_i64).then(&ADD_ONE).bind(5_i64).then(&TAKE_ABOVE).bind(9_i64);
    assert_eq!(opening.execute_each().await.unwrap(), [3, 1, 0]);
    assert_eq!(tx.query(&TAKE_ABOVE).bind(0_i64).then(&ADD_ONE).bind(6_i64).execute_each().await.unwrap(), [2, 1]);
    tx.commit().await.unwrap();
    let mut tx = db.write_together().await.unwrap();
    assert_eq!(tx.query(&TAKE_ABOVE).bind(9_i64).execute().await.unwrap(), 0);
    drop(tx);
    assert_eq!(durable(db).await, 1);
}

#[tokio::test]
async fn rows_that_are_fewer_than_their_statement_takes_leave_the_next_one_its_own() {
    let test = new().await;
    let (some, others) = (Columns::default().numbers([1, 2, 3]), Columns::default().numbers(4..=12));
    let mut pieces = some.pieces().chain(others.pieces()).map(|piece| (piece.doublings(), piece.and(Time::from_micros(11))));
    let (Some((0, first)), Some((1, second)), None) = (pieces.next(), pieces.next(), pieces.next()) else {
        panic!("three rows fit into eight, nine into sixteen");
    };
    let mut tx = test.db.write_together().await.unwrap();
    let query = tx.query(&ADD_EIGHT).bind(first).then(&ADD_SIXTEEN).bind(second);
    assert_eq!(query.execute_each().await.unwrap(), [3, 7]);
    tx.commit().await.unwrap();
    assert_eq!(durable(&test.db).await, 10);
}

#[tokio::test]
async fn of_statements_that_go_together_none_is_executed_behind_one_that_fails() {
    let test = new().await;
    let db = &test.db;
    followed!(db, first, mut second);
    let error = second.query(&ADD_ONE).bind(2_i64).then(&ADD_ONE).bind(1_i64).then(&ADD_ONE).bind(3_i64).execute_each().await.unwrap_err();
    assert!(matches!(error, Error::Unfit(_)), "{error:?}");
    first.await.unwrap();
    assert_eq!(durable(db).await, 1);
}

/// The same, with somebody else who waits in between: the first one counts on one who never comes.
macro_rules! given_up {
    ($db:ident, $first:ident, $next:ident = $waits:expr) => {
        let mut first = $db.write_together().await.unwrap();
        add(&mut first, 1).await.unwrap();
        let mut given_up = Box::pin($db.write_together());
        assert!(poll!(&mut given_up).is_pending());
        let mut $next = pin!($waits);
        // Until it stands in line.
        for _ in 0..100 {
            assert!(poll!(&mut $next).is_pending());
            tokio::task::yield_now().await;
        }
        let mut $first = Box::pin(first.commit());
        assert!(poll!(&mut $first).is_pending());
        drop(given_up);
    };
}

#[tokio::test]
async fn who_shares_nothing_has_what_is_open_committed_first() {
    let test = new().await;
    let db = &test.db;
    given_up!(db, first, alone = db.write());
    let mut alone = alone.await.unwrap();
    assert_eq!((seen_by(&mut alone).await, durable(db).await), (1, 1));
    first.await.unwrap();
}

#[tokio::test]
async fn closing_commits_what_is_open() {
    let test = new().await;
    let db = &test.db;
    given_up!(db, first, closed = db.close());
    closed.await;
    first.await.unwrap();
    assert_eq!(durable(&test.reopen().await).await, 1);
}

#[tokio::test]
async fn data_that_does_not_fit_is_refused_when_what_it_did_not_fit_is_durable() {
    let test = new().await;
    let db = &test.db;
    followed!(db, first, mut second);
    let error = add(&mut second, 1).await.unwrap_err();
    assert!(matches!(error, Error::Unfit(_)), "{error:?}");
    assert_eq!(durable(db).await, 1);
    first.await.unwrap();
    let error = add(&mut second, 2).await.unwrap_err();
    assert!(matches!(error, Error::Broken(_)), "as on PostgreSQL, the transaction has ended: {error:?}");
    assert!(second.commit().await.is_err());
    assert_eq!(durable(db).await, 1);
}

#[tokio::test]
async fn a_refusal_is_told_when_what_it_comes_of_is_durable() {
    let test = new().await;
    let db = &test.db;
    followed!(db, first, mut second);
    assert_eq!(seen_by(&mut second).await, 1);
    let error = second.refused(Error::Stale("moved on".to_owned())).await;
    assert!(matches!(error, Error::Stale(_)), "{error:?}");
    assert_eq!(durable(db).await, 1);
    first.await.unwrap();
}

/// SQLite may have rolled back everything: <https://www.sqlite.org/lang_transaction.html>.
#[tokio::test]
async fn a_full_disk_is_told_to_who_met_it_and_the_others_may_try_again() {
    let test = new().await;
    let db = &test.db;
    followed!(db, first, mut second);
    second.query(&NO_MORE_PAGES).fetch_all().await.unwrap();
    let error = second.query(&ADD).bind(2_i64).bind(1_i64 << 20).execute().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    let error = add(&mut second, 3).await.unwrap_err();
    assert!(matches!(error, Error::Broken(_)), "it would be committed at once: {error:?}");
    drop(second);
    let error = first.await.unwrap_err();
    assert!(matches!(error, Error::Contended(_)), "{error:?}");
    assert_eq!(durable(db).await, 0);
    let mut next = db.write_together().await.unwrap();
    add(&mut next, 1).await.unwrap();
    next.commit().await.unwrap();
    assert_eq!(durable(db).await, 1);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_does_not_stay_open() {
    let test = new().await;
    let db = &test.db;
    followed!(db, first, second);
    drop(first);
    drop(second);
    let committed = async {
        while durable(db).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), committed).await.unwrap();
}

/// For what nobody thought of: whoever was told that it is committed is there, whoever was told that it is not is not, and
/// whoever was dropped at whatever await blocks nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_are_each_told_the_truth() {
    const WRITERS: i64 = 400;
    let test = new().await;
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let db = test.db.clone();
        writers.spawn(async move {
            let write = async {
                let mut tx = if number % 11 == 0 { db.write().await? } else { db.write_together().await? };
                add(&mut tx, number).await?;
                match number % 7 {
                    0 => tx.rollback().await.map(|()| false),
                    1 => Ok(false),
                    // The number is there already, or is added by nobody else.
                    2 => add(&mut tx, number).await.map(|_| true),
                    _ => tx.commit().await.map(|()| true),
                }
            };
            let mut write = Box::pin(write);
            for _ in 0..if number % 5 == 0 { number % 40 } else { i64::MAX } {
                if let std::task::Poll::Ready(told) = poll!(&mut write) {
                    return (number, Some(told));
                }
                tokio::task::yield_now().await;
            }
            (number, None)
        });
    }
    let mut told = Vec::new();
    while let Some(writer) = writers.join_next().await {
        told.push(writer.unwrap());
    }
    let mut tx = test.db.write().await.unwrap();
    let rows = tx.query(&ALL).fetch_all().await.unwrap();
    let there: BTreeSet<i64> = rows.iter().map(|row| row.get("n").unwrap()).collect();
    for (number, told) in told {
        match told {
            None => {}
            Some(Ok(committed)) => assert_eq!(there.contains(&number), committed, "{number}"),
            Some(Err(error)) => {
                assert!(number % 7 == 2 && matches!(error, Error::Unfit(_)), "{number}: {error:?}");
                assert!(!there.contains(&number), "{number}");
            }
        }
    }
}
