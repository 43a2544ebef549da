//! How the permission system learns of a change, so that neither order nor repetition of the calls can leave a role behind.
//!
//! The changes of one principal on one scope are a line. A change is attempted once the one before it is known to be
//! delivered, and its write leaves the seal of that one: a copy of an earlier write that arrives late finds its own seal and
//! is refused. So does any write about a scope whose own relationships are gone.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::model::{MembershipChange, Role, Scope};
use crate::permissions::{Cause, Filter, Object, Permissions, PermissionsError, Precondition, Relationship, Update};
use crate::ports::Idempotency;
use crate::{Berth, Error, PrincipalKind};

/// What `work` gives; `None` if it is not done in time, upon which it is dropped where it stands.
pub(crate) async fn within<T>(berth: &Berth, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut over) = (pin!(work), berth.timer.sleep(limit));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => over.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// Delivers the changes of one line in their order, and stops at the first that is not taken. `answer` goes with the last.
///
/// # Errors
/// An outage of either side, or a lost reply: what was delivered may not be known to be.
pub(crate) async fn deliver(berth: &Berth, line: &[MembershipChange], mut answer: Option<Idempotency>) -> Result<(), Error> {
    for (index, change) in line.iter().enumerate() {
        let answer = if index + 1 == line.len() { answer.take() } else { None };
        let token = tell(&*berth.permissions, change).await?;
        berth.members.delivered(change, token, answer).await?;
    }
    Ok(())
}

/// The token of the write, `None` if there is nothing to be written any more.
async fn tell(permissions: &dyn Permissions, change: &MembershipChange) -> Result<Option<String>, PermissionsError> {
    match permissions.write(&updates(change), &preconditions(change), &Cause::MembershipChange(change.id)).await {
        Ok(token) => Ok(Some(token)),
        // Either a later change is delivered, and so was this one; or the permission system has the account or workspace no more.
        Err(PermissionsError::PreconditionFailed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn object(change: &MembershipChange) -> Object {
    match change.on.scope {
        Scope::Account => Object::account(change.on.id),
        Scope::Workspace => Object::workspace(change.on.id),
    }
}

/// The one role of the principal, and no other; and the seal of what wrote before.
fn updates(change: &MembershipChange) -> Vec<Update> {
    let roles = Role::ALL.iter().filter(|role| {
        // A tuple that the schema does not know cannot even be deleted.
        role.exists_on(change.on.scope) && (**role != Role::Owner || change.principal.kind == PrincipalKind::User)
    });
    let of_role = |role: &Role| {
        let tuple = Relationship::new(object(change), role.as_str(), change.principal.into());
        if change.role_after == Some(*role) { Update::Touch(tuple) } else { Update::Delete(tuple) }
    };
    let seal = Relationship::new(object(change), "sealed", Object::new("saga", change.predecessor));
    roles.map(of_role).chain([Update::Touch(seal)]).collect()
}

/// That no later change is delivered, and that the account or workspace has its own relationships.
fn preconditions(change: &MembershipChange) -> [Precondition; 2] {
    let of = |relation: &str, subject: Option<Object>| {
        let Object { kind, id } = object(change);
        Filter { resource_kind: kind, resource_id: Some(id), relation: Some(relation.to_owned()), subject }
    };
    let parent = match change.on.scope {
        Scope::Account => "platform",
        Scope::Workspace => "account",
    };
    [Precondition::MustNotMatch(of("sealed", Some(Object::new("saga", change.id)))), Precondition::MustMatch(of(parent, None))]
}

/// How long a change that was not delivered rests: a second, twice as long after each further attempt, half a minute at most.
pub(crate) fn back_off(attempts: u32) -> Duration {
    Duration::from_secs(1 << attempts.saturating_sub(1).min(5)).min(Duration::from_secs(30))
}

#[cfg(test)]
mod tests;
