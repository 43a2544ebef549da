//! Grant and revoke: how a run's relationships are written and taken away so that neither order nor repetition of the
//! calls can leave one behind.
//!
//! A revoke leaves the run's own seal in the write that deletes; a grant is refused once that seal stands, however late it
//! arrives. A revoke that finds the seal has happened before: it is refused as well, so that a late copy of it cannot
//! take away what a retried run has granted anew.

use saga::{Attempt, Fault};

use super::faults::Stop;
use crate::permissions::{Cause, Filter, Object, Permissions, PermissionsError, Precondition, Relationship, Update};

/// The list that a run grants, and where its seal goes.
pub(super) struct Grant<'a> {
    /// Of the run that grants, or takes away what it granted.
    pub attempt: &'a Attempt,
    /// The workspace or account that bears the seal.
    pub on: Object,
    pub relationships: Vec<Relationship>,
    /// A grant below this account needs the account's own tuples to be there.
    pub within: Option<Object>,
}

impl Grant<'_> {
    fn seal(&self) -> Relationship {
        Relationship::new(self.on.clone(), "sealed", Object::new("saga", self.attempt.run))
    }

    fn not_sealed(&self) -> Precondition {
        let Relationship { resource, relation, subject } = self.seal();
        Precondition::MustNotMatch(Filter {
            resource_kind: resource.kind,
            resource_id: Some(resource.id),
            relation: Some(relation),
            subject: Some(subject),
        })
    }

    /// Grants all, or nothing; returns the permission system's token.
    pub async fn write(&self, permissions: &dyn Permissions) -> Result<String, Stop> {
        let mut preconditions = vec![self.not_sealed()];
        preconditions.extend(self.within.iter().map(|account| {
            Precondition::MustMatch(Filter {
                resource_kind: account.kind.clone(),
                resource_id: Some(account.id.clone()),
                relation: Some("platform".to_owned()),
                subject: None,
            })
        }));
        let updates: Vec<_> = self.relationships.iter().cloned().map(Update::Touch).collect();
        permissions.write(&updates, &preconditions, &Cause::of(self.attempt)).await.map_err(|error| match error {
            PermissionsError::PreconditionFailed { index: 0 } => {
                Fault::new("sealed", "The run's compensation has sealed this grant: it can no longer be made").into()
            }
            PermissionsError::PreconditionFailed { .. } => {
                Fault::new("account_not_ready", "The account is not known to the permission system").into()
            }
            error => error.into(),
        })
    }

    /// Takes all away and seals; returns the permission system's token, `None` if that had happened before.
    pub async fn revoke(&self, permissions: &dyn Permissions) -> Result<Option<String>, Stop> {
        let updates: Vec<_> =
            self.relationships.iter().cloned().map(Update::Delete).chain(std::iter::once(Update::Touch(self.seal()))).collect();
        match permissions.write(&updates, &[self.not_sealed()], &Cause::of(self.attempt)).await {
            Ok(token) => Ok(Some(token)),
            Err(PermissionsError::PreconditionFailed { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
