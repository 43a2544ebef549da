//! Proves that a new account's creator can administer it before it is called active. It only reads.

use std::sync::Arc;

use async_trait::async_trait;
use saga::{Attempt, Outcome, Step, UndoOutcome};
use serde_json::json;

use super::faults::Stop;
use super::input::CreateAccountInput;
use super::verify_access::all_hold;
use crate::Change;
use crate::permissions::{Check, Object, Permissions};

pub(super) struct VerifyAccountAccess {
    pub permissions: Arc<dyn Permissions>,
}

impl VerifyAccountAccess {
    async fn verify(&self, attempt: &Attempt) -> Result<(), Stop> {
        let input: CreateAccountInput = attempt.input()?;
        let check =
            Check { resource: Object::account(input.account_id), permission: "administer".to_owned(), subject: input.creator.into() };
        all_hold(&*self.permissions, attempt, &[check]).await
    }
}

#[async_trait]
impl Step<Change> for VerifyAccountAccess {
    fn action(&self) -> &'static str {
        "verify-account-access"
    }

    fn undo_action(&self) -> Option<&'static str> {
        None
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        match self.verify(attempt).await {
            Ok(()) => Outcome::done(json!({})),
            Err(stop) => stop.into(),
        }
    }

    async fn undo(&self, _attempt: &Attempt) -> UndoOutcome<Change> {
        UndoOutcome::Undone { change: None }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{self, attempt, ready};
    use super::*;

    #[test]
    fn it_succeeds_only_where_the_creator_administers_the_account() {
        let permissions = Arc::new(fakes::Permissions::default());
        let step = VerifyAccountAccess { permissions: permissions.clone() };
        let input = fakes::account_input();
        let attempt = attempt("verify-account-access", &serde_json::to_value(&input).unwrap());
        assert!(matches!(ready(step.run(&attempt)), Outcome::Failed(f) if f.r#type == "access_not_granted"));
        permissions.allow(Object::account(input.account_id), "administer", input.creator.into());
        assert!(matches!(ready(step.run(&attempt)), Outcome::Succeeded { change: None, .. }));
    }
}
