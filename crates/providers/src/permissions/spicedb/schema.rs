//! The schema in SpiceDB: compared with ours, written where that loses nothing, verified by readiness.
//!
//! It is written by a command, once per release, never by a replica that starts: replicas of two releases would write it back
//! and forth.

use std::fmt;

use domain::permissions::{Consistency, PermissionsError};
use spicedb_grpc_tonic::v1;
use spicedb_grpc_tonic::v1::reflection_schema_diff::Diff;
use tonic::{Code, Response};

use super::call::Retry;
use super::{SpiceDb, fault, wire};

/// The schema that this version of Berth works with.
pub const SCHEMA: &str = include_str!("../../../../../deploy/spicedb/schema.zed");

/// One thing in which SpiceDB's schema is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Ours has it, SpiceDB's does not.
    Missing(String),
    /// SpiceDB's has it, ours does not: a later version's, or what an earlier one left.
    Surplus(String),
    /// Both have it, and it means something else.
    Changed(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "+ {what}"),
            Self::Surplus(what) => write!(f, "- {what}"),
            Self::Changed(what) => write!(f, "~ {what}"),
        }
    }
}

/// Why the schema was not written.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the schema would drop what relationships stand on: {}. Delete these relationships first, or keep the older version", .0.join("; "))]
    HoldsData(Vec<String>),
    #[error(transparent)]
    Permissions(#[from] PermissionsError),
}

/// What a difference takes away, and the tuples that would be lost with it.
struct Dropped {
    what: String,
    filters: Vec<v1::RelationshipFilter>,
}

fn subjects(kind: &str) -> v1::SubjectFilter {
    v1::SubjectFilter { subject_type: kind.to_owned(), ..v1::SubjectFilter::default() }
}

fn is_missing() -> PermissionsError {
    PermissionsError::Invalid("SpiceDB told of a difference without saying which".to_owned())
}

/// `None` for a comment, which means nothing.
fn difference(diff: &Diff) -> Option<Difference> {
    let relation = |r: &v1::ReflectionRelation| format!("relation {}#{}", r.parent_definition_name, r.name);
    let permission = |p: &v1::ReflectionPermission| format!("permission {}#{}", p.parent_definition_name, p.name);
    let subject = |change: &v1::ReflectionRelationSubjectTypeChange| {
        let of = change.relation.as_ref().map(relation).unwrap_or_default();
        let kind = change.changed_subject_type.as_ref().map_or("", |t| t.subject_definition_name.as_str());
        format!("{of}: {kind}")
    };
    Some(match diff {
        Diff::DefinitionAdded(d) => Difference::Missing(format!("definition {}", d.name)),
        Diff::DefinitionRemoved(d) => Difference::Surplus(format!("definition {}", d.name)),
        Diff::RelationAdded(r) => Difference::Missing(relation(r)),
        Diff::RelationRemoved(r) => Difference::Surplus(relation(r)),
        Diff::RelationSubjectTypeAdded(c) => Difference::Missing(subject(c)),
        Diff::RelationSubjectTypeRemoved(c) => Difference::Surplus(subject(c)),
        Diff::PermissionAdded(p) => Difference::Missing(permission(p)),
        Diff::PermissionRemoved(p) => Difference::Surplus(permission(p)),
        Diff::PermissionExprChanged(p) => Difference::Changed(permission(p)),
        Diff::CaveatAdded(c) => Difference::Missing(format!("caveat {}", c.name)),
        Diff::CaveatRemoved(c) => Difference::Surplus(format!("caveat {}", c.name)),
        Diff::CaveatExprChanged(c) => Difference::Changed(format!("caveat {}", c.name)),
        Diff::CaveatParameterAdded(p) | Diff::CaveatParameterRemoved(p) => Difference::Changed(format!("caveat {}", p.parent_caveat_name)),
        Diff::CaveatParameterTypeChanged(c) => {
            Difference::Changed(format!("caveat {}", c.parameter.as_ref().map_or("", |p| p.parent_caveat_name.as_str())))
        }
        Diff::DefinitionDocCommentChanged(_)
        | Diff::RelationDocCommentChanged(_)
        | Diff::PermissionDocCommentChanged(_)
        | Diff::CaveatDocCommentChanged(_) => return None,
    })
}

/// `None` where nothing is lost.
fn dropped(diff: &Diff) -> Option<Dropped> {
    let of = |kind: &str, relation: &str, subject: Option<v1::SubjectFilter>| v1::RelationshipFilter {
        resource_type: kind.to_owned(),
        optional_relation: relation.to_owned(),
        optional_subject_filter: subject,
        ..v1::RelationshipFilter::default()
    };
    let filters = match diff {
        Diff::DefinitionRemoved(d) => vec![of(&d.name, "", None), of("", "", Some(subjects(&d.name)))],
        Diff::RelationRemoved(r) => vec![of(&r.parent_definition_name, &r.name, None)],
        Diff::RelationSubjectTypeRemoved(c) => {
            let (relation, kind) = (c.relation.as_ref()?, c.changed_subject_type.as_ref()?);
            vec![of(&relation.parent_definition_name, &relation.name, Some(subjects(&kind.subject_definition_name)))]
        }
        _ => return None,
    };
    Some(Dropped { what: difference(diff)?.to_string(), filters })
}

impl SpiceDb {
    async fn diff(&self) -> Result<Vec<Diff>, PermissionsError> {
        let request = v1::DiffSchemaRequest {
            consistency: Some(wire::consistency(&Consistency::FullyConsistent)),
            comparison_schema: SCHEMA.to_owned(),
        };
        let response = self
            .caller
            .call(&self.read, Retry::Freely, request, |mut to, request| async move {
                to.schema().diff_schema(request).await.map(Response::into_inner)
            })
            .await;
        match response {
            Ok(response) => response.diffs.into_iter().map(|d| d.diff.ok_or_else(is_missing)).collect(),
            Err(failed) => Err(fault::of_read(&failed.status)),
        }
    }

    /// In what SpiceDB's schema is not ours; comments apart.
    ///
    /// # Errors
    /// An outage.
    pub async fn schema_differences(&self) -> Result<Vec<Difference>, PermissionsError> {
        Ok(self.diff().await?.iter().filter_map(difference).collect())
    }

    /// Writes our schema where SpiceDB's is another, and tells in what it was.
    ///
    /// # Errors
    /// It would drop a definition, a relation or a subject type that relationships stand on; an outage.
    pub async fn write_schema(&self) -> Result<Vec<Difference>, SchemaError> {
        let diffs = self.diff().await?;
        let differences: Vec<_> = diffs.iter().filter_map(difference).collect();
        if differences.is_empty() {
            return Ok(differences);
        }
        let mut holding = Vec::new();
        for dropped in diffs.iter().filter_map(dropped) {
            if self.any(&dropped.filters).await? {
                holding.push(dropped.what);
            }
        }
        if !holding.is_empty() {
            return Err(SchemaError::HoldsData(holding));
        }
        self.write_schema_text(SCHEMA.to_owned()).await.map(|()| differences)
    }

    pub(in crate::permissions) async fn write_schema_text(&self, schema: String) -> Result<(), SchemaError> {
        let request = v1::WriteSchemaRequest { schema };
        let written = self
            .caller
            .call(&self.write, Retry::Harmlessly, request, |mut to, request| async move {
                to.schema().write_schema(request).await.map(Response::into_inner)
            })
            .await;
        match written {
            Ok(_) => Ok(()),
            // A relationship came between the look and the write: SpiceDB looks once more, in the write's transaction.
            Err(failed) if failed.status.code() == Code::InvalidArgument => {
                Err(SchemaError::HoldsData(vec![failed.status.message().to_owned()]))
            }
            Err(failed) => Err(fault::of_write(&failed, &[]).into()),
        }
    }

    /// Whether any relationship matches one of these.
    async fn any(&self, filters: &[v1::RelationshipFilter]) -> Result<bool, PermissionsError> {
        for filter in filters {
            let request = v1::ReadRelationshipsRequest {
                consistency: Some(wire::consistency(&Consistency::FullyConsistent)),
                relationship_filter: Some(filter.clone()),
                optional_limit: 1,
                ..v1::ReadRelationshipsRequest::default()
            };
            let found = self
                .caller
                .call(&self.read, Retry::Freely, request, |mut to, request| async move {
                    to.permissions().read_relationships(request).await?.into_inner().message().await
                })
                .await
                .map_err(|failed| fault::of_read(&failed.status))?;
            if found.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// That SpiceDB has all of our schema, and nothing in it means something else. More than that is a later version's, beside
    /// which this one goes on working.
    pub(super) async fn verify_schema(&self) -> Result<(), PermissionsError> {
        let lacking: Vec<_> =
            self.schema_differences().await?.iter().filter(|d| !matches!(d, Difference::Surplus(_))).map(ToString::to_string).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        Err(PermissionsError::Invalid(format!(
            "SpiceDB's schema is not this version's ({}): run `berth permissions schema write`",
            lacking.join(", ")
        )))
    }
}
