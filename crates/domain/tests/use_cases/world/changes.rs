//! Edits and deletions as the store would answer them; what was asked is kept.

use std::time::Duration;

use async_trait::async_trait;
use domain::ports::*;
use saga::StoreError;
use uuid::Uuid;

use super::World;

#[async_trait]
impl Deletions for World {
    async fn delete(&self, new: DeleteWorkspace) -> Result<DeleteAnswer, StoreError> {
        let workspace = self.workspaces.lock().unwrap()[&new.workspace_id].clone();
        let ended = Ended { workspace, apply: Some(new.run.id) };
        self.deletes.lock().unwrap().push(new);
        Ok(self.delete_answer.lock().unwrap().clone().unwrap_or(DeleteAnswer::Deleted(Box::new(ended))))
    }

    async fn restore(&self, new: RestoreWorkspace) -> Result<Written<RestoreAnswer>, StoreError> {
        let workspace = self.workspaces.lock().unwrap()[&new.workspace_id].clone();
        let ended = Ended { workspace, apply: Some(new.run.id) };
        self.restores.lock().unwrap().push(new);
        Ok(Written::Done(self.restore_answer.lock().unwrap().clone().unwrap_or(RestoreAnswer::Restored(Box::new(ended)))))
    }

    async fn to_purge(&self, _: u32, _: Duration) -> Result<ToPurge, StoreError> {
        Ok(self.to_purge.lock().unwrap().clone())
    }

    async fn purge(&self, new: StartPurge) -> Result<bool, StoreError> {
        self.purges.lock().unwrap().push(new);
        Ok(true)
    }
}

#[async_trait]
impl Edits for World {
    async fn edit(&self, new: EditWorkspace) -> Result<EditAnswer, StoreError> {
        let before = self.workspaces.lock().unwrap().get(&new.workspace_id).cloned().unwrap();
        let answer = self.edit_answer.lock().unwrap().clone();
        let edited = new.edit.of(&before).map(|edited| EditAnswer::Done(Box::new(edited.workspace)));
        self.edits.lock().unwrap().push(new);
        Ok(answer.unwrap_or(edited.unwrap()))
    }

    async fn by_name(&self, _: Uuid, _: &str) -> Result<Named, StoreError> {
        Ok(self.named.lock().unwrap().clone())
    }
}
