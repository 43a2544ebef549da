//! PostgreSQL's roles: the owner of the schema migrates, and the role that serves and works may not change what the audit
//! log says. SQLite knows no roles.

use sqlx::{AssertSqlSafe, Executor as _};

use super::{Db, Error, Pools};

crate::statements! {
    MAY_REWRITE_AUDIT = split(
        "select has_table_privilege('audit_entries', 'update') or has_table_privilege('audit_entries', 'delete')
           or has_table_privilege('audit_entries', 'truncate') or has_table_privilege('audit_targets', 'update')
           or has_table_privilege('audit_targets', 'delete') or has_table_privilege('audit_targets', 'truncate') as may",
        "select 1 as may",
    );
    ROLE = split(
        "select current_schema()::text as schema, pg_has_role($1, current_user, 'member') as owns
         from pg_roles where rolname = $1",
        "select 'main' as schema, 1 as owns where $1 is not null",
    );
}

/// Tables to which rows are only ever added.
const APPEND_ONLY: &str = "audit_entries, audit_targets, platform";
/// Tables that only migrations write.
const OF_MIGRATIONS: &str = "_sqlx_migrations, schema_compatibility";

/// What a grant came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    Done,
    /// There is no such role.
    NoSuchRole,
    /// The role is, or may act as, the one that owns the schema, or it is a superuser: nothing can be kept from it.
    Owner,
}

impl Db {
    /// Gives `role` what serving and working need, and takes away what else it has: it reads and writes all tables, but can only
    /// add to the audit log, and only read what migrations wrote. To be repeated after each migration.
    ///
    /// # Errors
    /// As any statement; and on SQLite, which has no roles.
    pub async fn grant_runtime(&self, role: &str) -> Result<Granted, Error> {
        let Pools::Postgres(kept) = &self.pools else { return Err(Error::broken("SQLite has no roles")) };
        let mut tx = self.write().await?;
        let Some(row) = tx.query(&ROLE).bind(role).fetch_optional().await? else { return Ok(Granted::NoSuchRole) };
        let (schema, owns): (String, bool) = (row.get("schema")?, row.get("owns")?);
        tx.rollback().await?;
        if owns {
            return Ok(Granted::Owner);
        }
        let (role, schema) = (quoted(role), quoted(&schema));
        // One simple query is one transaction: nobody sees the role without its rights.
        let grants = format!(
            "revoke all on all tables in schema {schema} from {role};
             grant usage on schema {schema} to {role};
             grant select, insert, update, delete on all tables in schema {schema} to {role};
             revoke update, delete on {APPEND_ONLY} from {role};
             revoke insert, update, delete on {OF_MIGRATIONS} from {role};"
        );
        kept.pool().execute(AssertSqlSafe(grants)).await?;
        Ok(Granted::Done)
    }

    /// Whether whoever is connected could change or remove entries of the audit log. On SQLite it always could.
    ///
    /// # Errors
    /// As any statement.
    pub async fn may_rewrite_audit(&self) -> Result<bool, Error> {
        let mut tx = self.read().await?;
        tx.query(&MAY_REWRITE_AUDIT).fetch_one().await?.get("may")
    }
}

/// A name as SQL takes any.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
