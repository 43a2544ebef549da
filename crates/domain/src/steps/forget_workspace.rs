//! The end of `purge-workspace`: the rows of what was dropped go, with the names that people gave, and the workspace's own
//! row stays behind blank, for its runs and its audit entries. All in the commit that records the step.

use async_trait::async_trait;
use saga::{Attempt, Outcome, Step, UndoOutcome};
use serde_json::json;

use super::input::PurgeWorkspaceInput;
use crate::Change;

pub(super) struct ForgetWorkspace;

#[async_trait]
impl Step<Change> for ForgetWorkspace {
    fn action(&self) -> &'static str {
        "forget-workspace"
    }

    fn undo_action(&self) -> Option<&'static str> {
        None
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        match attempt.input::<PurgeWorkspaceInput>() {
            Ok(input) => Outcome::changed(json!({}), Change::PurgeWorkspace { workspace_id: input.workspace_id }),
            Err(fault) => Outcome::Failed(fault),
        }
    }

    /// Its saga only goes forward.
    async fn undo(&self, _attempt: &Attempt) -> UndoOutcome<Change> {
        UndoOutcome::Undone { change: None }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{self, attempt, ready};
    use super::*;

    #[test]
    fn it_asks_for_nothing_but_the_purge_of_the_row() {
        let input = fakes::purge_input();
        let attempt = attempt("forget-workspace", &serde_json::to_value(&input).unwrap());
        let Outcome::Succeeded { change, .. } = ready(ForgetWorkspace.run(&attempt)) else { panic!("not forgotten") };
        assert_eq!(change, Some(Change::PurgeWorkspace { workspace_id: input.workspace_id }));
        let wrong = fakes::attempt("forget-workspace", &json!({}));
        assert!(matches!(ready(ForgetWorkspace.run(&wrong)), Outcome::Failed(f) if !f.retryable));
    }
}
