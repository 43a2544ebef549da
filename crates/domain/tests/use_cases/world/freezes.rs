//! Freezes as the store would keep them: changes are carried out on the row in memory, and kept.

use std::time::Duration;

use async_trait::async_trait;
use domain::audit::Draft;
use domain::ports::{ChangeFreezes, Expired, FreezeAnswer, Freezes, Shut, Unapplied};
use saga::{StoreError, Time};
use uuid::Uuid;

use super::World;

#[async_trait]
impl Freezes for World {
    async fn change(&self, new: ChangeFreezes) -> Result<FreezeAnswer, StoreError> {
        let mut workspace = self.workspaces.lock().unwrap()[&new.workspace_id].clone();
        workspace.freezes = new.change.on(&workspace.freezes, new.by, Time::from_micros(1));
        let run = new.run.id;
        self.freeze_changes.lock().unwrap().push(new);
        let shut = Shut { workspace, run: Some(run), backends: Vec::new(), changed: true };
        Ok(self.freeze_answer.lock().unwrap().clone().unwrap_or(FreezeAnswer::Done(Box::new(shut))))
    }

    async fn expired(&self, _: u32) -> Result<Expired, StoreError> {
        Ok(self.expired.lock().unwrap().clone())
    }

    async fn expire(&self, workspace: Uuid, audit: Draft) -> Result<bool, StoreError> {
        self.expired.lock().unwrap().due.retain(|(_, due)| *due != workspace);
        self.entries.lock().unwrap().push(audit);
        Ok(true)
    }

    async fn unapplied(&self, _: u32, _: Duration) -> Result<Unapplied, StoreError> {
        Ok(self.unapplied.lock().unwrap().clone())
    }

    /// Those that are due are begun again once.
    async fn apply_again(&self, workspace: Uuid, _: Duration) -> Result<bool, StoreError> {
        let mut unapplied = self.unapplied.lock().unwrap();
        let is_due = unapplied.due.contains(&workspace);
        unapplied.due.retain(|due| *due != workspace);
        Ok(is_due)
    }
}
