//! What a purged workspace leaves: its own row, blank, for its runs and its audit entries.

use domain::ids::bucket;
use saga::Time;
use uuid::Uuid;

use crate::db::{Error, Tx};

crate::statements! {
    PURGED = shared("select account_id, holds_quota from workspaces where bucket = $1 and id = $2 and status = 'purging'");
    DELETE_BACKEND_WORKSPACES = shared("delete from backend_workspaces where bucket = $1 and workspace_id = $2");
    DELETE_ENVIRONMENTS = shared("delete from environments where bucket = $1 and workspace_id = $2");
    DELETE_MEMBERSHIPS = shared("delete from memberships where bucket = $1 and scope = 'workspace' and scope_id = $2");
    DELETE_FREEZES = shared("delete from workspace_freezes where bucket = $1 and workspace_id = $2");
    // What a person called it; all else in an input are ids. The digest of a run's end is over its journal, where no name stands.
    FORGET_NAME = split(
        "update provisioning_runs set input = jsonb_set(input, '{name}', '\"\"')
         where bucket = $1 and workspace_id = $2 and input -> 'name' is not null",
        "update provisioning_runs set input = json_set(input, '$.name', '')
         where bucket = $1 and workspace_id = $2 and input -> '$.name' is not null",
    );
    // No change of a role follows these.
    SUPERSEDE = shared(
        "update membership_changes set superseded_at = $3
         where bucket = $1 and scope = 'workspace' and scope_id = $2 and superseded_at is null",
    );
    BLANK = shared(
        "update workspaces set name = '', folded_name = '', slug = '', labels = '{}', holds_quota = false, purged_at = $3,
           updated_at = $3, revision = revision + 1
         where bucket = $1 and id = $2",
    );
}

/// Under the workspace's lock. Returns the account whose quota is to be freed, if the workspace held any of it.
pub(super) async fn purge(tx: &mut Tx, workspace: Uuid, now: Time) -> Result<Option<Uuid>, Error> {
    let key = bucket(workspace);
    let row = tx.query(&PURGED).bind(key).bind(workspace).fetch_optional().await?;
    let row = row.ok_or_else(|| Error::Unfit(format!("workspace {workspace} is not being purged")))?;
    tx.query(&FORGET_NAME).bind(key).bind(workspace).execute().await?;
    tx.query(&SUPERSEDE).bind(key).bind(workspace).bind(now).execute().await?;
    for statement in [&DELETE_BACKEND_WORKSPACES, &DELETE_ENVIRONMENTS, &DELETE_MEMBERSHIPS, &super::DELETE_ALIASES, &DELETE_FREEZES] {
        tx.query(statement).bind(key).bind(workspace).execute().await?;
    }
    tx.query(&BLANK).bind(key).bind(workspace).bind(now).execute().await?;
    Ok(if row.get("holds_quota")? { Some(row.get("account_id")?) } else { None })
}
