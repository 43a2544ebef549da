//! Drops one environment's backend workspace for good, and its row with it: the same as the undo of what made it.

use std::sync::Arc;

use async_trait::async_trait;
use saga::{Attempt, Fault, Outcome, Step, UndoOutcome};
use serde::Deserialize;
use serde_json::{Value, json};

use super::create_backend_workspace::backend_of;
use super::faults::Stop;
use super::input::PurgeWorkspaceInput;
use crate::Change;
use crate::model::EnvironmentName;
use crate::ports::{BackendSpec, Backends};

pub(super) struct PurgeBackendWorkspace {
    pub backends: Arc<dyn Backends>,
}

/// `with: { environment: dev }`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct With {
    environment: EnvironmentName,
}

impl PurgeBackendWorkspace {
    async fn drop(&self, attempt: &Attempt) -> Result<Outcome<Change>, Stop> {
        let input: PurgeWorkspaceInput = attempt.input()?;
        let With { environment } = attempt.with()?;
        let wanted = input.environments.iter().find(|e| e.name == environment).ok_or_else(|| {
            Fault::new("step_input_invalid", "The run's input does not fit this step")
                .detail(format!("It has no environment `{}`.", environment.as_str()))
        })?;
        let spec = BackendSpec {
            id: wanted.backend_workspace_id,
            workspace_id: input.workspace_id,
            environment_id: wanted.id,
            environment,
            region: input.region.clone(),
            // The mark that it bears: what another run made is left alone.
            run: input.made_by,
            key: attempt.key(),
        };
        (*self.backends).drop(&spec, &attempt.cancelled).await?;
        Ok(Outcome::changed(json!({ "backend_workspace_id": spec.id }), Change::DeleteBackendWorkspace { id: spec.id }))
    }
}

#[async_trait]
impl Step<Change> for PurgeBackendWorkspace {
    fn action(&self) -> &'static str {
        "purge-backend-workspace"
    }

    fn undo_action(&self) -> Option<&'static str> {
        None
    }

    fn draws_on(&self, input: &Value, _: &Value) -> Option<String> {
        backend_of(&*self.backends, input)
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        self.drop(attempt).await.unwrap_or_else(Into::into)
    }

    /// Its saga only goes forward.
    async fn undo(&self, _attempt: &Attempt) -> UndoOutcome<Change> {
        UndoOutcome::Undone { change: None }
    }
}

#[cfg(test)]
mod tests {
    use saga::CancellationToken;

    use super::super::fakes::{self, Loss, attempt_of, ready};
    use super::*;

    fn world() -> (Arc<fakes::Backends>, PurgeBackendWorkspace, Attempt) {
        let backends = Arc::new(fakes::Backends::default());
        let input = fakes::purge_input();
        for spec in fakes::workspace_input().backends(input.made_by) {
            ready(Backends::create(&*backends, &spec, &CancellationToken::new())).unwrap();
        }
        let input = serde_json::to_value(input).unwrap();
        let attempt = Attempt { with: json!({ "environment": "dev" }), ..attempt_of(9, "purge-dev", &input) };
        (backends.clone(), PurgeBackendWorkspace { backends }, attempt)
    }

    #[test]
    fn it_drops_its_environments_backend_workspace_and_asks_for_the_rows_removal_however_often_it_runs() {
        let (backends, step, attempt) = world();
        let dev = fakes::workspace_input().environments[0].backend_workspace_id;
        for _ in 0..2 {
            let Outcome::Succeeded { change, .. } = ready(step.run(&attempt)) else { panic!("not dropped") };
            assert_eq!(change, Some(Change::DeleteBackendWorkspace { id: dev }));
            assert_eq!(backends.existing().len(), 2);
            assert!(backends.existing().iter().all(|(id, _)| *id != dev));
        }
    }

    #[test]
    fn a_create_that_arrives_after_it_is_refused_for_good() {
        let (backends, step, attempt) = world();
        ready(step.run(&attempt));
        let late = &fakes::workspace_input().backends(fakes::purge_input().made_by)[0];
        let refused = ready(Backends::create(&*backends, late, &CancellationToken::new()));
        assert!(matches!(refused, Err(crate::ports::CallError::Failed(f)) if f.r#type == "sealed"));
    }

    #[test]
    fn a_lost_reply_is_unknown_and_an_environment_that_is_none_fails_for_good() {
        let (backends, step, mut attempt) = world();
        backends.lose(Loss::Reply);
        assert!(matches!(ready(step.run(&attempt)), Outcome::Unknown(_)));
        attempt.with = json!({ "environment": "qa" });
        assert!(matches!(ready(step.run(&attempt)), Outcome::Failed(f) if f.r#type == "step_with_invalid"));
    }
}
