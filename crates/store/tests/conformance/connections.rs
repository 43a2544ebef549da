//! How a PostgreSQL is reached: with TLS, through a pooler, and after it was away.

use domain::ports::AuditLog;
use saga::StoreError;
use store::db::{Error, Statement};
use store::{Access, Db, Pooler, Store, Waits};
use testkit::TestDb;
use testkit::cluster::{Cluster, SUPERUSER};

use crate::world::{World, draft};

static IS_ENCRYPTED: Statement =
    Statement::split("is encrypted", "select ssl from pg_stat_ssl where pid = pg_backend_pid()", "select 1 as ssl");
static MAKE: Statement = Statement::shared("make", "create table changing (n integer)");
static CHANGE: Statement = Statement::shared("change", "alter table changing alter n type bigint");
static CHANGE_BACK: Statement = Statement::shared("change back", "alter table changing alter n type integer");
static READ: Statement = Statement::shared("read", "select n from changing");
static SETTINGS: Statement = Statement::split(
    "settings",
    "select current_setting('lock_timeout') as lock, current_setting('statement_timeout') as statement,
       (select count(*) from pg_prepared_statements where not from_sql) as prepared",
    "select 1",
);

async fn connect(url: &str) -> Result<Db, StoreError> {
    Db::open_postgres(url, 2, Waits::default()).await
}

#[tokio::test]
async fn with_verify_full_only_the_server_of_that_name_and_authority_is_talked_to() {
    let cluster = Cluster::start_with_tls();
    let authority = format!("sslrootcert={}", cluster.authority().display());
    let db = connect(&cluster.tcp_url("localhost", "postgres", &format!("sslmode=verify-full&{authority}"))).await.unwrap();
    let mut tx = db.read().await.unwrap();
    assert!(tx.query(&IS_ENCRYPTED).fetch_one().await.unwrap().get::<bool>("ssl").unwrap());
    drop(tx);
    for (host, query, why) in [
        ("localhost", "sslmode=verify-full".to_owned(), "the authority is not known"),
        ("127.0.0.1", format!("sslmode=verify-full&{authority}"), "the certificate is for another name"),
        ("localhost", "sslmode=disable".to_owned(), "the server lets nobody in without TLS"),
    ] {
        let refused = connect(&cluster.tcp_url(host, "postgres", &query)).await.err();
        assert!(matches!(refused, Some(StoreError::Unavailable(_))), "{why}: {refused:?}");
    }
    // Checks who signed it, not whose it is.
    assert!(connect(&cluster.tcp_url("127.0.0.1", "postgres", &format!("sslmode=verify-ca&{authority}"))).await.is_ok());
}

/// Few server connections, more clients than that, and statements that the pooler would mix up if they were kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_pooler_every_transaction_stands_alone() {
    let mut cluster = Cluster::start();
    cluster.psql(SUPERUSER, "postgres", "create database house").unwrap();
    connect(&cluster.url(SUPERUSER, "house")).await.unwrap().migrate().await.unwrap();
    cluster.start_pooler(&[SUPERUSER]);
    let pooled = cluster.pooled_url(SUPERUSER, "house");
    let direct = connect(&pooled).await.err();
    assert!(matches!(&direct, Some(StoreError::Unavailable(text)) if text.contains("unsupported startup parameter")), "{direct:?}");

    let waits = Waits { lock: std::time::Duration::from_millis(1234), ..Waits::default() };
    let db = Db::connect(&pooled, Access { pooler: Pooler::Transaction, connections: 12, waits }).await.unwrap();
    let world = World { store: Store::new(db.clone()), test: TestDb::on(cluster.url(SUPERUSER, "house")).await };
    let account = world.account(9).await;
    let workspace = world.active_workspace(account, "data").await;
    let before = world.store.of_account(account, 0, 500).await.unwrap().len();
    let appends: Vec<_> = (0..12)
        .map(|_| {
            let store = world.store.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    store.append(draft(account, None, "try")).await.unwrap();
                    assert!(!store.of_workspace(workspace.id, None, 10).await.unwrap().is_empty());
                }
            })
        })
        .collect();
    for append in appends {
        append.await.unwrap();
    }
    assert_eq!(world.store.of_account(account, 0, 500).await.unwrap().len(), before + 240);

    for mut tx in [db.read().await.unwrap(), db.write().await.unwrap()] {
        let row = tx.query(&SETTINGS).fetch_one().await.unwrap();
        assert_eq!((row.get::<String>("lock").unwrap(), row.get::<String>("statement").unwrap()), ("1234ms".to_owned(), "30s".to_owned()));
        assert_eq!(row.get::<i64>("prepared").unwrap(), 0, "nothing is left behind on the server's connection");
    }
}

/// What was prepared on a connection is gone with the server; so must be the connection.
#[tokio::test]
async fn after_a_crash_of_the_server_statements_are_prepared_anew() {
    let mut cluster = Cluster::start();
    cluster.psql(SUPERUSER, "postgres", "create database house").unwrap();
    let db = connect(&cluster.url(SUPERUSER, "house")).await.unwrap();
    db.migrate().await.unwrap();
    let world = World { store: Store::new(db), test: TestDb::on(cluster.url(SUPERUSER, "house")).await };
    let account = world.account(9).await;
    for _ in 0..2 {
        world.store.append(draft(account, None, "before")).await.unwrap();
        cluster.crash();
        let away = world.store.append(draft(account, None, "away")).await.unwrap_err();
        assert!(matches!(away, StoreError::Unavailable(_)), "{away:?}");
        cluster.start_again();
        world.store.append(draft(account, None, "after")).await.unwrap();
    }
    let entries = world.store.of_account(account, 0, 100).await.unwrap();
    let actions: Vec<&str> = entries.iter().map(|e| e.action.as_str()).filter(|a| ["before", "away", "after"].contains(a)).collect();
    assert_eq!(actions, ["before", "after", "before", "after"], "what was answered is there, and nothing else");
}

/// A migration changes a column while processes of the version before go on: what they have prepared is refused once, not for ever.
#[tokio::test]
async fn a_statement_whose_table_has_changed_is_prepared_anew() {
    let cluster = Cluster::start();
    let url = cluster.url(SUPERUSER, "postgres");
    let db = Db::open_postgres(&url, 1, Waits::default()).await.unwrap();
    let other = connect(&url).await.unwrap();
    let run = async |db: &Db, statement: &'static Statement| {
        let mut tx = db.write().await?;
        tx.query(statement).fetch_all().await?;
        tx.commit().await
    };
    run(&other, &MAKE).await.unwrap();
    run(&db, &READ).await.unwrap();
    run(&other, &CHANGE).await.unwrap();
    let stale = run(&db, &READ).await.unwrap_err();
    assert!(matches!(&stale, Error::Contended(text) if text.contains("cached plan")), "{stale:?}");
    run(&db, &READ).await.unwrap();
    // Within `attempt` nobody notices.
    run(&other, &CHANGE_BACK).await.unwrap();
    db.attempt(|| run(&db, &READ)).await.unwrap();
}

/// As after a failover that leaves the old server there, as a standby: all who were connected to it would stay with it.
#[tokio::test]
async fn no_connection_is_kept_to_a_server_that_has_become_read_only() {
    let cluster = Cluster::start();
    let order = |sql: &str| cluster.psql(SUPERUSER, "postgres", sql).unwrap();
    order("create database house");
    order("alter database house set default_transaction_read_only = on");
    let db = Db::open_postgres(&cluster.url(SUPERUSER, "house"), 3, Waits::default()).await.unwrap();
    let two = (db.write().await.unwrap(), db.write().await.unwrap());
    two.0.commit().await.unwrap();
    two.1.commit().await.unwrap();
    // Of new connections.
    order("alter database house set default_transaction_read_only = off");
    let error = db.write().await.unwrap().query(&MAKE).execute().await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(text) if text.contains("as a standby does")), "{error:?}");
    let (mut one, mut other) = (db.write().await.unwrap(), db.write().await.unwrap());
    one.query(&MAKE).execute().await.unwrap();
    one.commit().await.unwrap();
    other.query(&CHANGE).execute().await.unwrap();
    other.commit().await.unwrap();
}
