//! Makes a workspace's environments. Its whole effect is in our database, so that it happens exactly once, with the
//! outcome that records it.

use async_trait::async_trait;
use saga::{Attempt, Outcome, Step, UndoOutcome};
use serde_json::json;

use super::input::CreateWorkspaceInput;
use crate::Change;
use crate::change::NewEnvironment;

pub(super) struct CreateEnvironments;

#[async_trait]
impl Step<Change> for CreateEnvironments {
    fn action(&self) -> &'static str {
        "create-environments"
    }

    fn undo_action(&self) -> Option<&'static str> {
        Some("delete-environments")
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        let input: CreateWorkspaceInput = match attempt.input() {
            Ok(input) => input,
            Err(fault) => return Outcome::Failed(fault),
        };
        let ids: Vec<_> = input.environments.iter().map(|e| e.id).collect();
        let environments = input.environments.iter().map(|e| NewEnvironment { id: e.id, name: e.name, is_default: e.is_default }).collect();
        Outcome::changed(json!({ "environment_ids": ids }), Change::InsertEnvironments { workspace_id: input.workspace_id, environments })
    }

    async fn undo(&self, attempt: &Attempt) -> UndoOutcome<Change> {
        match attempt.input::<CreateWorkspaceInput>() {
            Ok(input) => UndoOutcome::Undone { change: Some(Change::DeleteEnvironments { workspace_id: input.workspace_id }) },
            Err(fault) => UndoOutcome::Failed(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fakes::{self, attempt, ready};
    use super::*;

    #[test]
    fn it_asks_for_the_environments_of_the_input_and_its_undo_for_their_removal() {
        let input = fakes::workspace_input();
        let attempt = attempt("create-environments", &serde_json::to_value(&input).unwrap());
        for _ in 0..2 {
            let Outcome::Succeeded { change: Some(Change::InsertEnvironments { workspace_id, environments }), .. } =
                ready(CreateEnvironments.run(&attempt))
            else {
                panic!("no environments")
            };
            assert_eq!(workspace_id, input.workspace_id);
            assert_eq!(environments.iter().map(|e| e.id).collect::<Vec<_>>(), input.environments.iter().map(|e| e.id).collect::<Vec<_>>());
            assert_eq!(environments.iter().filter(|e| e.is_default).count(), 1);
        }
        for _ in 0..2 {
            let UndoOutcome::Undone { change } = ready(CreateEnvironments.undo(&attempt)) else { panic!("not undone") };
            assert_eq!(change, Some(Change::DeleteEnvironments { workspace_id: input.workspace_id }));
        }
    }

    #[test]
    fn an_input_of_another_shape_fails_for_good_both_ways() {
        let attempt = attempt("create-environments", &json!({ "workspace_id": "not an id" }));
        assert!(matches!(ready(CreateEnvironments.run(&attempt)), Outcome::Failed(f) if !f.retryable));
        assert!(matches!(ready(CreateEnvironments.undo(&attempt)), UndoOutcome::Failed(f) if !f.retryable));
    }
}
