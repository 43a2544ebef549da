//! What the permission system is to hold, read from the rows that say so: for comparing the two.

pub(crate) mod homes;

use std::collections::HashMap;

use async_trait::async_trait;
use domain::Principal;
use domain::ids::bucket;
use domain::model::{AccountStatus, Role, Scope, ScopeRef, WorkspaceStatus};
use domain::ports::{Home, Intended, Intent, Intents};
use saga::StoreError;
use uuid::Uuid;

use crate::db::{Error, Keys, Row, Statement, Tx};
use crate::{Store, words};

macro_rules! accounts {
    ($($rest:expr),+) => {
        concat!(
            "select s.id, s.id as account_id, s.status, null as status_before, false as purged, s.run_id as made_by,
               exists (select 1 from provisioning_runs r where r.bucket = s.bucket and r.account_id = s.id and r.workspace_id is null
                 and r.exclusive and not r.terminal) as at_work
             from accounts s ",
            $($rest),+
        )
    };
}

macro_rules! workspaces {
    ($($rest:expr),+) => {
        concat!(
            "select s.id, s.account_id, s.status, s.status_before, s.purged_at is not null as purged, s.made_by,
               exists (select 1 from provisioning_runs r where r.bucket = s.bucket and r.workspace_id = s.id
                 and r.exclusive and not r.terminal) as at_work
             from workspaces s ",
            $($rest),+
        )
    };
}

/// In the order of the primary key, whatever the ids are.
macro_rules! page {
    () => {
        "where (s.bucket, s.id) > ($1, $2) order by s.bucket, s.id limit $3"
    };
}

/// Joins with the ids that were bound as `Keys`.
macro_rules! keyed {
    (postgres, $column:literal) => {
        concat!("join jsonb_to_recordset($1) as k(bucket smallint, id uuid) on k.bucket = s.bucket and k.id = s.", $column)
    };
    (sqlite, $column:literal) => {
        concat!("join json_each($1) k on s.bucket = k.value->>'bucket' and s.", $column, " = unhex(k.value->>'id')")
    };
}

use keyed;

macro_rules! members {
    ($database:ident) => {
        concat!(
            "select s.scope_id, s.principal_kind, s.principal_id, s.role from memberships s ",
            keyed!($database, "scope_id"),
            " where s.scope = $2 order by s.principal_kind, s.principal_id"
        )
    };
}

macro_rules! changes {
    ($database:ident) => {
        concat!(
            "select s.scope_id, s.principal_kind, s.principal_id, s.predecessor, s.delivered_at is not null as delivered,
               s.settled_at is not null as settled
             from membership_changes s ",
            keyed!($database, "scope_id"),
            " where s.scope = $2 order by s.principal_kind, s.principal_id, s.ordinal"
        )
    };
}

crate::statements! {
    ACCOUNTS = shared(accounts!(page!()));
    ACCOUNTS_OF = split(accounts!(keyed!(postgres, "id")), accounts!(keyed!(sqlite, "id")));
    WORKSPACES = shared(workspaces!(page!()));
    WORKSPACES_OF = split(workspaces!(keyed!(postgres, "id")), workspaces!(keyed!(sqlite, "id")));
    MEMBERS = split(members!(postgres), members!(sqlite));
    CHANGES = split(changes!(postgres), changes!(sqlite));
    ENVIRONMENTS = split(
        concat!("select s.workspace_id as scope_id, s.id from environments s ", keyed!(postgres, "workspace_id"), " order by s.id"),
        concat!("select s.workspace_id as scope_id, s.id from environments s ", keyed!(sqlite, "workspace_id"), " order by s.id"),
    );
}

fn account(row: &Row) -> Result<Intended, Error> {
    Ok(match row.word("status", AccountStatus::parse)? {
        _ if row.get("at_work")? => Intended::InFlight,
        AccountStatus::Provisioning => Intended::InFlight,
        AccountStatus::Active => Intended::Granted,
        AccountStatus::Failed => Intended::Nothing,
    })
}

fn workspace(row: &Row) -> Result<Intended, Error> {
    let before: Option<WorkspaceStatus> = row.optional_word("status_before", WorkspaceStatus::parse)?;
    Ok(match row.word("status", WorkspaceStatus::parse)? {
        _ if row.get("purged")? => Intended::Purged,
        _ if row.get("at_work")? => Intended::InFlight,
        // A purge that was given up is begun again.
        WorkspaceStatus::Provisioning | WorkspaceStatus::Purging => Intended::InFlight,
        WorkspaceStatus::Failed => Intended::Nothing,
        WorkspaceStatus::Deleted if before == Some(WorkspaceStatus::Failed) => Intended::Nothing,
        WorkspaceStatus::Active | WorkspaceStatus::Deleted => Intended::Granted,
    })
}

fn intent(row: &Row, scope: Scope) -> Result<Intent, Error> {
    let intended = match scope {
        Scope::Account => account(row)?,
        Scope::Workspace => workspace(row)?,
    };
    let made_by = row.get("made_by")?;
    Ok(Intent {
        on: ScopeRef { scope, id: row.get("id")?, account_id: row.get("account_id")? },
        intended,
        made_by,
        members: Vec::new(),
        unsettled: Vec::new(),
        sealed: if intended == Intended::Purged { vec![made_by] } else { Vec::new() },
        environments: Vec::new(),
    })
}

/// Fills in what is granted; of all others nothing else is asked.
async fn complete(tx: &mut Tx, scope: Scope, intents: &mut [Intent]) -> Result<(), Error> {
    let mut granted: HashMap<Uuid, &mut Intent> =
        intents.iter_mut().filter(|i| i.intended == Intended::Granted).map(|i| (i.on.id, i)).collect();
    let ids: Vec<Uuid> = granted.keys().copied().collect();
    if ids.is_empty() {
        return Ok(());
    }
    let keys = || Keys::new(ids.iter().copied());
    for row in tx.query(&MEMBERS).bind(keys()).bind(scope.as_str()).fetch_all().await? {
        let Some(intent) = granted.get_mut(&row.get::<Uuid>("scope_id")?) else { continue };
        intent.members.push((words::principal(&row, "principal")?, row.word("role", Role::parse)?));
    }
    for row in tx.query(&CHANGES).bind(keys()).bind(scope.as_str()).fetch_all().await? {
        let Some(intent) = granted.get_mut(&row.get::<Uuid>("scope_id")?) else { continue };
        let principal: Principal = words::principal(&row, "principal")?;
        if !row.get::<bool>("settled")? && !intent.unsettled.contains(&principal) {
            intent.unsettled.push(principal);
        }
        if row.get::<bool>("delivered")? {
            intent.sealed.push(row.get("predecessor")?);
        }
    }
    if scope == Scope::Workspace {
        for row in tx.query(&ENVIRONMENTS).bind(keys()).fetch_all().await? {
            let Some(intent) = granted.get_mut(&row.get::<Uuid>("scope_id")?) else { continue };
            intent.environments.push(row.get("id")?);
        }
    }
    for intent in granted.into_values() {
        intent.sealed.sort_unstable();
        intent.sealed.dedup();
    }
    Ok(())
}

impl Store {
    async fn intents_after(&self, scope: Scope, after: Option<Uuid>, limit: u32) -> Result<Vec<Intent>, Error> {
        let statement: &'static Statement = match scope {
            Scope::Account => &ACCOUNTS,
            Scope::Workspace => &WORKSPACES,
        };
        let mut tx = self.db.read().await?;
        // No bucket is below zero.
        let (of, id) = after.map_or((-1, Uuid::nil()), |id| (bucket(id), id));
        let rows = tx.query(statement).bind(of).bind(id).bind(i64::from(limit)).fetch_all().await?;
        let mut intents = rows.iter().map(|row| intent(row, scope)).collect::<Result<Vec<_>, _>>()?;
        complete(&mut tx, scope, &mut intents).await?;
        Ok(intents)
    }

    async fn intents_of(&self, scope: Scope, ids: &[Uuid]) -> Result<Vec<Intent>, Error> {
        let statement: &'static Statement = match scope {
            Scope::Account => &ACCOUNTS_OF,
            Scope::Workspace => &WORKSPACES_OF,
        };
        let mut tx = self.db.read().await?;
        let rows = tx.query(statement).bind(Keys::new(ids.iter().copied())).fetch_all().await?;
        let mut intents = rows.iter().map(|row| intent(row, scope)).collect::<Result<Vec<_>, _>>()?;
        complete(&mut tx, scope, &mut intents).await?;
        Ok(intents)
    }
}

#[async_trait]
impl Intents for Store {
    async fn after(&self, scope: Scope, after: Option<Uuid>, limit: u32) -> Result<Vec<Intent>, StoreError> {
        Ok(self.intents_after(scope, after, limit).await?)
    }

    async fn of(&self, scope: Scope, ids: &[Uuid]) -> Result<Vec<Intent>, StoreError> {
        Ok(self.intents_of(scope, ids).await?)
    }

    async fn homes_after(&self, after: Option<&str>, limit: u32) -> Result<Vec<Home>, StoreError> {
        Ok(self.service_accounts_after(after, limit).await?)
    }

    async fn homes_of(&self, ids: &[Uuid]) -> Result<Vec<Home>, StoreError> {
        Ok(self.service_accounts_of(ids).await?)
    }
}
