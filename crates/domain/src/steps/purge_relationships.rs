//! Takes away every relationship on a workspace and its environments, whoever wrote it, and seals the grant that made them.
//!
//! Seals stay: a copy of a grant that is still under way must find the one of its own run.

use std::sync::Arc;

use async_trait::async_trait;
use saga::{Attempt, Fault, Outcome, Step, UndoOutcome};
use serde_json::json;

use super::faults::Stop;
use super::input::PurgeWorkspaceInput;
use crate::Change;
use crate::change::Subject;
use crate::permissions::{Cause, Filter, Object, Permissions, Relationship, UPDATES_MAX, Update};

const SEALED: &str = "sealed";

pub(super) struct PurgeRelationships {
    pub permissions: Arc<dyn Permissions>,
}

impl PurgeRelationships {
    /// All that is left on the workspace and its environments, but for seals.
    async fn left(&self, input: &PurgeWorkspaceInput) -> Result<Vec<Relationship>, Stop> {
        let objects = input.environments.iter().map(|e| Object::environment(e.id)).chain([Object::workspace(input.workspace_id)]);
        let mut left = Vec::new();
        for object in objects {
            let filter = Filter { resource_kind: object.kind, resource_id: Some(object.id), relation: None, subject: None };
            left.extend(self.permissions.read(&filter).await?);
        }
        left.retain(|r| r.relation != SEALED);
        Ok(left)
    }

    async fn purge(&self, attempt: &Attempt) -> Result<Outcome<Change>, Stop> {
        let input: PurgeWorkspaceInput = attempt.input()?;
        let seal = Relationship::new(Object::workspace(input.workspace_id), SEALED, Object::new("saga", input.made_by));
        let mut token = None;
        let mut purged = 0;
        loop {
            let left = self.left(&input).await?;
            if left.is_empty()
                && let Some(token) = token.take()
            {
                let change = Change::KeepPermissionsToken { subject: Subject::Workspace(input.workspace_id), token };
                return Ok(Outcome::changed(json!({ "relationships": purged }), change));
            }
            if attempt.cancelled.is_cancelled() {
                return Err(Stop::Unknown(Fault::new("cancelled", "The attempt was told to stop").retryable()));
            }
            // The seal is in the first write: from then on nothing that the workspace's run granted can come back.
            let batch = left.into_iter().take(UPDATES_MAX - 1).map(Update::Delete);
            let updates: Vec<_> = batch.chain([Update::Touch(seal.clone())]).collect();
            token = Some(self.permissions.write(&updates, &[], &Cause::of(attempt)).await?);
            purged += updates.len() - 1;
        }
    }
}

#[async_trait]
impl Step<Change> for PurgeRelationships {
    fn action(&self) -> &'static str {
        "purge-relationships"
    }

    fn undo_action(&self) -> Option<&'static str> {
        None
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        self.purge(attempt).await.unwrap_or_else(Into::into)
    }

    /// Its saga only goes forward.
    async fn undo(&self, _attempt: &Attempt) -> UndoOutcome<Change> {
        UndoOutcome::Undone { change: None }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::fakes::{self, Loss, attempt_of, ready};
    use super::super::write_relationships::WriteRelationships;
    use super::*;

    /// A granted workspace with members added later, and somebody else's.
    fn world(members: u128) -> (Arc<fakes::Permissions>, PurgeRelationships, Attempt) {
        let permissions = Arc::new(fakes::Permissions::default());
        let workspace = fakes::workspace_input();
        permissions.put(Relationship::new(Object::account(workspace.account_id), "platform", Object::platform()));
        permissions.put(Relationship::new(Object::workspace(Uuid::from_u128(0x12)), "owner", Object::new("user", Uuid::from_u128(1))));
        ready(grant(&permissions).run(&granting()));
        for n in 0..members {
            let user = Object::new("user", Uuid::from_u128(0x1000 + n));
            permissions.put(Relationship::new(Object::workspace(workspace.workspace_id), "viewer", user));
        }
        let attempt = attempt_of(9, "purge-relationships", &serde_json::to_value(fakes::purge_input()).unwrap());
        (permissions.clone(), PurgeRelationships { permissions }, attempt)
    }

    fn grant(permissions: &Arc<fakes::Permissions>) -> WriteRelationships {
        WriteRelationships { permissions: permissions.clone() }
    }

    fn granting() -> Attempt {
        let made_by = fakes::purge_input().made_by;
        attempt_of(made_by.0.as_u128(), "write-relationships", &serde_json::to_value(fakes::workspace_input()).unwrap())
    }

    #[test]
    fn nothing_of_the_workspace_is_left_however_many_there_were_and_others_keep_theirs() {
        for members in [0, 7, 2_500] {
            let (permissions, step, attempt) = world(members);
            for _ in 0..2 {
                let Outcome::Succeeded { change: Some(Change::KeepPermissionsToken { token, .. }), .. } = ready(step.run(&attempt)) else {
                    panic!("not purged")
                };
                assert_eq!(token, permissions.token());
                assert_eq!(permissions.without_seals().len(), 2, "the account's and the other workspace's");
            }
        }
    }

    #[test]
    fn a_grant_that_arrives_after_it_is_refused_for_good() {
        let (permissions, step, attempt) = world(1);
        ready(step.run(&attempt));
        assert!(matches!(ready(grant(&permissions).run(&granting())), Outcome::Failed(f) if f.r#type == "sealed" && !f.retryable));
        assert_eq!(permissions.without_seals().len(), 2);
    }

    #[test]
    fn a_lost_reply_is_unknown_and_running_again_ends_it() {
        let (permissions, step, attempt) = world(1_500);
        permissions.lose(Loss::Reply);
        assert!(matches!(ready(step.run(&attempt)), Outcome::Unknown(_)));
        assert!(permissions.without_seals().len() > 2, "the first of two batches");
        assert!(matches!(ready(step.run(&attempt)), Outcome::Succeeded { .. }));
        assert_eq!(permissions.without_seals().len(), 2);
    }

    #[test]
    fn an_attempt_that_is_told_to_stop_is_unknown() {
        let (permissions, step, attempt) = world(1);
        attempt.cancelled.cancel();
        assert!(matches!(ready(step.run(&attempt)), Outcome::Unknown(_)));
        assert!(permissions.without_seals().len() > 2);
    }
}
