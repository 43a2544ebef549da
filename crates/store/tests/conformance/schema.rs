//! The rules of the schema, read from the catalog of a migrated database, and that both migrations make the same.

use std::collections::{BTreeMap, BTreeSet};

use rstest::rstest;
use store::MigrateError;
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use testkit::TestDb;

/// Tables of no tenant: they stand alone, without foreign keys.
const GLOBAL: [&str; 6] = ["principals", "relationship_revision", "relationships", "schema_compatibility", "signing_keys", "workers"];

/// A column that is added to rows that are there already needs a constant for them; new rows bind their values all the same.
const ADDED_LATER: [(&str, &str); 10] = [
    ("audit_entries", "outcome"),
    ("backend_workspaces", "login_open"),
    ("backend_workspaces", "login_revision"),
    ("provisioning_runs", "parked"),
    ("workspaces", "freeze_applied"),
    ("workspaces", "freeze_revision"),
    ("workspaces", "labels"),
    ("workspaces", "termination_protection"),
    ("workspaces", "tokens_frozen"),
    ("workspaces", "tokens_revision"),
];

static COLUMNS: Statement = Statement::split(
    "columns",
    "select table_name::text, column_name::text, is_nullable = 'NO' as required, column_default is not null as computed
     from information_schema.columns where table_schema = 'public' and table_name <> '_sqlx_migrations'
     order by table_name, ordinal_position",
    "select t.name as table_name, c.name as column_name, c.\"notnull\" as required, c.dflt_value is not null as computed
     from pragma_table_list t join pragma_table_info(t.name) c
     where t.type = 'table' and t.name not like 'sqlite_%' and t.name <> '_sqlx_migrations' order by t.name, c.cid",
);
/// Primary and unique keys, indexes included.
static KEYS: Statement = Statement::split(
    "keys",
    "select t.relname::text as table_name, i.relname::text as key_name, a.attname::text as first
     from pg_index x join pg_class i on i.oid = x.indexrelid join pg_class t on t.oid = x.indrelid
     join pg_namespace n on n.oid = t.relnamespace and n.nspname = 'public'
     join pg_attribute a on a.attrelid = t.oid and a.attnum = x.indkey[0]
     where x.indisunique and t.relname <> '_sqlx_migrations'",
    "select t.name as table_name, l.name as key_name, i.name as first
     from pragma_table_list t join pragma_index_list(t.name) l join pragma_index_info(l.name) i
     where t.type = 'table' and l.\"unique\" and i.seqno = 0 and t.name <> '_sqlx_migrations'",
);
static REFERENCES: Statement = Statement::split(
    "references",
    "select c.conrelid::regclass::text as table_name, a.attname::text as here, f.attname::text as there,
            c.confrelid::regclass::text as other
     from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
     join pg_attribute f on f.attrelid = c.confrelid and f.attnum = c.confkey[1] where c.contype = 'f'",
    "select t.name as table_name, f.\"from\" as here, f.\"to\" as there, f.\"table\" as other
     from pragma_table_list t join pragma_foreign_key_list(t.name) f where t.type = 'table' and f.seq = 0",
);
/// Sequences, triggers, functions, views: logic that would live in the database.
static LOGIC: Statement = Statement::split(
    "logic",
    "select 'sequence ' || relname as found from pg_class where relkind in ('S', 'v', 'm') and relnamespace = 'public'::regnamespace
     union all select 'trigger ' || tgname from pg_trigger where not tgisinternal
     union all select 'function ' || proname from pg_proc where pronamespace = 'public'::regnamespace",
    "select type || ' ' || name as found from sqlite_schema
     where type in ('trigger', 'view') or name = 'sqlite_sequence'
     union all select 'lax table ' || name from pragma_table_list
     where schema = 'main' and type = 'table' and not strict and name not like 'sqlite_%' and name <> '_sqlx_migrations'",
);
static KNOWN: Statement = Statement::shared("known", "select max(version) as known from _sqlx_migrations");
static PRETEND_NEWER: Statement = Statement::shared("pretend newer", "update _sqlx_migrations set version = 9999 where version = $1");
static PRETEND_OTHER: Statement =
    Statement::split("pretend other", "update _sqlx_migrations set checksum = '\\x00'", "update _sqlx_migrations set checksum = x'00'");

/// Table → its columns in order, with whether each is `not null`.
async fn tables(backend: Backend) -> BTreeMap<String, Vec<(String, bool)>> {
    let test = TestDb::new(backend).await;
    let mut tx = test.db.read().await.unwrap();
    let mut tables: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for row in tx.query(&COLUMNS).fetch_all().await.unwrap() {
        let (table, column): (String, String) = (row.get("table_name").unwrap(), row.get("column_name").unwrap());
        let computed = row.get::<bool>("computed").unwrap() && !ADDED_LATER.contains(&(table.as_str(), column.as_str()));
        assert!(!computed, "{table}.{column} has a default: values are bound");
        tables.entry(table).or_default().push((column, row.get("required").unwrap()));
    }
    tables
}

#[tokio::test]
async fn both_migrations_make_the_same_tables_and_columns() {
    let sqlite = tables(Sqlite).await;
    assert!(sqlite.len() > 12, "the catalog query has lost tables: {:?}", sqlite.keys());
    assert_eq!(sqlite, tables(Postgres).await);
}

#[rstest]
#[tokio::test]
async fn tenant_tables_and_their_keys_begin_with_the_bucket(#[values(Sqlite, Postgres)] backend: Backend) {
    let mut tenant = BTreeSet::new();
    for (table, columns) in tables(backend).await {
        if columns[0] == ("bucket".to_owned(), true) {
            tenant.insert(table);
        } else {
            assert!(GLOBAL.contains(&table.as_str()), "{table} does not begin with `bucket not null`, and is not global");
        }
    }
    let test = TestDb::new(backend).await;
    let mut tx = test.db.read().await.unwrap();
    let mut keyed = BTreeSet::new();
    for row in tx.query(&KEYS).fetch_all().await.unwrap() {
        let (table, first): (String, String) = (row.get("table_name").unwrap(), row.get("first").unwrap());
        let key: String = row.get("key_name").unwrap();
        assert!(!tenant.contains(&table) || first == "bucket", "{table}: the key {key} does not begin with the bucket");
        keyed.insert(table);
    }
    assert!(tenant.is_subset(&keyed), "tables without a primary key: {:?}", tenant.difference(&keyed));
    let mut seen = 0;
    for row in tx.query(&REFERENCES).fetch_all().await.unwrap() {
        let (table, other): (String, String) = (row.get("table_name").unwrap(), row.get("other").unwrap());
        let ends: (String, String) = (row.get("here").unwrap(), row.get("there").unwrap());
        assert_eq!(ends, ("bucket".to_owned(), "bucket".to_owned()), "the foreign key from {table} to {other} leaves the bucket");
        seen += 1;
    }
    assert!(seen >= 8, "the catalog query has lost foreign keys: {seen}");
}

#[rstest]
#[tokio::test]
async fn no_logic_lives_in_the_database(#[values(Sqlite, Postgres)] backend: Backend) {
    let test = TestDb::new(backend).await;
    let mut tx = test.db.read().await.unwrap();
    let found: Vec<String> = tx.query(&LOGIC).fetch_all().await.unwrap().iter().map(|row| row.get("found").unwrap()).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[rstest]
#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_alone(#[values(Sqlite, Postgres)] backend: Backend) {
    let test = TestDb::new(backend).await;
    test.db.migrate().await.expect("migrating twice does nothing");
    let mut tx = test.db.write().await.unwrap();
    let newest: i64 = tx.query(&KNOWN).fetch_one().await.unwrap().get("known").unwrap();
    tx.query(&PRETEND_NEWER).bind(newest).execute().await.unwrap();
    tx.commit().await.unwrap();
    let error = test.db.migrate().await.unwrap_err();
    assert!(matches!(error, MigrateError::Newer { found: 9999, known } if known == newest), "{error:?}");
    assert!(error.to_string().contains("Start that version"), "{error}");
}

#[rstest]
#[tokio::test]
async fn a_database_with_an_edited_migration_is_refused(#[values(Sqlite, Postgres)] backend: Backend) {
    let test = TestDb::new(backend).await;
    let mut tx = test.db.write().await.unwrap();
    tx.query(&PRETEND_OTHER).execute().await.unwrap();
    tx.commit().await.unwrap();
    assert!(matches!(test.db.migrate().await.unwrap_err(), MigrateError::Changed { version: 1 }));
}
