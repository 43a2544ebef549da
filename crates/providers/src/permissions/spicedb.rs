//! SpiceDB as the permission system, over its gRPC API v1. No generated type leaves this module.
//!
//! One connection carries all calls. Each call ends by its own deadline, is tried again where that cannot do harm, and
//! tells an outage from a refusal: a "no" is only ever what SpiceDB answered. A write whose reply was lost is unknown, and so
//! is one that a second try finds refused: the first may have brought that about.

mod call;
mod connection;
mod fault;
mod key;
mod pages;
mod schema;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::permissions::{
    Cause, Check, Consistency, Filter, Object, Permissions, PermissionsError, Precondition, Relationship, UPDATES_MAX, Update,
};
use spicedb_grpc_tonic::v1;
use tonic::{Code, Response, Status};

use call::{Caller, Failed, Limits, Retry};
use connection::Connection;
pub use key::Key;
pub use schema::{Difference, SCHEMA, SchemaError};

/// Where SpiceDB is and how it is treated.
#[derive(Clone)]
pub struct Settings {
    /// `http://host:port`, `https://host:port`, or `unix:/path` of a socket.
    pub endpoint: String,
    pub key: Key,
    /// A file with certificates in PEM that its certificate is checked against, instead of the system's.
    pub ca: Option<PathBuf>,
    /// How long one try of a check, read or lookup may take, and how long all of them together.
    pub read: (Duration, Duration),
    /// The same for writes.
    pub write: (Duration, Duration),
    /// How many ids a lookup may find.
    pub lookup_max: usize,
    /// A number from 0 to 1 that spreads back-offs.
    pub jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Settings {
    #[must_use]
    pub fn new(endpoint: &str, key: Key, jitter: Arc<dyn Fn() -> f64 + Send + Sync>) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            key,
            ca: None,
            read: (Duration::from_secs(1), Duration::from_millis(2_500)),
            write: (Duration::from_secs(2), Duration::from_secs(5)),
            lookup_max: 10_000,
            jitter,
        }
    }
}

/// A setting that cannot be used, or a file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

/// How many checks one call carries; SpiceDB takes 10,000.
const CHECKS_MAX: usize = 1_000;

/// [`Permissions`] over a SpiceDB.
pub struct SpiceDb {
    caller: Caller,
    read: Limits,
    write: Limits,
    lookup_max: usize,
}

impl SpiceDb {
    /// Connects when it is first asked: SpiceDB need not be up yet.
    ///
    /// # Errors
    /// The endpoint, the key or the certificates cannot be used.
    pub async fn new(settings: Settings) -> Result<Self, SettingsError> {
        let connection = Connection::new(&settings.endpoint, settings.ca.as_deref()).await?;
        let limits = |(each, all)| Limits { each, all };
        Ok(Self {
            caller: Caller::new(connection, settings.key.open().await?, settings.jitter),
            read: limits(settings.read),
            write: limits(settings.write),
            lookup_max: settings.lookup_max,
        })
    }

    /// One read, at a consistency that SpiceDB may no longer be able to give.
    async fn read_at<T, F>(&self, consistency: &Consistency, read: impl Fn(v1::Consistency) -> F) -> Result<T, PermissionsError>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        match read(wire::consistency(consistency)).await {
            // A token too old, of another datastore, or of the embedded permission system.
            Err(Failed { status, .. })
                if matches!(consistency, Consistency::AtLeastAsFresh(_))
                    && matches!(status.code(), Code::OutOfRange | Code::InvalidArgument | Code::FailedPrecondition) =>
            {
                read(wire::consistency(&Consistency::FullyConsistent)).await
            }
            answer => answer,
        }
        .map_err(|failed| fault::of_read(&failed.status))
    }

    /// Bulk checks of one revision: all calls but the first are asked at the snapshot of the first.
    async fn bulk(&self, checks: &[v1::CheckBulkPermissionsRequestItem], at: v1::Consistency) -> Result<Vec<bool>, Failed> {
        let mut answers = Vec::with_capacity(checks.len());
        let mut consistency = at;
        for chunk in checks.chunks(CHECKS_MAX) {
            let request = v1::CheckBulkPermissionsRequest { consistency: Some(consistency), items: chunk.to_vec(), with_tracing: false };
            let response = self
                .caller
                .call(&self.read, Retry::Freely, request, |mut to, request| async move {
                    to.permissions().check_bulk_permissions(request).await.map(Response::into_inner)
                })
                .await?;
            consistency = wire::snapshot(response.checked_at);
            answers.extend(wire::answers(chunk, response.pairs).map_err(Failed::from)?);
        }
        Ok(answers)
    }

    async fn drain(&self, request: v1::LookupResourcesRequest) -> Result<Result<Found, usize>, Failed> {
        let (each, most) = (self.read.each, self.lookup_max);
        self.caller
            .call(&self.read.drained(), Retry::Freely, request, |mut to, request| async move {
                let mut found = Found { ids: BTreeSet::new(), at: None };
                let mut stream = call::within(each, to.permissions().lookup_resources(request)).await?.into_inner();
                while let Some(next) = call::within(each, stream.message()).await? {
                    if next.permissionship != i32::from(v1::LookupPermissionship::HasPermission) {
                        return Err(Status::invalid_argument("a lookup found a permission that depends on a caveat"));
                    }
                    // What is reachable by two paths comes twice.
                    found.ids.insert(next.resource_object_id);
                    found.at = next.looked_up_at.or(found.at);
                    if found.ids.len() > most {
                        return Ok(Err(most));
                    }
                }
                Ok(Ok(found))
            })
            .await
    }

    async fn lookup_at(&self, request: &v1::LookupResourcesRequest, at: v1::Consistency) -> Result<Result<Vec<String>, usize>, Failed> {
        let found = match self.drain(v1::LookupResourcesRequest { consistency: Some(at), ..request.clone() }).await? {
            Ok(found) => found,
            Err(most) => return Ok(Err(most)),
        };
        // Most wrong answers that SpiceDB ever gave were those of lookups: each is asked for once more by itself.
        let ids: Vec<_> = found.ids.into_iter().collect();
        let check = |id: &String| v1::CheckBulkPermissionsRequestItem {
            resource: Some(v1::ObjectReference { object_type: request.resource_object_type.clone(), object_id: id.clone() }),
            permission: request.permission.clone(),
            subject: request.subject.clone(),
            context: None,
        };
        let checks: Vec<_> = ids.iter().map(check).collect();
        let held = self.bulk(&checks, wire::snapshot(found.at)).await?;
        if held.contains(&false) {
            tracing::error!(permission = request.permission, "a lookup of SpiceDB found what its check denies; the check is believed");
        }
        Ok(Ok(ids.into_iter().zip(held).filter(|(_, held)| *held).map(|(id, _)| id).collect()))
    }
}

/// What a lookup found, and at which snapshot.
struct Found {
    ids: BTreeSet<String>,
    at: Option<v1::ZedToken>,
}

#[async_trait]
impl Permissions for SpiceDb {
    async fn check(&self, checks: &[Check], consistency: &Consistency) -> Result<Vec<bool>, PermissionsError> {
        if checks.is_empty() {
            return Ok(Vec::new());
        }
        let items = checks.iter().map(wire::check).collect::<Result<Vec<_>, _>>()?;
        self.read_at(consistency, |at| self.bulk(&items, at)).await
    }

    async fn write(&self, updates: &[Update], preconditions: &[Precondition], cause: &Cause) -> Result<String, PermissionsError> {
        if updates.len() > UPDATES_MAX {
            return Err(PermissionsError::Invalid(format!("{} updates in one write, at most {UPDATES_MAX} are allowed", updates.len())));
        }
        let request = v1::WriteRelationshipsRequest {
            updates: updates.iter().map(wire::update).collect::<Result<_, _>>()?,
            optional_preconditions: preconditions.iter().map(wire::precondition).collect::<Result<_, _>>()?,
            optional_transaction_metadata: Some(wire::metadata(cause)),
        };
        let sent = request.optional_preconditions.clone();
        let written = self
            .caller
            .call(&self.write, Retry::Harmlessly, request, |mut to, request| async move {
                to.permissions().write_relationships(request).await.map(Response::into_inner)
            })
            .await;
        match written {
            Ok(response) => Ok(response.written_at.unwrap_or_default().token),
            Err(failed) => Err(fault::of_write(&failed, &sent)),
        }
    }

    async fn read(&self, filter: &Filter) -> Result<Vec<Relationship>, PermissionsError> {
        let request = v1::ReadRelationshipsRequest {
            consistency: Some(wire::consistency(&Consistency::FullyConsistent)),
            relationship_filter: Some(wire::filter(filter)?),
            ..v1::ReadRelationshipsRequest::default()
        };
        let each = self.read.each;
        let found = self
            .caller
            .call(&self.read.drained(), Retry::Freely, request, |mut to, request| async move {
                let mut found = BTreeSet::new();
                let mut stream = call::within(each, to.permissions().read_relationships(request)).await?.into_inner();
                while let Some(next) = call::within(each, stream.message()).await? {
                    found.extend(next.relationship.and_then(wire::relationship_from));
                }
                Ok(found)
            })
            .await
            .map_err(|failed| fault::of_read(&failed.status))?;
        Ok(found.into_iter().collect())
    }

    async fn lookup(
        &self,
        kind: &str,
        permission: &str,
        subject: &Object,
        consistency: &Consistency,
    ) -> Result<Vec<String>, PermissionsError> {
        let request = v1::LookupResourcesRequest {
            resource_object_type: wire::name(kind)?,
            permission: wire::name(permission)?,
            subject: Some(wire::subject(subject)?),
            ..v1::LookupResourcesRequest::default()
        };
        let found = self.read_at(consistency, |at| self.lookup_at(&request, at)).await?;
        found.map_err(|most| PermissionsError::TooMany { most })
    }

    async fn ready(&self) -> Result<(), PermissionsError> {
        self.verify_schema().await
    }
}
