//! Proves that a new workspace can be used before it is called active: its creator's rights hold at full consistency, and
//! each backend workspace's own credentials open it. It only reads.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use saga::{Attempt, Fault, Outcome, Step, UndoOutcome};
use serde_json::{Value, json};

use super::create_backend_workspace::{backend_of, spec};
use super::faults::Stop;
use super::input::CreateWorkspaceInput;
use crate::Change;
use crate::permissions::{Check, Consistency, Object, Permissions};
use crate::ports::{Backends, CallError, login_frozen};

const LOGIN_FROZEN_WAIT: Duration = Duration::from_secs(1);

pub(super) struct VerifyAccess {
    pub permissions: Arc<dyn Permissions>,
    pub backends: Arc<dyn Backends>,
}

/// All of `checks` hold, asked at full consistency.
pub(super) async fn all_hold(permissions: &dyn Permissions, attempt: &Attempt, checks: &[Check]) -> Result<(), Stop> {
    // A check changes nothing, so that dropping it half-way is harmless.
    let answers = attempt.cancelled.run_until_cancelled(permissions.check(checks, &Consistency::FullyConsistent)).await;
    let Some(answers) = answers else {
        return Err(Stop::Unknown(Fault::new("cancelled", "The attempt was told to stop").retryable()));
    };
    let denied: Vec<_> = checks
        .iter()
        .zip(answers?)
        .filter(|(_, holds)| !holds)
        .map(|(c, _)| format!("`{}` on {}:{}", c.permission, c.resource.kind, c.resource.id))
        .collect();
    if denied.is_empty() {
        return Ok(());
    }
    // Worth another try: whoever repairs the relationships within the budget saves the run.
    Err(Fault::new("access_not_granted", "The creator's rights do not hold")
        .detail(format!("The permission system denies {}.", denied.join(", ")))
        .retryable()
        .into())
}

/// A login that a freeze has shut proves nothing against it: no attempt, and the budget is not spent on waiting. Right after
/// an unfreeze the run goes on while logins are still being opened.
fn wait_for_unfreeze(error: CallError) -> Stop {
    match error {
        CallError::Failed(fault) if fault == login_frozen() => Stop::Refused { retry_after: LOGIN_FROZEN_WAIT },
        error => error.into(),
    }
}

impl VerifyAccess {
    async fn verify(&self, attempt: &Attempt) -> Result<(), Stop> {
        let input: CreateWorkspaceInput = attempt.input()?;
        let check =
            |resource: Object, permission: &str| Check { resource, permission: permission.to_owned(), subject: input.creator.into() };
        let environments = input.environments.iter().map(|e| check(Object::environment(e.id), "read"));
        let checks: Vec<_> = std::iter::once(check(Object::workspace(input.workspace_id), "administer")).chain(environments).collect();
        all_hold(&*self.permissions, attempt, &checks).await?;
        for environment in &input.environments {
            self.backends.login(&spec(attempt, &input, environment), &attempt.cancelled).await.map_err(wait_for_unfreeze)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Step<Change> for VerifyAccess {
    fn action(&self) -> &'static str {
        "verify-access"
    }

    fn undo_action(&self) -> Option<&'static str> {
        None
    }

    fn draws_on(&self, input: &Value, _: &Value) -> Option<String> {
        backend_of(&*self.backends, input)
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
    use super::super::fakes::{self, Loss, attempt, ready};
    use super::*;
    use crate::permissions::Relationship;

    struct World {
        permissions: Arc<fakes::Permissions>,
        backends: Arc<fakes::Backends>,
        step: VerifyAccess,
        attempt: Attempt,
    }

    fn complete() -> World {
        let (permissions, backends) = (Arc::new(fakes::Permissions::default()), Arc::new(fakes::Backends::default()));
        let input = fakes::workspace_input();
        let attempt = attempt("verify-access", &serde_json::to_value(&input).unwrap());
        for e in &input.environments {
            ready(crate::ports::Backends::create(&*backends, &spec(&attempt, &input, e), &attempt.cancelled)).unwrap();
            permissions.allow(Object::environment(e.id), "read", input.creator.into());
        }
        permissions.allow(Object::workspace(input.workspace_id), "administer", input.creator.into());
        let step = VerifyAccess { permissions: permissions.clone(), backends: backends.clone() };
        World { permissions, backends, step, attempt }
    }

    fn fault(outcome: Outcome<Change>) -> Fault {
        match outcome {
            Outcome::Failed(fault) => fault,
            other => panic!("not failed: {other:?}"),
        }
    }

    #[test]
    fn it_succeeds_where_every_right_and_every_login_holds_and_asks_for_no_change() {
        let w = complete();
        for _ in 0..2 {
            assert!(matches!(ready(w.step.run(&w.attempt)), Outcome::Succeeded { change: None, .. }));
        }
        assert!(matches!(ready(w.step.undo(&w.attempt)), UndoOutcome::Undone { change: None }));
    }

    #[test]
    fn one_missing_right_fails_it_and_is_named() {
        let input = fakes::workspace_input();
        for (resource, permission) in
            [(Object::workspace(input.workspace_id), "administer"), (Object::environment(input.environments[2].id), "read")]
        {
            let w = complete();
            w.permissions.remove(&Relationship::new(resource.clone(), permission, input.creator.into()));
            let fault = fault(ready(w.step.run(&w.attempt)));
            assert_eq!(fault.r#type, "access_not_granted");
            assert!(fault.detail.unwrap().contains(&resource.id));
        }
    }

    #[test]
    fn one_backend_workspace_that_does_not_open_fails_it() {
        let w = complete();
        let input = fakes::workspace_input();
        ready(crate::ports::Backends::drop(&*w.backends, &spec(&w.attempt, &input, &input.environments[2]), &w.attempt.cancelled)).unwrap();
        assert_eq!(fault(ready(w.step.run(&w.attempt))).r#type, "login_failed");
    }

    #[test]
    fn a_login_that_a_freeze_has_shut_is_waited_for_without_counting() {
        let w = complete();
        let input = fakes::workspace_input();
        let dev = spec(&w.attempt, &input, &input.environments[0]);
        for (open, revision) in [(false, 1), (true, 2)] {
            ready(w.backends.set_login(&dev, open, revision, &w.attempt.cancelled)).unwrap();
            let outcome = ready(w.step.run(&w.attempt));
            assert_eq!(matches!(outcome, Outcome::Succeeded { .. }), open);
            assert_eq!(matches!(outcome, Outcome::Refused { .. }), !open);
        }
    }

    #[test]
    fn an_outage_is_worth_another_try_and_a_cancelled_check_is_unknown() {
        let w = complete();
        w.permissions.lose(Loss::Request);
        assert!(fault(ready(w.step.run(&w.attempt))).retryable);
        w.attempt.cancelled.cancel();
        assert!(matches!(ready(w.step.run(&w.attempt)), Outcome::Unknown(_)));
    }
}
