//! The gate of a workspace: which freezes shut it, read in the very transaction of what they would stop, so that each
//! mutation is wholly before or wholly after a freeze.

use std::collections::HashMap;

use domain::ids::bucket;
use domain::model::{Freeze, FreezeMode, FreezeSource};
use uuid::Uuid;

use crate::db::{Error, Keys, Rank, Row, Tx};
use crate::words;

crate::statements! {
    // A freeze changes the row, and so waits for whoever is passing.
    PASS = split(
        "select freeze_revision from workspaces where bucket = $1 and id = $2 for share",
        "select freeze_revision from workspaces where bucket = $1 and id = $2",
    );
    IN_FORCE = split(
        "select f.workspace_id, f.source, f.mode, f.reason_code, f.note, f.created_by_kind, f.created_by_id, f.created_at, f.expires_at
         from workspace_freezes f join jsonb_to_recordset($1) as k(bucket smallint, id uuid) on k.bucket = f.bucket and k.id = f.workspace_id
         where f.expires_at is null or f.expires_at > $2 order by f.workspace_id, f.source",
        "select f.workspace_id, f.source, f.mode, f.reason_code, f.note, f.created_by_kind, f.created_by_id, f.created_at, f.expires_at
         from json_each($1) k join workspace_freezes f on f.bucket = k.value->>'bucket' and f.workspace_id = unhex(k.value->>'id')
         where f.expires_at is null or f.expires_at > $2 order by f.workspace_id, f.source",
    );
}

/// The freezes that shut the workspace, none if the caller may go on: no freeze can commit before this transaction has.
pub(crate) async fn pass(tx: &mut Tx, workspace: Uuid) -> Result<Vec<Freeze>, Error> {
    tx.locks(Rank::Subject);
    let row = tx.query(&PASS).bind(bucket(workspace)).bind(workspace).fetch_optional().await?;
    let row = row.ok_or_else(|| Error::broken(format!("there is no workspace {workspace}")))?;
    if row.get::<i64>("freeze_revision")? == 0 {
        return Ok(Vec::new());
    }
    Ok(in_force(tx, &[workspace]).await?.remove(&workspace).unwrap_or_default())
}

/// The freezes in force of each workspace that has any, by source.
pub(crate) async fn in_force(tx: &mut Tx, workspaces: &[Uuid]) -> Result<HashMap<Uuid, Vec<Freeze>>, Error> {
    let now = tx.now().await?;
    let rows = tx.query(&IN_FORCE).bind(Keys::new(workspaces.iter().copied())).bind(now).fetch_all().await?;
    let mut found: HashMap<Uuid, Vec<Freeze>> = HashMap::new();
    for row in &rows {
        found.entry(row.get("workspace_id")?).or_default().push(freeze(row)?);
    }
    Ok(found)
}

pub(crate) fn freeze(row: &Row) -> Result<Freeze, Error> {
    Ok(Freeze {
        source: row.word("source", FreezeSource::parse)?,
        mode: row.word("mode", FreezeMode::parse)?,
        code: row.get("reason_code")?,
        note: row.get("note")?,
        created_by: words::principal(row, "created_by")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
    })
}
