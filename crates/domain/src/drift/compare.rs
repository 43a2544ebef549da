//! What is wrong with one account or workspace: a pure comparison of what is meant with what is held.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Class, Drift};
use crate::model::{Role, Scope};
use crate::permissions::{Object, Relationship};
use crate::ports::{Intended, Intent};
use crate::{Principal, PrincipalKind};

pub(super) const SEALED: &str = "sealed";

/// The account or workspace as the permission system knows it.
pub(super) fn object(intent: &Intent) -> Object {
    match intent.on.scope {
        Scope::Account => Object::account(intent.on.id),
        Scope::Workspace => Object::workspace(intent.on.id),
    }
}

/// What hangs it below what it belongs to; without it nothing may be told of its members.
fn parent(intent: &Intent) -> Relationship {
    match intent.on.scope {
        Scope::Account => Relationship::new(object(intent), "platform", Object::platform()),
        Scope::Workspace => Relationship::new(object(intent), "account", Object::account(intent.on.account_id)),
    }
}

pub(super) fn environment(workspace: Uuid, id: Uuid) -> Relationship {
    Relationship::new(Object::environment(id), "workspace", Object::workspace(workspace))
}

pub(super) fn seal(on: Object, of: Uuid) -> Relationship {
    Relationship::new(on, SEALED, Object::new("saga", of))
}

/// The role that a relationship gives, and to whom; `None` for one that no membership can be behind.
fn role(scope: Scope, r: &Relationship) -> Option<(Principal, Role)> {
    let role = Role::parse(&r.relation).filter(|role| role.exists_on(scope))?;
    let kind = PrincipalKind::parse(&r.subject.kind)?;
    let id = Uuid::try_parse(&r.subject.id).ok()?;
    // Another spelling of an id is another object to the permission system.
    (id.to_string() == r.subject.id).then_some((Principal { kind, id }, role))
}

/// `held`: all relationships of the account or workspace; `environments`: which of the intent's hang below it, in its order.
///
/// Whose role changed lately is left alone, and so is all of what a run is at work on.
#[must_use]
pub fn compare(intent: &Intent, held: &[Relationship], environments: &[bool]) -> Vec<Drift> {
    let on = object(intent);
    let is_sealed = |of: &Uuid| held.contains(&seal(on.clone(), *of));
    let seals = intent.sealed.iter().filter(|of| !is_sealed(of)).map(|of| Drift::missing(Class::SealMissing, seal(on.clone(), *of)));
    match intent.intended {
        Intended::InFlight => Vec::new(),
        Intended::Nothing | Intended::Purged => {
            held.iter().filter(|r| r.relation != SEALED).cloned().map(Drift::surplus).chain(seals).collect()
        }
        Intended::Granted => {
            let parent = parent(intent);
            let mut found: Vec<Drift> = Vec::new();
            if !held.contains(&parent) {
                found.push(Drift::missing(Class::Missing, parent.clone()));
            }
            let missing = intent.environments.iter().zip(environments).filter(|(_, is_held)| !**is_held);
            found.extend(missing.map(|(id, _)| Drift::missing(Class::Missing, environment(intent.on.id, *id))));
            let (roles, others): (Vec<_>, Vec<_>) =
                held.iter().filter(|r| r.relation != SEALED && **r != parent).partition(|r| role(intent.on.scope, r).is_some());
            found.extend(others.into_iter().cloned().map(Drift::surplus));
            found.extend(members(intent, &on, &roles));
            found.extend(seals);
            found
        }
    }
}

fn members(intent: &Intent, on: &Object, held: &[&Relationship]) -> Vec<Drift> {
    let mut by_principal: BTreeMap<Principal, (Option<Role>, Vec<Role>)> =
        intent.members.iter().map(|(principal, role)| (*principal, (Some(*role), Vec::new()))).collect();
    for (principal, role) in held.iter().filter_map(|r| role(intent.on.scope, r)) {
        by_principal.entry(principal).or_default().1.push(role);
    }
    let tuple = |principal: Principal, role: Role| Relationship::new(on.clone(), role.as_str(), principal.into());
    let drift = |(principal, (meant, held)): (Principal, (Option<Role>, Vec<Role>))| {
        let class = match (meant, held.as_slice()) {
            (Some(meant), [held]) if meant == *held => return None,
            (Some(_), []) => Class::Missing,
            (Some(_), _) => Class::WrongRole,
            (None, _) => Class::Surplus,
        };
        let missing = meant.filter(|meant| !held.contains(meant)).map(|role| tuple(principal, role)).into_iter().collect();
        let surplus = held.iter().filter(|role| Some(**role) != meant).map(|role| tuple(principal, *role)).collect();
        Some(Drift { class, member: Some(principal), missing, surplus })
    };
    by_principal.into_iter().filter(|(principal, _)| !intent.unsettled.contains(principal)).filter_map(drift).collect()
}

#[cfg(test)]
mod tests;
