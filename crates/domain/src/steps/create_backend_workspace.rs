//! Makes one environment's backend workspace on the region's backend; its undo drops and seals it. The row that tells of
//! it is inserted with the outcome, and deleted with the undo's.

use std::sync::Arc;

use async_trait::async_trait;
use saga::{Attempt, Fault, Outcome, Step, UndoOutcome};
use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::Stop;
use super::input::{CreateWorkspaceInput, EnvironmentInput};
use crate::Change;
use crate::model::EnvironmentName;
use crate::pauses::{Kind, Scope};
use crate::ports::{BackendSpec, Backends};

pub(super) struct CreateBackendWorkspace {
    pub backends: Arc<dyn Backends>,
}

/// `with: { environment: dev }`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct With {
    environment: EnvironmentName,
}

/// What the backend is asked about this environment, under the attempt's run and key.
pub(super) fn spec(attempt: &Attempt, input: &CreateWorkspaceInput, environment: &EnvironmentInput) -> BackendSpec {
    BackendSpec {
        id: environment.backend_workspace_id,
        workspace_id: input.workspace_id,
        environment_id: environment.id,
        environment: environment.name,
        region: input.region.clone(),
        run: attempt.run,
        key: attempt.key(),
    }
}

/// The scope of the backend that a run with this input works on; none where its region is not configured, which the
/// step itself tells.
pub(super) fn backend_of(backends: &dyn Backends, input: &Value) -> Option<String> {
    let name = backends.name(input.get("region")?.as_str()?)?;
    Some(Scope::new(Kind::Backend, name).to_string())
}

fn asked(attempt: &Attempt) -> Result<BackendSpec, Fault> {
    let input: CreateWorkspaceInput = attempt.input()?;
    let With { environment } = attempt.with()?;
    let wanted = input.environments.iter().find(|e| e.name == environment).ok_or_else(|| {
        Fault::new("step_input_invalid", "The run's input does not fit this step")
            .detail(format!("It has no environment `{}`.", environment.as_str()))
    })?;
    Ok(spec(attempt, &input, wanted))
}

impl CreateBackendWorkspace {
    async fn create(&self, attempt: &Attempt) -> Result<Outcome<Change>, Stop> {
        let spec = asked(attempt)?;
        let backend = self.backends.name(&spec.region).ok_or_else(|| {
            Fault::new("region_not_configured", "The region has no backend").detail(format!("Region `{}` is not configured.", spec.region))
        })?;
        let locator = self.backends.create(&spec, &attempt.cancelled).await?;
        Ok(Outcome::changed(
            json!({ "backend_workspace_id": spec.id, "backend": backend, "locator": locator }),
            Change::InsertBackendWorkspace {
                id: spec.id,
                workspace_id: spec.workspace_id,
                environment_id: spec.environment_id,
                backend,
                locator,
            },
        ))
    }

    async fn drop(&self, attempt: &Attempt) -> Result<UndoOutcome<Change>, Stop> {
        let spec = asked(attempt)?;
        (*self.backends).drop(&spec, &attempt.cancelled).await?;
        Ok(UndoOutcome::Undone { change: Some(Change::DeleteBackendWorkspace { id: spec.id }) })
    }
}

#[async_trait]
impl Step<Change> for CreateBackendWorkspace {
    fn action(&self) -> &'static str {
        "create-backend-workspace"
    }

    fn undo_action(&self) -> Option<&'static str> {
        Some("drop-backend-workspace")
    }

    fn draws_on(&self, input: &Value, _: &Value) -> Option<String> {
        backend_of(&*self.backends, input)
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        self.create(attempt).await.unwrap_or_else(Into::into)
    }

    async fn undo(&self, attempt: &Attempt) -> UndoOutcome<Change> {
        self.drop(attempt).await.unwrap_or_else(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{self, Loss, attempt, ready};
    use super::*;

    fn world(environment: &str) -> (Arc<fakes::Backends>, CreateBackendWorkspace, Attempt) {
        let backends = Arc::new(fakes::Backends::default());
        let input = serde_json::to_value(fakes::workspace_input()).unwrap();
        let attempt = Attempt { with: json!({ "environment": environment }), ..attempt("backend-dev", &input) };
        (backends.clone(), CreateBackendWorkspace { backends }, attempt)
    }

    fn dev() -> EnvironmentInput {
        fakes::workspace_input().environments.into_iter().find(|e| e.name == EnvironmentName::Dev).unwrap()
    }

    #[test]
    fn running_twice_makes_one_of_the_id_that_the_input_fixed() {
        let (backends, step, attempt) = world("dev");
        for _ in 0..2 {
            let Outcome::Succeeded { output, change: Some(Change::InsertBackendWorkspace { id, environment_id, locator, backend, .. }) } =
                ready(step.run(&attempt))
            else {
                panic!("not created")
            };
            assert_eq!((id, environment_id), (dev().backend_workspace_id, dev().id));
            assert_eq!(output, json!({ "backend_workspace_id": id, "backend": backend, "locator": locator }));
        }
        assert_eq!(backends.existing(), [(dev().backend_workspace_id, format!("{}:backend-dev", attempt.run))]);
    }

    #[test]
    fn undoing_twice_leaves_nothing_and_a_late_create_is_refused_for_good() {
        let (backends, step, attempt) = world("dev");
        ready(step.run(&attempt));
        for _ in 0..2 {
            let UndoOutcome::Undone { change } = ready(step.undo(&attempt)) else { panic!("not undone") };
            assert_eq!(change, Some(Change::DeleteBackendWorkspace { id: dev().backend_workspace_id }));
        }
        assert!(matches!(ready(step.run(&attempt)), Outcome::Failed(f) if f.r#type == "sealed" && !f.retryable));
        assert_eq!(backends.existing(), []);
    }

    #[test]
    fn a_lost_reply_is_unknown_and_its_undo_takes_away_what_had_happened() {
        let (backends, step, attempt) = world("dev");
        backends.lose(Loss::Reply);
        assert!(matches!(ready(step.run(&attempt)), Outcome::Unknown(_)));
        assert_eq!(backends.existing().len(), 1);
        backends.lose(Loss::Reply);
        assert!(matches!(ready(step.undo(&attempt)), UndoOutcome::Failed(f) if f.retryable));
        assert!(matches!(ready(step.undo(&attempt)), UndoOutcome::Undone { .. }));
        assert_eq!(backends.existing(), []);
    }

    #[test]
    fn what_the_input_or_the_configuration_lacks_fails_for_good_without_a_call() {
        let (backends, step, mut attempt) = world("qa");
        assert!(matches!(ready(step.run(&attempt)), Outcome::Failed(f) if f.r#type == "step_with_invalid"));
        let mut input = fakes::workspace_input();
        input.environments.retain(|e| e.name != EnvironmentName::Dev);
        attempt.with = json!({ "environment": "dev" });
        attempt.input = Arc::new(serde_json::to_value(&input).unwrap());
        assert!(matches!(ready(step.run(&attempt)), Outcome::Failed(f) if f.r#type == "step_input_invalid"));
        let mut elsewhere: Value = serde_json::to_value(fakes::workspace_input()).unwrap();
        elsewhere["region"] = json!("atlantis");
        attempt.input = Arc::new(elsewhere);
        assert!(matches!(ready(step.run(&attempt)), Outcome::Failed(f) if f.r#type == "region_not_configured"));
        assert_eq!(backends.existing(), []);
    }
}
