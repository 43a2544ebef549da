//! How the ports' errors become outcomes: once for all steps, so that "may have happened" is never read as "did not".

use saga::{Fault, Outcome, UndoOutcome};

use crate::Change;
use crate::permissions::PermissionsError;
use crate::ports::CallError;

/// What stopped a step short of its success.
pub(super) enum Stop {
    Failed(Fault),
    Unknown(Fault),
    Refused { retry_after: std::time::Duration },
}

impl From<Stop> for Outcome<Change> {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Failed(fault) => Self::Failed(fault),
            Stop::Unknown(fault) => Self::Unknown(fault),
            Stop::Refused { retry_after } => Self::Refused { retry_after },
        }
    }
}

impl From<Stop> for UndoOutcome<Change> {
    /// An undo is tried until it is known to have worked: only a fault that can never heal asks for a person at once.
    fn from(stop: Stop) -> Self {
        Self::Failed(match stop {
            Stop::Failed(fault) => fault,
            Stop::Unknown(fault) => fault.retryable(),
            Stop::Refused { retry_after } => Fault::new("backend_refused", "The backend takes no calls for now")
                .detail(format!("It may be asked again in {} s.", retry_after.as_secs_f64()))
                .retryable(),
        })
    }
}

/// A fault of the input or of `with`: nothing was done yet.
impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Failed(fault) => Self::Failed(fault),
            CallError::Unknown(fault) => Self::Unknown(fault),
            CallError::Refused { retry_after } => Self::Refused { retry_after },
        }
    }
}

impl From<PermissionsError> for Stop {
    fn from(error: PermissionsError) -> Self {
        let detail = error.to_string();
        match error {
            PermissionsError::Unavailable(_) => {
                Self::Failed(Fault::new("permissions_unavailable", "The permission system is not available").detail(detail).retryable())
            }
            PermissionsError::Unknown(_) => Self::Unknown(
                Fault::new("permissions_unknown", "The permission system's answer to a write was lost").detail(detail).retryable(),
            ),
            PermissionsError::PreconditionFailed { .. }
            | PermissionsError::AlreadyExists
            | PermissionsError::TooMany { .. }
            | PermissionsError::Invalid(_) => {
                Self::Failed(Fault::new("permissions_refused", "The permission system refused the request").detail(detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_may_have_happened_is_unknown_forward_and_tried_again_backward() {
        let lost = || Fault::new("reply_lost", "The reply was lost");
        for error in [Stop::from(CallError::Unknown(lost())), Stop::from(PermissionsError::Unknown("reset".to_owned()))] {
            assert!(matches!(Outcome::from(error), Outcome::Unknown(_)));
        }
        for error in [Stop::from(CallError::Unknown(lost())), Stop::from(PermissionsError::Unknown("reset".to_owned()))] {
            assert!(matches!(UndoOutcome::from(error), UndoOutcome::Failed(f) if f.retryable));
        }
    }

    #[test]
    fn a_refusal_of_our_own_is_no_attempt_forward_and_tried_again_backward() {
        let refused = || Stop::from(CallError::Refused { retry_after: Duration::from_secs(3) });
        assert!(matches!(Outcome::from(refused()), Outcome::Refused { retry_after } if retry_after == Duration::from_secs(3)));
        assert!(matches!(UndoOutcome::from(refused()), UndoOutcome::Failed(f) if f.retryable));
    }

    #[test]
    fn only_an_outage_of_the_permission_system_is_worth_another_try() {
        let retryable = |error| matches!(Stop::from(error), Stop::Failed(f) if f.retryable);
        assert!(retryable(PermissionsError::Unavailable("down".to_owned())));
        assert!(!retryable(PermissionsError::Invalid("no such type".to_owned())));
        assert!(!retryable(PermissionsError::AlreadyExists));
    }
}
