//! What `apply-freezes` reads, and what it leaves in the rows once it is carried out.

use async_trait::async_trait;
use domain::ids::bucket;
use domain::ports::{FreezeSet, FreezeSets};
use domain::steps::input::CreateWorkspaceInput;
use saga::{RunId, StoreError};
use uuid::Uuid;

use crate::db::{Error, Keys, Tx};
use crate::{Store, gates};

crate::statements! {
    SET = shared(
        "select w.freeze_revision, w.made_by, r.input from workspaces w
         join provisioning_runs r on r.bucket = w.bucket and r.id = w.made_by
         where w.bucket = $1 and w.id = $2 and w.purged_at is null",
    );
    // Whoever looks at the row for changes of it, such as an `If-Match`, is not disturbed.
    CARRIED = shared("update workspaces set freeze_applied = $3 where bucket = $1 and id = $2 and freeze_revision = $3");
    LOGINS = split(
        "update backend_workspaces b set login_open = $2, login_revision = $3 from jsonb_to_recordset($1) as k(bucket smallint, id uuid)
         where b.bucket = k.bucket and b.id = k.id",
        "update backend_workspaces set login_open = $2, login_revision = $3
         where (bucket, id) in (select value->>'bucket', unhex(value->>'id') from json_each($1))",
    );
}

/// Under the workspace's lock.
pub(super) async fn carried(tx: &mut Tx, workspace: Uuid, revision: i64, open: bool, backends: &[Uuid]) -> Result<(), Error> {
    if tx.query(&CARRIED).bind(bucket(workspace)).bind(workspace).bind(revision).execute().await? == 0 {
        return Err(Error::Stale(format!("the workspace's freezes are not those of revision {revision} any more")));
    }
    tx.query(&LOGINS).bind(Keys::new(backends.iter().copied())).bind(open).bind(revision).execute().await?;
    Ok(())
}

impl Store {
    async fn freeze_set(&self, workspace: Uuid) -> Result<Option<FreezeSet>, Error> {
        let mut tx = self.db.read().await?;
        let Some(row) = tx.query(&SET).bind(bucket(workspace)).bind(workspace).fetch_optional().await? else { return Ok(None) };
        let made_with: CreateWorkspaceInput = row.json("input")?;
        Ok(Some(FreezeSet {
            revision: row.get("freeze_revision")?,
            open: gates::in_force(&mut tx, &[workspace]).await?.is_empty(),
            backends: made_with.backends(RunId(row.get("made_by")?)),
        }))
    }
}

#[async_trait]
impl FreezeSets for Store {
    async fn current(&self, workspace: Uuid) -> Result<Option<FreezeSet>, StoreError> {
        Ok(self.freeze_set(workspace).await?)
    }
}
