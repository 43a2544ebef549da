//! Carries a workspace's freezes to where a request's gate does not reach: backend logins and tokens.
//!
//! Its set is read when the step runs, not when the run was asked for. That read is all that it has of our database, and
//! a stale one does no harm: each effect bears the revision that was read, is refused where a newer one stands, and the
//! change that records them is answered stale if the set has moved on, upon which the step runs again.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use saga::{Attempt, Fault, Outcome, Step, UndoOutcome};
use serde_json::json;

use super::faults::Stop;
use super::input::ApplyFreezesInput;
use crate::Change;
use crate::ports::{Backends, CallError, FreezeSets, LoginAnswer, Tokens};

pub(super) struct ApplyFreezes {
    pub freezes: Arc<dyn FreezeSets>,
    pub backends: Arc<dyn Backends>,
    pub tokens: Arc<dyn Tokens>,
}

impl ApplyFreezes {
    async fn apply(&self, attempt: &Attempt) -> Result<Outcome<Change>, Stop> {
        let ApplyFreezesInput { workspace_id, .. } = attempt.input()?;
        // A read changes nothing, so that dropping it half-way is harmless.
        let read = attempt.cancelled.run_until_cancelled(self.freezes.current(workspace_id)).await;
        let Some(read) = read else { return Err(stopped()) };
        let unread =
            |e: saga::StoreError| Fault::new("freezes_unread", "The workspace's freezes cannot be read").detail(e.to_string()).retryable();
        let Some(set) = read.map_err(unread)? else { return Ok(Outcome::done(json!({}))) };
        let (open, revision, stop) = (set.open, set.revision, &attempt.cancelled);
        // One that fails must not keep the others open.
        let logins = join_all(set.backends.iter().map(|spec| self.backends.set_login(spec, open, revision, stop))).await;
        let tokens = self.tokens.set_frozen(workspace_id, !open, revision).await;
        let mut stops: Vec<Stop> = logins.into_iter().filter_map(unapplied).collect();
        stops.extend(tokens.err().map(Stop::from));
        if let Some(worst) = stops.into_iter().max_by_key(gravity) {
            return Err(worst);
        }
        let backend_workspaces: Vec<_> = set.backends.iter().map(|spec| spec.id).collect();
        Ok(Outcome::changed(
            json!({ "revision": revision, "open": open, "backend_workspaces": backend_workspaces }),
            Change::FreezesApplied { workspace_id, revision, open, backend_workspaces },
        ))
    }
}

fn unapplied(answer: Result<LoginAnswer, CallError>) -> Option<Stop> {
    match answer {
        Ok(LoginAnswer::Set | LoginAnswer::Absent) => None,
        // The set has moved on since it was read.
        Ok(LoginAnswer::NewerStands) => {
            Some(Fault::new("newer_freezes", "The backend bears a newer revision of the workspace's freezes").into())
        }
        Err(error) => Some(error.into()),
    }
}

fn stopped() -> Stop {
    Stop::Unknown(Fault::new("cancelled", "The attempt was told to stop").retryable())
}

/// What may have happened is said before what did not.
fn gravity(stop: &Stop) -> u8 {
    match stop {
        Stop::Refused { .. } => 0,
        Stop::Failed(_) => 1,
        Stop::Unknown(_) => 2,
    }
}

/// A freeze is never given up: it is tried until it is carried out, however final the failure looks, and past the saga's
/// deadline the run shows that it needs help.
fn never_final(stop: Stop) -> Stop {
    match stop {
        Stop::Failed(fault) => Stop::Failed(fault.retryable()),
        other => other,
    }
}

#[async_trait]
impl Step<Change> for ApplyFreezes {
    fn action(&self) -> &'static str {
        "apply-freezes"
    }

    fn undo_action(&self) -> Option<&'static str> {
        None
    }

    async fn run(&self, attempt: &Attempt) -> Outcome<Change> {
        self.apply(attempt).await.unwrap_or_else(|stop| never_final(stop).into())
    }

    /// Its saga only goes forward.
    async fn undo(&self, _attempt: &Attempt) -> UndoOutcome<Change> {
        UndoOutcome::Undone { change: None }
    }
}

#[cfg(test)]
mod tests {
    use saga::CancellationToken;
    use uuid::Uuid;

    use super::super::fakes::{self, Loss, attempt, ready};
    use super::*;
    use crate::ports::{BackendSpec, FreezeSet};

    struct World {
        freezes: Arc<fakes::Freezes>,
        backends: Arc<fakes::Backends>,
        tokens: Arc<fakes::Tokens>,
        step: ApplyFreezes,
        attempt: Attempt,
    }

    fn specs() -> Vec<BackendSpec> {
        let input = fakes::workspace_input();
        input.backends(saga::RunId(Uuid::from_u128(1)))
    }

    /// A workspace whose backend workspaces stand, frozen at revision 3.
    fn world() -> World {
        let (freezes, backends, tokens) =
            (Arc::new(fakes::Freezes::default()), Arc::new(fakes::Backends::default()), Arc::new(fakes::Tokens::default()));
        for spec in specs() {
            ready(Backends::create(&*backends, &spec, &CancellationToken::new())).unwrap();
        }
        let input = fakes::workspace_input();
        let attempt = attempt(
            "apply-freezes",
            &serde_json::to_value(ApplyFreezesInput { workspace_id: input.workspace_id, account_id: input.account_id }).unwrap(),
        );
        let step = ApplyFreezes { freezes: freezes.clone(), backends: backends.clone(), tokens: tokens.clone() };
        let world = World { freezes, backends, tokens, step, attempt };
        world.set(3, false);
        world
    }

    impl World {
        fn set(&self, revision: i64, open: bool) {
            self.freezes.set(Some(FreezeSet { revision, open, backends: specs() }));
        }

        fn fault(&self) -> Fault {
            match ready(self.step.run(&self.attempt)) {
                Outcome::Failed(fault) => fault,
                other => panic!("not failed: {other:?}"),
            }
        }

        fn logins(&self) -> Vec<Option<(i64, bool)>> {
            specs().iter().map(|s| self.backends.login_of(s.id)).collect()
        }
    }

    #[test]
    fn it_brings_every_login_and_the_tokens_to_the_set_however_often_it_runs() {
        let w = world();
        for _ in 0..2 {
            let Outcome::Succeeded { change: Some(change), .. } = ready(w.step.run(&w.attempt)) else { panic!("not applied") };
            let workspace_id = fakes::workspace_input().workspace_id;
            let backend_workspaces = specs().iter().map(|s| s.id).collect();
            assert_eq!(change, Change::FreezesApplied { workspace_id, revision: 3, open: false, backend_workspaces });
            assert_eq!(w.logins(), vec![Some((3, false)); 3]);
            assert_eq!(w.tokens.last(), Some((workspace_id, true, 3)));
        }
        assert!(matches!(ready(w.step.undo(&w.attempt)), UndoOutcome::Undone { change: None }));
    }

    #[test]
    fn one_login_that_fails_keeps_no_other_open_and_is_tried_again() {
        let w = world();
        w.backends.lose(Loss::Request);
        assert!(w.fault().retryable);
        assert_eq!(w.logins(), [None, Some((3, false)), Some((3, false))]);
        assert_eq!(w.tokens.last().unwrap().2, 3, "the tokens are not kept waiting either");
        w.backends.lose(Loss::Reply);
        assert!(matches!(ready(w.step.run(&w.attempt)), Outcome::Unknown(_)));
        assert!(matches!(ready(w.step.run(&w.attempt)), Outcome::Succeeded { .. }));
    }

    #[test]
    fn a_newer_order_stands_and_sends_the_step_back_to_the_set() {
        let w = world();
        ready(w.backends.set_login(&specs()[1], true, 4, &CancellationToken::new())).unwrap();
        assert_eq!(w.fault().r#type, "newer_freezes");
        assert_eq!(w.logins()[1], Some((4, true)));
        w.set(4, true);
        assert!(matches!(ready(w.step.run(&w.attempt)), Outcome::Succeeded { .. }));
        assert_eq!(w.logins(), vec![Some((4, true)); 3]);
    }

    #[test]
    fn what_is_not_there_is_passed_over_and_a_purged_workspace_has_nothing_to_shut() {
        let w = world();
        for spec in specs() {
            ready(Backends::drop(&*w.backends, &spec, &CancellationToken::new())).unwrap();
        }
        assert!(matches!(ready(w.step.run(&w.attempt)), Outcome::Succeeded { change: Some(_), .. }));
        w.freezes.set(None);
        assert!(matches!(ready(w.step.run(&w.attempt)), Outcome::Succeeded { change: None, .. }));
    }

    #[test]
    fn an_unreadable_set_is_worth_another_try_and_a_cancelled_attempt_is_unknown() {
        let w = world();
        w.freezes.break_down();
        let fault = w.fault();
        assert_eq!((fault.r#type.as_str(), fault.retryable), ("freezes_unread", true));
        w.attempt.cancelled.cancel();
        assert!(matches!(ready(w.step.run(&w.attempt)), Outcome::Unknown(_)));
        assert_eq!(w.logins(), [None; 3]);
    }
}
