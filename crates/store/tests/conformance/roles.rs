//! The role that serves and works: it can do all that the store does, but not change what the audit log says. By trying.

use domain::ports::AuditLog;
use saga::journal::Ending;
use store::db::{Error, Statement};
use store::{Db, Granted, Store, Waits};
use testkit::Backend::Postgres;
use testkit::TestDb;
use testkit::cluster::{Cluster, SUPERUSER};

use crate::world::{World, draft};

static CHANGE_ENTRY: Statement = Statement::shared("change an entry", "update audit_entries set action = 'nothing'");
static DELETE_ENTRY: Statement = Statement::shared("delete an entry", "delete from audit_entries");
static TRUNCATE_ENTRIES: Statement = Statement::shared("truncate the log", "truncate audit_entries");
static DROP_ENTRIES: Statement = Statement::shared("drop the log", "drop table audit_entries");
static CHANGE_TARGET: Statement = Statement::shared("change a target", "update audit_targets set seq = 0");
static DELETE_TARGET: Statement = Statement::shared("delete a target", "delete from audit_targets");
static CHANGE_OPERATOR: Statement = Statement::shared("change the first operator", "update platform set operator_kind = 'user'");
static FORGET_MIGRATION: Statement = Statement::shared("forget a migration", "delete from _sqlx_migrations");
static ALLOW_ALL: Statement = Statement::shared("allow all binaries", "update schema_compatibility set oldest_binary = '0.0.1'");
static UNREADABLE: Statement = Statement::split(
    "unreadable",
    "select c.relname::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public'
     where c.relkind = 'r' and c.relname not in ('_sqlx_migrations', 'schema_compatibility')
       and not (has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert'))",
    "select 1",
);

async fn open(url: &str) -> Db {
    Db::open_postgres(url, 4, Waits::default()).await.unwrap()
}

#[tokio::test]
async fn the_runtime_role_does_everything_but_change_audit_rows() {
    let cluster = Cluster::start();
    cluster.psql(SUPERUSER, "postgres", "create role owner login; create role app login").unwrap();
    cluster.psql(SUPERUSER, "postgres", "create database house owner owner").unwrap();
    let owner = open(&cluster.url("owner", "house")).await;
    owner.migrate().await.unwrap();
    assert!(owner.may_rewrite_audit().await.unwrap());
    // What somebody gave it by hand is taken away.
    cluster.psql("owner", "house", "grant all on audit_entries to app").unwrap();
    for _ in 0..2 {
        assert_eq!(owner.grant_runtime("app").await.unwrap(), Granted::Done);
    }

    let app = open(&cluster.url("app", "house")).await;
    app.check_schema().await.unwrap();
    assert!(!app.may_rewrite_audit().await.unwrap());
    let test = TestDb::on(cluster.url("app", "house")).await;
    let world = World { store: Store::new(app.clone()), test };
    let account = world.account(9).await;
    let workspace = world.active_workspace(account, "data").await;
    world.store.append(draft(account, None, "try")).await.unwrap();
    let (failed, _) = world.workspace(account, "more").await;
    world.end(failed, Ending::Failed).await;
    assert!(world.store.of_workspace(workspace.id, None, 10).await.unwrap().len() >= 2, "entries are there to be changed");

    for statement in [
        &CHANGE_ENTRY,
        &DELETE_ENTRY,
        &TRUNCATE_ENTRIES,
        &DROP_ENTRIES,
        &CHANGE_TARGET,
        &DELETE_TARGET,
        &CHANGE_OPERATOR,
        &FORGET_MIGRATION,
        &ALLOW_ALL,
    ] {
        let mut tx = app.write().await.unwrap();
        let error = tx.query(statement).execute().await.unwrap_err();
        let Error::Broken(told) = &error else { panic!("{}: {error:?}", statement.name()) };
        assert!(told.contains("permission denied") || told.contains("must be owner"), "{}: {told}", statement.name());
    }
    let mut tx = app.read().await.unwrap();
    let unreadable: Vec<String> = tx.query(&UNREADABLE).fetch_all().await.unwrap().iter().map(|row| row.get("name").unwrap()).collect();
    assert!(unreadable.is_empty(), "{unreadable:?}");
}

#[tokio::test]
async fn nothing_can_be_kept_from_an_owner_and_nothing_given_to_nobody() {
    let cluster = Cluster::start();
    cluster.psql(SUPERUSER, "postgres", "create role owner login; create role member login; grant owner to member").unwrap();
    cluster.psql(SUPERUSER, "postgres", "create database house owner owner").unwrap();
    let owner = open(&cluster.url("owner", "house")).await;
    owner.migrate().await.unwrap();
    for role in ["owner", "member", SUPERUSER] {
        assert_eq!(owner.grant_runtime(role).await.unwrap(), Granted::Owner, "{role}");
    }
    assert_eq!(owner.grant_runtime("no\"body; drop table platform").await.unwrap(), Granted::NoSuchRole);
    assert!(World::new(Postgres).await.test.db.may_rewrite_audit().await.unwrap(), "a superuser's rights are seen");
}
