//! Edits of a workspace under its lock, and its names.

use async_trait::async_trait;
use domain::audit::Draft;
use domain::ids::bucket;
use domain::model::WorkspaceStatus;
use domain::ports::{EditAnswer, EditWorkspace, Edits, Named};
use saga::StoreError;
use serde_json::json;
use uuid::Uuid;

use crate::db::Error;
use crate::workspaces::{fill_alias, read};
use crate::{Store, audit, heads};

crate::statements! {
    EDIT = shared(
        "update workspaces set name = $3, folded_name = $4, labels = $5, termination_protection = $6, updated_at = $7, revision = revision + 1
         where bucket = $1 and id = $2",
    );
    RELABEL = shared(
        "update workspaces set labels = $3, termination_protection = $4, updated_at = $5, revision = revision + 1 where bucket = $1 and id = $2",
    );
}

impl Store {
    async fn edit_workspace(&self, new: &EditWorkspace) -> Result<EditAnswer, Error> {
        let mut tx = self.db.write().await?;
        let workspace = read::lock(&mut tx, new.workspace_id).await?;
        let Some(workspace) = workspace.filter(|workspace| workspace.purged_at.is_none()) else { return Ok(EditAnswer::Gone) };
        if !new.if_match.as_ref().is_none_or(|wanted| wanted.takes(workspace.revision)) {
            return Ok(EditAnswer::OtherRevision { revision: workspace.revision });
        }
        if !workspace.freezes.is_empty() {
            return Ok(EditAnswer::Frozen(workspace.freezes));
        }
        let edited = match new.edit.of(&workspace) {
            Ok(edited) if edited.after.is_empty() => return Ok(EditAnswer::Done(Box::new(workspace))),
            Ok(edited) => edited,
            Err(invalid) => return Ok(EditAnswer::Invalid(invalid)),
        };
        let mut head = heads::lock_known(&mut tx, workspace.account_id).await?;
        let now = tx.now().await?;
        let mut workspace = edited.workspace;
        let (key, labels) = (bucket(workspace.id), json!(workspace.labels));
        if let Some(name) = &new.edit.name {
            let folded = name.folded();
            let query = tx.query(&EDIT).bind(key).bind(workspace.id).bind(name.as_str()).bind(folded.as_str());
            query.bind(labels).bind(workspace.termination_protection).bind(now).execute().await?;
            // A failed one gives its names up; a retry takes the last one again.
            if workspace.status != WorkspaceStatus::Failed {
                fill_alias(&mut tx, workspace.account_id, &folded, workspace.id, now).await?;
            }
        } else {
            let query = tx.query(&RELABEL).bind(key).bind(workspace.id).bind(labels);
            query.bind(workspace.termination_protection).bind(now).execute().await?;
        }
        let entry = Draft { before: Some(edited.before.into()), after: Some(edited.after.into()), ..new.audit.clone() };
        audit::append(&mut tx, &mut head, &entry).await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await?;
        workspace.revision += 1;
        workspace.updated_at = now;
        Ok(EditAnswer::Done(Box::new(workspace)))
    }
}

#[async_trait]
impl Edits for Store {
    async fn edit(&self, new: EditWorkspace) -> Result<EditAnswer, StoreError> {
        Ok(self.db.attempt(|| self.edit_workspace(&new)).await?)
    }

    async fn by_name(&self, account: Uuid, folded_name: &str) -> Result<Named, StoreError> {
        Ok(self.workspaces_named(account, folded_name).await?)
    }
}
