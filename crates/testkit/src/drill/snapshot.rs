//! The world at one moment, as lines of text, and what a run has added to it or taken from it.
//!
//! The world is: backend objects with their marks, relationships without seals, and the tables of accounts, workspaces,
//! aliases, environments, backend workspaces, memberships and quota, whole. Times are left out, tokens are only counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::permissions::{Filter, Permissions};
use saga::RunId;
use serde_json::Value;
use store::Db;
use store::db::{Row, Statement};
use uuid::Uuid;

use super::asking::Asked;
use crate::world::FakeBackends;

static ACCOUNTS: Statement =
    Statement::shared("drill accounts", "select id, name, slug, status, created_by_id, run_id, permissions_token, revision from accounts");
static WORKSPACES: Statement = Statement::shared(
    "drill workspaces",
    "select id, account_id, name, folded_name, slug, status, region, tenancy_model, holds_quota, created_by_id, run_id, permissions_token,
       revision, freeze_revision, freeze_applied, purged_at from workspaces",
);
static ALIASES: Statement = Statement::shared("drill aliases", "select account_id, folded_name, workspace_id from workspace_aliases");
static ENVIRONMENTS: Statement =
    Statement::shared("drill environments", "select id, workspace_id, name, is_default, status from environments");
static BACKEND_WORKSPACES: Statement = Statement::shared(
    "drill backend workspaces",
    "select id, workspace_id, environment_id, backend, locator, login_open, login_revision as revision
       from backend_workspaces",
);
static MEMBERSHIPS: Statement =
    Statement::shared("drill memberships", "select scope, scope_id, principal_kind, principal_id, role from memberships");
static FREEZES: Statement = Statement::shared("drill freezes", "select workspace_id, source, mode from workspace_freezes");
static QUOTA: Statement = Statement::shared("drill quota", "select account_id, workspaces_live, workspaces_max from account_heads");

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct World {
    lines: BTreeSet<String>,
    /// Workspaces that hold quota, by account.
    live: BTreeMap<Uuid, i64>,
}

/// What became of the world, in words that do not depend on the ids of one run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Difference {
    pub added: BTreeSet<String>,
    pub removed: BTreeSet<String>,
}

/// A row's values in the order of `columns`; the kind is the letter after the colon.
fn line(table: &str, columns: &[&str], row: &Row) -> String {
    let mut out = table.to_owned();
    for column in columns {
        let (name, kind) = column.split_once(':').expect("a column is name:kind");
        let expect = "the schema has this column";
        let value = match kind {
            "u" => row.get::<Uuid>(name).expect(expect).to_string(),
            "b" => row.get::<bool>(name).expect(expect).to_string(),
            "i" => row.get::<i64>(name).expect(expect).to_string(),
            "token" => row.get::<Option<String>>(name).expect(expect).map_or("none", |_| "some").to_owned(),
            "at" => row.get::<Option<saga::Time>>(name).expect(expect).map_or("never", |_| "once").to_owned(),
            _ => row.get::<String>(name).expect(expect),
        };
        out = format!("{out} {name}={value}");
    }
    out
}

impl World {
    /// # Panics
    /// If the database or the permission system does not answer: then there is no drill.
    pub async fn look(db: &Db, permissions: &Arc<dyn Permissions>, backends: &FakeBackends) -> Self {
        let mut lines = backends.objects();
        for kind in ["platform", "account", "workspace", "environment"] {
            let filter = Filter { resource_kind: kind.to_owned(), resource_id: None, relation: None, subject: None };
            let found = permissions.read(&filter).await.expect("relationships can be read");
            lines.extend(
                found.into_iter().filter(|r| r.relation != "sealed").map(|r| {
                    format!("relationship {}:{}#{}@{}:{}", r.resource.kind, r.resource.id, r.relation, r.subject.kind, r.subject.id)
                }),
            );
        }
        let mut tx = db.read().await.expect("the database can be read");
        let account = ["id:u", "name:s", "slug:s", "status:s", "created_by_id:u", "run_id:u", "permissions_token:token", "revision:i"];
        let workspace = [
            "id:u",
            "account_id:u",
            "name:s",
            "folded_name:s",
            "slug:s",
            "status:s",
            "region:s",
            "tenancy_model:s",
            "holds_quota:b",
            "created_by_id:u",
            "run_id:u",
            "permissions_token:token",
            "revision:i",
            "freeze_revision:i",
            "freeze_applied:i",
            "purged_at:at",
        ];
        let backend = ["id:u", "workspace_id:u", "environment_id:u", "backend:s", "locator:s", "login_open:b", "revision:i"];
        let tables: [(&str, &'static Statement, &[&str]); 7] = [
            ("account", &ACCOUNTS, &account),
            ("workspace", &WORKSPACES, &workspace),
            ("alias", &ALIASES, &["account_id:u", "folded_name:s", "workspace_id:u"]),
            ("environment", &ENVIRONMENTS, &["id:u", "workspace_id:u", "name:s", "is_default:b", "status:s"]),
            ("backend_workspace", &BACKEND_WORKSPACES, &backend),
            ("freeze", &FREEZES, &["workspace_id:u", "source:s", "mode:s"]),
            ("membership", &MEMBERSHIPS, &["scope:s", "scope_id:u", "principal_kind:s", "principal_id:u", "role:s"]),
        ];
        for (table, statement, columns) in tables {
            let rows = tx.query(statement).fetch_all().await.expect("the table can be read");
            lines.extend(rows.iter().map(|row| line(table, columns, row)));
        }
        let quota = tx.query(&QUOTA).fetch_all().await.expect("the table can be read");
        let live = quota.iter().map(|row| {
            let expect = "the schema has this column";
            (row.get::<Uuid>("account_id").expect(expect), row.get::<i64>("workspaces_live").expect(expect))
        });
        Self { live: live.collect(), lines }
    }

    /// What has become of `before` since, in the words of what was asked for.
    pub fn since(&self, before: &Self, asked: &Asked) -> Difference {
        let words = words(asked.run, &asked.ids);
        let told = |line: &String| words.iter().fold(line.clone(), |line, (id, word)| line.replace(id, word));
        let mut difference = Difference {
            added: self.lines.difference(&before.lines).map(told).collect(),
            removed: before.lines.difference(&self.lines).map(told).collect(),
        };
        for (account, live) in &self.live {
            let more = live - before.live.get(account).copied().unwrap_or(0);
            if more != 0 {
                difference.added.insert(told(&format!("quota of {account}: {more:+}")));
            }
        }
        difference
    }
}

/// Every id by its place, the run's own, and the name that was asked for.
fn words(run: RunId, ids: &Value) -> Vec<(String, String)> {
    let mut words = vec![(run.to_string(), "RUN".to_owned())];
    collect(ids, "", &mut words);
    if let Some(name) = ids.get("name").and_then(Value::as_str) {
        words.push((name.to_owned(), "NAME".to_owned()));
    }
    words
}

fn collect(value: &Value, path: &str, words: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) if Uuid::parse_str(text).is_ok() => words.push((text.clone(), path.to_uppercase())),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| collect(v, &format!("{path}/{i}"), words)),
        Value::Object(entries) => entries.iter().for_each(|(k, v)| collect(v, &format!("{path}/{k}"), words)),
        _ => {}
    }
}

impl Difference {
    pub fn is_none(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// What a run that came to nothing may leave: its failed workspace's or account's row, and the creator's membership.
    pub fn without_failed(mut self) -> Result<Self, String> {
        for (subject, id) in [("workspace", "/WORKSPACE_ID"), ("account", "/ACCOUNT_ID")] {
            let row = format!("{subject} id={id} ");
            let rows: Vec<String> = self.added.iter().filter(|l| l.starts_with(&row)).cloned().collect();
            let [row] = rows.as_slice() else { continue };
            if !row.contains(" status=failed ") || row.contains(" holds_quota=true") {
                return Err(format!("not as a failed one is left: {row}"));
            }
            self.added.remove(row);
            let membership = format!("membership scope={subject} scope_id={id} ");
            let memberships = self.added.extract_if(.., |l| l.starts_with(&membership)).count();
            if memberships != 1 {
                return Err(format!("{memberships} memberships are left, not the creator's one"));
            }
            return Ok(self);
        }
        Err("there is no failed workspace or account".to_owned())
    }

    /// Without how often a row or a login was changed: a retried run finds one that has been failed before.
    pub fn without_revisions(&self) -> Self {
        let bare = |lines: &BTreeSet<String>| lines.iter().map(|l| l.split(" revision=").next().unwrap_or(l).to_owned()).collect();
        Self { added: bare(&self.added), removed: bare(&self.removed) }
    }

    /// Without the orders that logins bear.
    pub fn without_logins(mut self) -> Self {
        self.added.retain(|line| !line.starts_with("login "));
        self
    }

    /// Without the database's rows, for where a person has taken an effect back by hand and not its row.
    pub fn outside(mut self) -> Self {
        for lines in [&mut self.added, &mut self.removed] {
            lines.retain(|l| ["relationship ", "login ", "object "].iter().any(|outside| l.starts_with(outside)));
        }
        self
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.added.iter().try_for_each(|l| writeln!(f, "  + {l}"))?;
        self.removed.iter().try_for_each(|l| writeln!(f, "  - {l}"))
    }
}
