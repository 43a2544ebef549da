//! The pivot of `create-account`: the account becomes `active` in the commit that records the step, and the workspace that it comes
//! with is accepted in the same one.

use async_trait::async_trait;
use saga::{Attempt, Outcome, Step, UndoOutcome};
use serde_json::json;

use super::input::CreateAccountInput;
use crate::Change;

pub(super) struct ActivateAccount;

#[async_trait]
impl Step<Change> for ActivateAccount {
    fn action(&self) -> &'static str {
        "activate-account"
    }

    fn undo_action(&self) -> Option<&'static str> {
        None
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        match attempt.input::<CreateAccountInput>() {
            Ok(input) => {
                let workspace = input.default_workspace.map(|wanted| Box::new(wanted.accepted()));
                let output = workspace
                    .as_ref()
                    .map_or_else(|| json!({}), |new| json!({ "workspace_id": new.id, "provisioning_run_id": new.run.id }));
                Outcome::changed(output, Change::ActivateAccount { account_id: input.account_id, workspace })
            }
            Err(fault) => Outcome::Failed(fault),
        }
    }

    /// A pivot that has not succeeded has changed nothing.
    async fn undo(&self, _attempt: &Attempt) -> UndoOutcome<Change> {
        UndoOutcome::Undone { change: None }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{self, attempt, ready};
    use super::*;

    #[test]
    fn it_asks_for_nothing_but_the_activation() {
        let input = fakes::account_input();
        let attempt = attempt("activate-account", &serde_json::to_value(&input).unwrap());
        let Outcome::Succeeded { change, .. } = ready(ActivateAccount.run(&attempt)) else { panic!("not activated") };
        assert_eq!(change, Some(Change::ActivateAccount { account_id: input.account_id, workspace: None }));
        assert!(matches!(ready(ActivateAccount.undo(&attempt)), UndoOutcome::Undone { change: None }));
    }
}
