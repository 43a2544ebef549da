//! The rows that a batch's changes insert, delete and update: one statement for each kind, whoever asks.

use domain::Change;
use domain::change::{NewEnvironment, Subject};
use saga::{RunId, Time};
use uuid::Uuid;

use super::ended::Ended;
use crate::db::{Columns, Error, Tx};

crate::statements! {
    INSERT_ENVIRONMENTS = split(
        "insert into environments (bucket, workspace_id, id, name, is_default, status, created_at)
         select k.*, 'provisioning', $1
         from unnest($2::smallint[], $3::uuid[], $4::uuid[], $5::text[], $6::boolean[]) as k(bucket, workspace_id, id, name, is_default)",
        "insert into environments (bucket, workspace_id, id, name, is_default, status, created_at)
         select value->>0, unhex(value->>1), unhex(value->>2), value->>3, value->>4, 'provisioning', $1 from json_each($2)",
    );
    INSERT_BACKEND_WORKSPACES = split(
        "insert into backend_workspaces (bucket, id, workspace_id, environment_id, backend, locator, created_at, login_open, login_revision)
         select k.*, $1, true, 0
         from unnest($2::smallint[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[])
           as k(bucket, id, workspace_id, environment_id, backend, locator)",
        "insert into backend_workspaces (bucket, id, workspace_id, environment_id, backend, locator, created_at, login_open, login_revision)
         select value->>0, unhex(value->>1), unhex(value->>2), unhex(value->>3), value->>4, value->>5, $1, true, 0 from json_each($2)",
    );
    DELETE_BACKEND_WORKSPACES = split(
        "delete from backend_workspaces b using unnest($1::smallint[], $2::uuid[]) as k(bucket, id) where b.bucket = k.bucket and b.id = k.id",
        "delete from backend_workspaces where (bucket, id) in (select value->>0, unhex(value->>1) from json_each($1))",
    );
    // An undo that a person skipped has left the row of what that person took away.
    EMPTY_ENVIRONMENTS = split(
        "delete from backend_workspaces b using unnest($1::smallint[], $2::uuid[]) as k(bucket, id)
         where b.bucket = k.bucket and b.workspace_id = k.id",
        "delete from backend_workspaces where (bucket, workspace_id) in (select value->>0, unhex(value->>1) from json_each($1))",
    );
    DELETE_ENVIRONMENTS = split(
        "delete from environments e using unnest($1::smallint[], $2::uuid[]) as k(bucket, id)
         where e.bucket = k.bucket and e.workspace_id = k.id",
        "delete from environments where (bucket, workspace_id) in (select value->>0, unhex(value->>1) from json_each($1))",
    );
    KEEP_TOKENS = split(
        "update workspaces w set permissions_token = k.token, updated_at = $1, revision = w.revision + 1
         from unnest($2::smallint[], $3::uuid[], $4::text[]) as k(bucket, id, token) where w.bucket = k.bucket and w.id = k.id",
        "update workspaces set permissions_token = k.value->>2, updated_at = $1, revision = revision + 1
         from json_each($2) k where bucket = k.value->>0 and workspaces.id = unhex(k.value->>1)",
    );
    // `case`: with a plain condition a plan that was made for a few workspaces goes through the whole index of live ones.
    ACTIVATE = split(
        "update workspaces w set status = 'active', updated_at = $1, revision = w.revision + 1
         from unnest($2::smallint[], $3::uuid[]) as k(bucket, id)
         where w.bucket = k.bucket and w.id = k.id and case when w.status = 'provisioning' then true else false end",
        "update workspaces set status = 'active', updated_at = $1, revision = revision + 1
         from json_each($2) k where bucket = k.value->>0 and workspaces.id = unhex(k.value->>1) and status = 'provisioning'",
    );
    ACTIVATE_ENVIRONMENTS = split(
        "update environments e set status = 'active' from unnest($1::smallint[], $2::uuid[]) as k(bucket, id)
         where e.bucket = k.bucket and e.workspace_id = k.id",
        "update environments set status = 'active' where (bucket, workspace_id) in
           (select value->>0, unhex(value->>1) from json_each($1))",
    );
}

struct NewBackendWorkspace<'a> {
    id: Uuid,
    workspace_id: Uuid,
    environment_id: Uuid,
    backend: &'a str,
    locator: &'a str,
}

/// A batch's changes, by kind.
#[derive(Default)]
pub(super) struct Rows<'a> {
    environments: Vec<(Uuid, &'a NewEnvironment)>,
    backend_workspaces: Vec<NewBackendWorkspace<'a>>,
    dropped: Vec<Uuid>,
    emptied: Vec<Uuid>,
    tokens: Vec<(Uuid, &'a str)>,
    activated: Vec<Uuid>,
    pub ended: Vec<Ended>,
}

/// The change is one of those that [`Rows`] takes.
pub(crate) fn is_of_many(change: &Change) -> bool {
    match change {
        Change::InsertEnvironments { .. }
        | Change::DeleteEnvironments { .. }
        | Change::InsertBackendWorkspace { .. }
        | Change::DeleteBackendWorkspace { .. }
        | Change::KeepPermissionsToken { subject: Subject::Workspace(_), .. }
        | Change::ActivateWorkspace { .. }
        | Change::RunEnded { .. } => true,
        Change::KeepPermissionsToken { subject: Subject::Account(_), .. }
        | Change::ActivateAccount { .. }
        | Change::FreezesApplied { .. }
        | Change::PurgeWorkspace { .. } => false,
    }
}

impl<'a> Rows<'a> {
    /// Takes what `run` asks for; gives back what is none of these kinds.
    pub fn add(&mut self, run: RunId, change: &'a Change) -> Result<Option<&'a Change>, Error> {
        match change {
            Change::InsertEnvironments { workspace_id, environments } => {
                self.environments.extend(environments.iter().map(|environment| (*workspace_id, environment)));
            }
            Change::DeleteEnvironments { workspace_id } => self.emptied.push(*workspace_id),
            Change::InsertBackendWorkspace { id, workspace_id, environment_id, backend, locator } => {
                let (id, workspace_id, environment_id) = (*id, *workspace_id, *environment_id);
                self.backend_workspaces.push(NewBackendWorkspace { id, workspace_id, environment_id, backend, locator });
            }
            Change::DeleteBackendWorkspace { id } => self.dropped.push(*id),
            Change::KeepPermissionsToken { subject: Subject::Workspace(id), token } => self.tokens.push((*id, token)),
            Change::ActivateWorkspace { workspace_id } => self.activated.push(*workspace_id),
            Change::RunEnded { run: ended, subject, ending } if *ended == run => self.ended.push((run, *subject, *ending)),
            Change::RunEnded { run: ended, .. } => return Err(Error::Unfit(format!("run {run} may not end run {ended}"))),
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    pub async fn write(&self, tx: &mut Tx, now: Time) -> Result<(), Error> {
        self.insert(tx, now).await?;
        self.delete(tx).await?;
        self.update(tx, now).await
    }

    async fn insert(&self, tx: &mut Tx, now: Time) -> Result<(), Error> {
        if !self.environments.is_empty() {
            let each = || self.environments.iter();
            let columns = Columns::default()
                .keys(each().map(|(workspace, _)| *workspace))
                .ids(each().map(|(_, environment)| environment.id))
                .texts(each().map(|(_, environment)| environment.name.as_str().to_owned()))
                .flags(each().map(|(_, environment)| environment.is_default));
            tx.query(&INSERT_ENVIRONMENTS).bind(now).bind(columns).execute().await?;
        }
        if !self.backend_workspaces.is_empty() {
            let each = || self.backend_workspaces.iter();
            let columns = Columns::default()
                .keys(each().map(|new| new.id))
                .ids(each().map(|new| new.workspace_id))
                .ids(each().map(|new| new.environment_id))
                .texts(each().map(|new| new.backend.to_owned()))
                .texts(each().map(|new| new.locator.to_owned()));
            tx.query(&INSERT_BACKEND_WORKSPACES).bind(now).bind(columns).execute().await?;
        }
        Ok(())
    }

    async fn delete(&self, tx: &mut Tx) -> Result<(), Error> {
        if !self.dropped.is_empty() {
            tx.query(&DELETE_BACKEND_WORKSPACES).bind(keys(&self.dropped)).execute().await?;
        }
        if !self.emptied.is_empty() {
            tx.query(&EMPTY_ENVIRONMENTS).bind(keys(&self.emptied)).execute().await?;
            tx.query(&DELETE_ENVIRONMENTS).bind(keys(&self.emptied)).execute().await?;
        }
        Ok(())
    }

    async fn update(&self, tx: &mut Tx, now: Time) -> Result<(), Error> {
        if !self.tokens.is_empty() {
            let wanted: Vec<Uuid> = self.tokens.iter().map(|(workspace, _)| *workspace).collect();
            let columns = keys(&wanted).texts(self.tokens.iter().map(|(_, token)| (*token).to_owned()));
            all(tx.query(&KEEP_TOKENS).bind(now).bind(columns).execute().await?, &wanted, "to keep a token")?;
        }
        if !self.activated.is_empty() {
            let activated = tx.query(&ACTIVATE).bind(now).bind(keys(&self.activated)).execute().await?;
            all(activated, &self.activated, "to be activated")?;
            tx.query(&ACTIVATE_ENVIRONMENTS).bind(keys(&self.activated)).execute().await?;
        }
        Ok(())
    }
}

fn keys(ids: &[Uuid]) -> Columns {
    Columns::default().keys(ids.iter().copied())
}

/// A change that finds nothing is refused; of a batch whose it was is seen when each stands alone.
fn all(rows: u64, wanted: &[Uuid], what: &str) -> Result<(), Error> {
    if rows == wanted.len() as u64 {
        Ok(())
    } else {
        Err(Error::Unfit(format!("not each of these workspaces is there {what}: {wanted:?}")))
    }
}
