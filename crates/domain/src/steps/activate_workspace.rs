//! The pivot of `create-workspace`: the workspace and its environments become `active` in the commit that records the step.

use async_trait::async_trait;
use saga::{Attempt, Outcome, Step, UndoOutcome};
use serde_json::json;

use super::input::CreateWorkspaceInput;
use crate::Change;

pub(super) struct ActivateWorkspace;

#[async_trait]
impl Step<Change> for ActivateWorkspace {
    fn action(&self) -> &'static str {
        "activate-workspace"
    }

    fn undo_action(&self) -> Option<&'static str> {
        None
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        match attempt.input::<CreateWorkspaceInput>() {
            Ok(input) => Outcome::changed(json!({}), Change::ActivateWorkspace { workspace_id: input.workspace_id }),
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
        let input = fakes::workspace_input();
        let attempt = attempt("activate-workspace", &serde_json::to_value(&input).unwrap());
        let Outcome::Succeeded { change, .. } = ready(ActivateWorkspace.run(&attempt)) else { panic!("not activated") };
        assert_eq!(change, Some(Change::ActivateWorkspace { workspace_id: input.workspace_id }));
        assert!(matches!(ready(ActivateWorkspace.undo(&attempt)), UndoOutcome::Undone { change: None }));
    }
}
