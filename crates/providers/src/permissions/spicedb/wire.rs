//! Between the port's words and SpiceDB's.
//!
//! What SpiceDB gives a second meaning is refused here: an empty field of a filter matches everything there, and the id `*`
//! is everybody.

use std::collections::BTreeMap;

use domain::permissions::{Cause, Check, Consistency, Filter, Object, PermissionsError, Precondition, Relationship, Update};
use prost_types::value::Kind;
use spicedb_grpc_tonic::v1;
use spicedb_grpc_tonic::v1::check_bulk_permissions_pair::Response;
use spicedb_grpc_tonic::v1::check_permission_response::Permissionship;
use spicedb_grpc_tonic::v1::consistency::Requirement;
use spicedb_grpc_tonic::v1::precondition::Operation as Must;
use spicedb_grpc_tonic::v1::relationship_update::Operation;
use tonic::{Code, Status};

fn invalid<T>(message: String) -> Result<T, PermissionsError> {
    Err(PermissionsError::Invalid(message))
}

/// Of a type, a relation or a permission.
pub(super) fn name(name: &str) -> Result<String, PermissionsError> {
    if name.is_empty() { invalid("a type, relation or permission without a name".to_owned()) } else { Ok(name.to_owned()) }
}

fn id(id: &str) -> Result<String, PermissionsError> {
    if id.is_empty() || id == "*" { invalid(format!("`{id}` is not an object id")) } else { Ok(id.to_owned()) }
}

fn object(object: &Object) -> Result<v1::ObjectReference, PermissionsError> {
    Ok(v1::ObjectReference { object_type: name(&object.kind)?, object_id: id(&object.id)? })
}

pub(super) fn subject(subject: &Object) -> Result<v1::SubjectReference, PermissionsError> {
    Ok(v1::SubjectReference { object: Some(object(subject)?), optional_relation: String::new() })
}

pub(super) fn consistency(consistency: &Consistency) -> v1::Consistency {
    let requirement = match consistency {
        Consistency::FullyConsistent => Requirement::FullyConsistent(true),
        Consistency::AtLeastAsFresh(token) => Requirement::AtLeastAsFresh(v1::ZedToken { token: token.clone() }),
        Consistency::MinimizeLatency => Requirement::MinimizeLatency(true),
    };
    v1::Consistency { requirement: Some(requirement) }
}

/// Exactly what was seen when this token was given.
pub(super) fn snapshot(token: Option<v1::ZedToken>) -> v1::Consistency {
    v1::Consistency { requirement: Some(token.map_or(Requirement::FullyConsistent(true), Requirement::AtExactSnapshot)) }
}

pub(super) fn check(check: &Check) -> Result<v1::CheckBulkPermissionsRequestItem, PermissionsError> {
    Ok(v1::CheckBulkPermissionsRequestItem {
        resource: Some(object(&check.resource)?),
        permission: name(&check.permission)?,
        subject: Some(subject(&check.subject)?),
        context: None,
    })
}

/// One answer per item, in the order of the items. Neither a pair that is missing nor one about something else nor one with an
/// error is a "no".
pub(super) fn answers(
    asked: &[v1::CheckBulkPermissionsRequestItem],
    pairs: Vec<v1::CheckBulkPermissionsPair>,
) -> Result<Vec<bool>, Status> {
    if pairs.len() != asked.len() {
        return Err(Status::invalid_argument(format!("{} checks were answered {} times", asked.len(), pairs.len())));
    }
    let answer = |(item, pair): (&v1::CheckBulkPermissionsRequestItem, v1::CheckBulkPermissionsPair)| {
        if pair.request.as_ref() != Some(item) {
            return Err(Status::invalid_argument("a check was answered in another one's place"));
        }
        match pair.response {
            Some(Response::Item(item)) if item.permissionship == i32::from(Permissionship::HasPermission) => Ok(true),
            Some(Response::Item(item)) if item.permissionship == i32::from(Permissionship::NoPermission) => Ok(false),
            Some(Response::Error(status)) => Err(Status::new(Code::from(status.code), status.message)),
            Some(Response::Item(_)) | None => Err(Status::invalid_argument("a check was answered neither yes nor no")),
        }
    };
    asked.iter().zip(pairs).map(answer).collect()
}

pub(super) fn filter(filter: &Filter) -> Result<v1::RelationshipFilter, PermissionsError> {
    let given =
        |field: &Option<String>, of: fn(&str) -> Result<String, PermissionsError>| field.as_deref().map_or_else(|| Ok(String::new()), of);
    let of_subject = |subject: &Object| {
        let v1::ObjectReference { object_type, object_id } = object(subject)?;
        Ok(v1::SubjectFilter { subject_type: object_type, optional_subject_id: object_id, optional_relation: None })
    };
    Ok(v1::RelationshipFilter {
        resource_type: name(&filter.resource_kind)?,
        optional_resource_id: given(&filter.resource_id, id)?,
        optional_resource_id_prefix: String::new(),
        optional_relation: given(&filter.relation, name)?,
        optional_subject_filter: filter.subject.as_ref().map(of_subject).transpose()?,
    })
}

pub(super) fn precondition(precondition: &Precondition) -> Result<v1::Precondition, PermissionsError> {
    let (must, of) = match precondition {
        Precondition::MustMatch(of) => (Must::MustMatch, of),
        Precondition::MustNotMatch(of) => (Must::MustNotMatch, of),
    };
    Ok(v1::Precondition { operation: must.into(), filter: Some(filter(of)?) })
}

pub(super) fn update(update: &Update) -> Result<v1::RelationshipUpdate, PermissionsError> {
    let (operation, r) = match update {
        Update::Create(r) => (Operation::Create, r),
        Update::Touch(r) => (Operation::Touch, r),
        Update::Delete(r) => (Operation::Delete, r),
    };
    let relationship = v1::Relationship {
        resource: Some(object(&r.resource)?),
        relation: name(&r.relation)?,
        subject: Some(subject(&r.subject)?),
        ..v1::Relationship::default()
    };
    Ok(v1::RelationshipUpdate { operation: operation.into(), relationship: Some(relationship) })
}

pub(super) fn relationship_from(r: v1::Relationship) -> Option<Relationship> {
    let object = |o: v1::ObjectReference| Object { kind: o.object_type, id: o.object_id };
    Some(Relationship { resource: object(r.resource?), relation: r.relation, subject: object(r.subject?.object?) })
}

/// Why a write was made, as the transaction keeps it.
pub(super) fn metadata(cause: &Cause) -> prost_types::Struct {
    let text = |value: String| prost_types::Value { kind: Some(Kind::StringValue(value)) };
    let mut fields = BTreeMap::from([("by".to_owned(), text("berth".to_owned()))]);
    match cause {
        Cause::Step { run, step, attempt } => {
            fields.insert("run".to_owned(), text(run.to_string()));
            fields.insert("step".to_owned(), text(step.clone()));
            fields.insert("attempt".to_owned(), prost_types::Value { kind: Some(Kind::NumberValue(f64::from(*attempt))) });
        }
        Cause::MembershipChange(change) => drop(fields.insert("membership_change".to_owned(), text(change.to_string()))),
        Cause::Repair(repair) => drop(fields.insert("repair".to_owned(), text(repair.to_string()))),
        Cause::Hand(what) => drop(fields.insert("cause".to_owned(), text((*what).to_owned()))),
    }
    prost_types::Struct { fields }
}
