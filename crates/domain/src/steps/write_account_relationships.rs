//! Grants a new account's relationships, without which not even its creator can see it; its undo takes them away and
//! seals the grant.

use std::sync::Arc;

use async_trait::async_trait;
use saga::{Attempt, Outcome, Step, UndoOutcome};
use serde_json::json;

use super::faults::Stop;
use super::grant::Grant;
use super::input::CreateAccountInput;
use crate::Change;
use crate::change::Subject;
use crate::permissions::{Object, Permissions};

pub(super) struct WriteAccountRelationships {
    pub permissions: Arc<dyn Permissions>,
}

fn grant(attempt: &Attempt) -> Result<(Grant<'_>, Subject), Stop> {
    let input: CreateAccountInput = attempt.input()?;
    let grant = Grant { attempt, on: Object::account(input.account_id), relationships: input.relationships(), within: None };
    Ok((grant, Subject::Account(input.account_id)))
}

impl WriteAccountRelationships {
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
impl Step<Change> for WriteAccountRelationships {
    fn action(&self) -> &'static str {
        "write-account-relationships"
    }

    fn undo_action(&self) -> Option<&'static str> {
        Some("delete-account-relationships")
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
    use super::super::fakes::{self, attempt, attempt_of, ready};
    use super::*;

    fn world() -> (Arc<fakes::Permissions>, WriteAccountRelationships, serde_json::Value) {
        let permissions = Arc::new(fakes::Permissions::default());
        let input = serde_json::to_value(fakes::account_input()).unwrap();
        (permissions.clone(), WriteAccountRelationships { permissions }, input)
    }

    #[test]
    fn run_and_undo_may_each_come_twice() {
        let (permissions, step, input) = world();
        let attempt = attempt("write-account-relationships", &input);
        for _ in 0..2 {
            let Outcome::Succeeded { change: Some(Change::KeepPermissionsToken { subject, token }), .. } = ready(step.run(&attempt)) else {
                panic!("not granted")
            };
            assert_eq!((subject, token), (Subject::Account(fakes::account_input().account_id), permissions.token()));
        }
        let mut wanted = fakes::account_input().relationships();
        wanted.sort();
        assert_eq!(permissions.relationships(), wanted);
        for _ in 0..2 {
            assert!(matches!(ready(step.undo(&attempt)), UndoOutcome::Undone { .. }));
        }
        assert_eq!(permissions.without_seals(), []);
    }

    #[test]
    fn a_late_grant_is_refused_and_a_late_undo_leaves_a_retried_runs_grant_alone() {
        let (permissions, step, input) = world();
        let (first, second) = (attempt_of(1, "write-account-relationships", &input), attempt_of(2, "write-account-relationships", &input));
        assert!(matches!(ready(step.undo(&first)), UndoOutcome::Undone { .. }));
        assert!(matches!(ready(step.run(&first)), Outcome::Failed(f) if f.r#type == "sealed" && !f.retryable));
        assert!(matches!(ready(step.run(&second)), Outcome::Succeeded { .. }));
        let granted = permissions.relationships();
        assert!(matches!(ready(step.undo(&first)), UndoOutcome::Undone { change: None }));
        assert_eq!(permissions.relationships(), granted);
    }
}
