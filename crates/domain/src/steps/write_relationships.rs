//! Grants a new workspace's relationships; its undo takes them away and seals the grant.

use std::sync::Arc;

use async_trait::async_trait;
use saga::{Attempt, Outcome, Step, UndoOutcome};
use serde_json::json;

use super::faults::Stop;
use super::grant::Grant;
use super::input::CreateWorkspaceInput;
use crate::Change;
use crate::change::Subject;
use crate::permissions::{Object, Permissions};

pub(super) struct WriteRelationships {
    pub permissions: Arc<dyn Permissions>,
}

fn grant(attempt: &Attempt) -> Result<(Grant<'_>, Subject), Stop> {
    let input: CreateWorkspaceInput = attempt.input()?;
    let grant = Grant {
        attempt,
        on: Object::workspace(input.workspace_id),
        relationships: input.relationships(),
        within: Some(Object::account(input.account_id)),
    };
    Ok((grant, Subject::Workspace(input.workspace_id)))
}

impl WriteRelationships {
    async fn write(&self, attempt: &Attempt) -> Result<Outcome<Change>, Stop> {
        let (grant, subject) = grant(attempt)?;
        let token = grant.write(&*self.permissions).await?;
        Ok(Outcome::changed(json!({}), Change::KeepPermissionsToken { subject, token }))
    }

    async fn delete(&self, attempt: &Attempt) -> Result<UndoOutcome<Change>, Stop> {
        let (grant, subject) = grant(attempt)?;
        let token = grant.revoke(&*self.permissions).await?;
        Ok(UndoOutcome::Undone { change: token.map(|token| Change::KeepPermissionsToken { subject, token }) })
    }
}

#[async_trait]
impl Step<Change> for WriteRelationships {
    fn action(&self) -> &'static str {
        "write-relationships"
    }

    fn undo_action(&self) -> Option<&'static str> {
        Some("delete-relationships")
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        self.write(attempt).await.unwrap_or_else(Into::into)
    }

    async fn undo(&self, attempt: &Attempt) -> UndoOutcome<Change> {
        self.delete(attempt).await.unwrap_or_else(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{self, Loss, attempt, attempt_of, ready};
    use super::*;
    use crate::permissions::Relationship;

    fn world() -> (Arc<fakes::Permissions>, WriteRelationships) {
        let permissions = Arc::new(fakes::Permissions::default());
        permissions.put(Relationship::new(Object::account(fakes::workspace_input().account_id), "platform", Object::platform()));
        (permissions.clone(), WriteRelationships { permissions })
    }

    fn input() -> serde_json::Value {
        serde_json::to_value(fakes::workspace_input()).unwrap()
    }

    fn refusal(outcome: Outcome<Change>) -> (String, bool) {
        match outcome {
            Outcome::Failed(fault) => (fault.r#type, fault.retryable),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn running_twice_grants_once_and_keeps_the_token_with_the_outcome() {
        let (permissions, step) = world();
        let before = permissions.relationships();
        for _ in 0..2 {
            let Outcome::Succeeded { change: Some(Change::KeepPermissionsToken { subject, token }), .. } =
                ready(step.run(&attempt("write-relationships", &input())))
            else {
                panic!("not granted")
            };
            assert_eq!(subject, Subject::Workspace(fakes::workspace_input().workspace_id));
            assert_eq!(token, permissions.token());
        }
        let mut wanted = [before, fakes::workspace_input().relationships()].concat();
        wanted.sort();
        assert_eq!(permissions.relationships(), wanted);
    }

    #[test]
    fn undoing_twice_leaves_what_was_there_before_and_one_seal() {
        let (permissions, step) = world();
        let before = permissions.relationships();
        let attempt = attempt("write-relationships", &input());
        ready(step.run(&attempt));
        assert!(matches!(ready(step.undo(&attempt)), UndoOutcome::Undone { change: Some(Change::KeepPermissionsToken { .. }) }));
        assert!(matches!(ready(step.undo(&attempt)), UndoOutcome::Undone { change: None }));
        assert_eq!(permissions.without_seals(), before);
        assert_eq!(permissions.relationships().len(), before.len() + 1);
    }

    #[test]
    fn a_grant_that_arrives_after_its_undo_is_refused_for_good() {
        let (permissions, step) = world();
        let before = permissions.relationships();
        let attempt = attempt("write-relationships", &input());
        assert!(matches!(ready(step.undo(&attempt)), UndoOutcome::Undone { .. }), "never granted, and yet to be undone");
        assert_eq!(refusal(ready(step.run(&attempt))), ("sealed".to_owned(), false));
        assert_eq!(permissions.without_seals(), before);
    }

    #[test]
    fn a_late_copy_of_the_undo_leaves_a_retried_runs_grant_alone() {
        let (permissions, step) = world();
        let (first, second) = (attempt_of(1, "write-relationships", &input()), attempt_of(2, "write-relationships", &input()));
        ready(step.run(&first));
        ready(step.undo(&first));
        assert!(matches!(ready(step.run(&second)), Outcome::Succeeded { .. }), "the seal is the first run's only");
        let granted = permissions.relationships();
        assert!(matches!(ready(step.undo(&first)), UndoOutcome::Undone { change: None }));
        assert_eq!(permissions.relationships(), granted);
    }

    #[test]
    fn an_account_without_tuples_of_its_own_gets_no_workspace() {
        let step = WriteRelationships { permissions: Arc::new(fakes::Permissions::default()) };
        assert_eq!(refusal(ready(step.run(&attempt("write-relationships", &input())))), ("account_not_ready".to_owned(), false));
    }

    #[test]
    fn a_lost_reply_is_unknown_and_a_lost_request_a_failure_worth_another_try() {
        let (permissions, step) = world();
        let attempt = attempt("write-relationships", &input());
        permissions.lose(Loss::Reply);
        assert!(matches!(ready(step.run(&attempt)), Outcome::Unknown(_)));
        permissions.lose(Loss::Request);
        assert_eq!(refusal(ready(step.run(&attempt))), ("permissions_unavailable".to_owned(), true));
        permissions.lose(Loss::Reply);
        assert!(matches!(ready(step.undo(&attempt)), UndoOutcome::Failed(f) if f.retryable));
        assert!(matches!(ready(step.undo(&attempt)), UndoOutcome::Undone { change: None }), "the first undo had been applied");
    }
}
