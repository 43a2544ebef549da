//! What becomes of a workspace's status when somebody asks: freezing and unfreezing, and the one table of what is possible
//! in which state.

mod freeze;
mod set;

use crate::Error;
use crate::model::FreezeSource::{self, AccountAdmin, Billing, Legal, Platform, Security};
use crate::model::WorkspaceStatus::{self, Active, Deleted, Failed, Provisioning};

pub use freeze::{Child, ChildKind, Request, View, Wanted, change};
pub use set::{LASTS_MAX, audited};

/// The saga that brings logins and tokens to the freezes in force.
pub const SAGA: &str = "apply-freezes";

/// What can be asked of a workspace's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    Freeze,
    Unfreeze,
    Delete,
    Restore,
    Purge,
}

/// Sources whose freezes are set and lifted on request; `deletion` comes and goes with the deletion.
pub const ON_REQUEST: &[FreezeSource] = &[AccountAdmin, Billing, Platform, Security, Legal];
/// What the platform holds on a deleted workspace, so that it is not restored or not purged.
const OF_THE_PLATFORM: &[FreezeSource] = &[Billing, Platform, Security, Legal];

/// Every transition that there is: from which stored status, and for freezes of which sources. Purging allows none.
pub const TABLE: &[(WorkspaceStatus, Transition, &[FreezeSource])] = &[
    (Provisioning, Transition::Freeze, ON_REQUEST),
    (Provisioning, Transition::Unfreeze, ON_REQUEST),
    (Active, Transition::Freeze, ON_REQUEST),
    (Active, Transition::Unfreeze, ON_REQUEST),
    (Active, Transition::Delete, &[]),
    // What was frozen while it was provisioning stays so when that fails.
    (Failed, Transition::Unfreeze, ON_REQUEST),
    (Failed, Transition::Delete, &[]),
    (Deleted, Transition::Freeze, OF_THE_PLATFORM),
    (Deleted, Transition::Unfreeze, ON_REQUEST),
    (Deleted, Transition::Restore, &[]),
    (Deleted, Transition::Purge, &[]),
];

impl Transition {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::Unfreeze => "unfreeze",
            Self::Delete => "delete",
            Self::Restore => "restore",
            Self::Purge => "purge",
        }
    }

    /// The sources that it may be about in `status`; `None` if it is not possible there at all.
    #[must_use]
    pub fn sources(self, status: WorkspaceStatus) -> Option<&'static [FreezeSource]> {
        TABLE.iter().find(|(from, transition, _)| *from == status && *transition == self).map(|(_, _, sources)| *sources)
    }

    /// Whether it is possible in `status`, for all of `sources`.
    #[must_use]
    pub fn is_allowed(self, status: WorkspaceStatus, sources: &[FreezeSource]) -> bool {
        self.sources(status).is_some_and(|allowed| sources.iter().all(|source| allowed.contains(source)))
    }

    /// Why it is refused in `status`, with what is possible instead. Purging is nobody's to ask for.
    #[must_use]
    pub fn refused(self, status: WorkspaceStatus) -> Error {
        let possible = TABLE.iter().filter(|(from, transition, _)| *from == status && *transition != Self::Purge);
        let allowed: Vec<String> = possible
            .map(|(_, transition, sources)| {
                let sources: Vec<_> = sources.iter().map(|s| s.as_str()).collect();
                let by = if sources.is_empty() { String::new() } else { format!(" ({})", sources.join(", ")) };
                format!("{}{by}", transition.as_str())
            })
            .collect();
        Error::InvalidTransition { status: status.as_str(), transition: self.as_str(), allowed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pair_stands_twice_in_the_table() {
        for (n, (status, transition, _)) in TABLE.iter().enumerate() {
            assert!(!TABLE[..n].iter().any(|row| row.0 == *status && row.1 == *transition), "{status:?} {transition:?}");
        }
    }

    #[test]
    fn deletion_is_neither_set_nor_lifted_on_request() {
        for status in WorkspaceStatus::ALL {
            for transition in [Transition::Freeze, Transition::Unfreeze] {
                assert!(!transition.is_allowed(*status, &[FreezeSource::Deletion]));
            }
        }
    }

    #[test]
    fn whatever_can_be_frozen_can_be_unfrozen() {
        for (status, transition, sources) in TABLE {
            assert!(*transition != Transition::Freeze || Transition::Unfreeze.is_allowed(*status, sources));
        }
    }

    #[test]
    fn a_refusal_names_what_is_possible_instead() {
        let Error::InvalidTransition { status, transition, allowed } = Transition::Freeze.refused(Failed) else { panic!() };
        assert_eq!((status, transition), ("failed", "freeze"));
        assert_eq!(allowed, ["unfreeze (account_admin, billing, platform, security, legal)", "delete"]);
        let Error::InvalidTransition { allowed, .. } = Transition::Freeze.refused(WorkspaceStatus::Purging) else { panic!() };
        assert!(allowed.is_empty());
    }
}
