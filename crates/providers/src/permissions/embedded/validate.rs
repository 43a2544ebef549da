//! What a request may say: SpiceDB's limits and alphabet, and the names of the schema. A request that breaks one is a
//! fault of ours, never a "no".

use std::collections::HashSet;

use domain::permissions::{Check, Filter, Object, PermissionsError, Precondition, Relationship, UPDATES_MAX, Update};

use super::evaluate::Goal;
use crate::permissions::schema::{Schema, Type};

/// The longest object id, in bytes.
const ID_MAX: usize = 1024;
const PRECONDITIONS_MAX: usize = 1000;

fn invalid<T>(message: String) -> Result<T, PermissionsError> {
    Err(PermissionsError::Invalid(message))
}

pub(super) fn kind(schema: Schema, name: &str) -> Result<&'static Type, PermissionsError> {
    schema.find(name).map_or_else(|| invalid(format!("there is no type `{name}`")), Ok)
}

fn id(id: &str) -> Result<(), PermissionsError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/_|=+-".contains(&b);
    if id.is_empty() || id.len() > ID_MAX || !id.bytes().all(allowed) {
        return invalid(format!("`{id}` is not an object id: 1 to {ID_MAX} of `A-Z a-z 0-9 / _ | = + -`"));
    }
    Ok(())
}

pub(super) fn object(schema: Schema, object: &Object) -> Result<&'static Type, PermissionsError> {
    id(&object.id)?;
    kind(schema, &object.kind)
}

/// The schema's own spelling of a type and of a relation or permission of it.
pub(super) fn name(schema: Schema, of: &str, name: &str) -> Result<(&'static str, &'static str), PermissionsError> {
    let of = kind(schema, of)?;
    match of.item(name) {
        Some(item) => Ok((of.name, item.name())),
        None => invalid(format!("`{}` has no relation or permission `{name}`", of.name)),
    }
}

pub(super) fn check(schema: Schema, check: &Check) -> Result<Goal<'_>, PermissionsError> {
    object(schema, &check.resource)?;
    object(schema, &check.subject)?;
    let (_, permission) = name(schema, &check.resource.kind, &check.permission)?;
    Ok(Goal { resource: &check.resource, name: permission, subject: &check.subject })
}

pub(super) fn filter(schema: Schema, filter: &Filter) -> Result<(), PermissionsError> {
    kind(schema, &filter.resource_kind)?;
    if let Some(resource) = &filter.resource_id {
        id(resource)?;
    }
    if let Some(relation) = &filter.relation {
        name(schema, &filter.resource_kind, relation)?;
    }
    if let Some(subject) = &filter.subject {
        object(schema, subject)?;
    }
    Ok(())
}

fn relationship(schema: Schema, r: &Relationship) -> Result<(), PermissionsError> {
    let resource = object(schema, &r.resource)?;
    object(schema, &r.subject)?;
    name(schema, &r.resource.kind, &r.relation)?;
    match resource.relation(&r.relation) {
        None => invalid(format!("`{}#{}` is a permission: relationships are written to relations", resource.name, r.relation)),
        Some(relation) if !relation.subjects.contains(&r.subject.kind.as_str()) => {
            invalid(format!("a `{}` may not be the subject of `{}#{}`", r.subject.kind, resource.name, relation.name))
        }
        Some(_) => Ok(()),
    }
}

pub(super) fn write(schema: Schema, updates: &[Update], preconditions: &[Precondition]) -> Result<(), PermissionsError> {
    if updates.len() > UPDATES_MAX {
        return invalid(format!("{} updates in one write, at most {UPDATES_MAX} are allowed", updates.len()));
    }
    if preconditions.len() > PRECONDITIONS_MAX {
        return invalid(format!("{} preconditions in one write, at most {PRECONDITIONS_MAX} are allowed", preconditions.len()));
    }
    let mut named = HashSet::with_capacity(updates.len());
    for update in updates {
        let (Update::Create(r) | Update::Touch(r) | Update::Delete(r)) = update;
        relationship(schema, r)?;
        if !named.insert(r) {
            return invalid(format!("{}:{}#{} is named twice for one subject", r.resource.kind, r.resource.id, r.relation));
        }
    }
    for precondition in preconditions {
        let (Precondition::MustMatch(f) | Precondition::MustNotMatch(f)) = precondition;
        filter(schema, f)?;
    }
    Ok(())
}
