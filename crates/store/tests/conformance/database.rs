//! The connection itself: how failures are told, what text may hold, how locks are ordered.

use domain::PrincipalKind;
use domain::ports::{AuditLog, Page, Principals, ProvisioningRuns, WorkspaceFilter, Workspaces};
use rstest::rstest;
use saga::StoreError;
use store::db::{Error, Rank, Statement};
use store::{Db, Waits};
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, draft, new_workspace};

static TERMINATE_OTHERS: Statement = Statement::split(
    "terminate others",
    "select pg_terminate_backend(pid) as done from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    "select 1 as done",
);
static NO_MORE_PAGES: Statement = Statement::shared("no more pages", "pragma max_page_count = 1");
static TOUCH: Statement = Statement::shared("touch", "update account_heads set last_turn = last_turn + 1");

/// The server is gone at the worst moment: nobody can say whether it had committed.
#[tokio::test]
async fn an_error_at_commit_is_unknown() {
    let world = World::new(Postgres).await;
    let mut tx = world.test.db.write().await.unwrap();
    tx.query(&TOUCH).execute().await.unwrap();
    let mut other = world.test.reopen().await.write().await.unwrap();
    other.query(&TERMINATE_OTHERS).fetch_all().await.unwrap();
    let error = tx.commit().await.unwrap_err();
    assert!(matches!(error, Error::Unknown(_)), "{error:?}");
}

#[tokio::test]
async fn an_error_before_commit_has_changed_nothing() {
    let world = World::new(Postgres).await;
    let mut tx = world.test.db.write().await.unwrap();
    let mut other = world.test.reopen().await.write().await.unwrap();
    other.query(&TERMINATE_OTHERS).fetch_all().await.unwrap();
    let error = tx.query(&TOUCH).execute().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    drop(tx);
    // The pool replaces what was lost.
    assert!(ProvisioningRuns::counts(&world.store).await.is_ok());
}

#[tokio::test]
async fn a_full_disk_changes_nothing_and_says_what_to_do() {
    let world = World::new(Sqlite).await;
    let account = world.account(9).await;
    let mut tx = world.test.db.write().await.unwrap();
    tx.query(&NO_MORE_PAGES).fetch_all().await.unwrap();
    tx.commit().await.unwrap();
    let mut new = new_workspace(account, "data");
    new.run.input = serde_json::json!("x".repeat(1 << 20));
    let id = new.id;
    let error = Workspaces::create(&world.store, new).await.unwrap_err();
    let StoreError::Unavailable(text) = &error else { panic!("{error:?}") };
    assert!(text.contains("free some space"), "{text}");
    assert_eq!(Workspaces::get(&world.store, id).await.unwrap(), None);
}

#[tokio::test]
async fn a_malformed_url_is_refused_without_repeating_it() {
    let error = Db::open_postgres("postgres://user:secret@host:notaport/x", 1, Waits::default()).await.err().unwrap();
    assert!(matches!(&error, StoreError::Broken(text) if !text.contains("secret")), "{error:?}");
}

#[tokio::test]
async fn a_path_that_cannot_be_opened_is_named() {
    let error = Db::open_sqlite(std::path::Path::new("/proc/nowhere/berth.db")).await.err().unwrap();
    assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("/proc/nowhere/berth.db")), "{error:?}");
}

/// PostgreSQL's text holds no NUL; what callers send may.
#[rstest]
#[tokio::test]
async fn a_nul_in_a_text_is_no_error(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let stored = world.store.ensure(PrincipalKind::User, "a\0b", None, Uuid::now_v7()).await.unwrap();
    assert_eq!(stored.name, "a\u{FFFD}b");
    assert_eq!(world.store.find(PrincipalKind::User, "a\0b").await.unwrap(), Some(stored));
    let filter = WorkspaceFilter { name_contains: Some("\0".to_owned()), region: Some("\0".to_owned()), ..WorkspaceFilter::default() };
    let page = Page { after: None, limit: 1 };
    assert_eq!(world.store.list_by_account(Uuid::now_v7(), None, &filter, page).await.unwrap(), []);
}

#[tokio::test]
#[should_panic(expected = "a lock on Run is taken after one on Head")]
async fn a_lock_out_of_order_is_noticed_in_debug_builds() {
    let world = World::new(Sqlite).await;
    let mut tx = world.test.db.write().await.unwrap();
    tx.locks(Rank::Head);
    tx.locks(Rank::Run);
}

#[rstest]
#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing_and_frees_the_writer(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let mut tx = world.test.db.write().await.unwrap();
    tx.query(&TOUCH).execute().await.unwrap();
    drop(tx);
    world.store.append(draft(account, None, "later")).await.unwrap();
}

/// A request whose client has gone is dropped at whatever it awaits; a BEGIN that nobody waits for must not be forgotten.
#[rstest]
#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_transaction_behind(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let db = &world.test.db;
    for polls in 0..200 {
        let mut reading = Box::pin(db.read());
        for _ in 0..polls % 20 {
            if futures::poll!(&mut reading).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(reading);
        let mut tx = db.write().await.unwrap();
        tx.query(&TOUCH).execute().await.unwrap_or_else(|e| panic!("after {polls} polls: {e:?}"));
        tx.commit().await.unwrap();
    }
}
