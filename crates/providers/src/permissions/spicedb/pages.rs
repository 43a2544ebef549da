//! All relationships of one type, page by page. A page's cursor holds the snapshot of the first page: SpiceDB serves it until it
//! collects that snapshot (24 hours, unless it was started otherwise), and then says so.

use async_trait::async_trait;
use domain::permissions::{Consistency, PermissionsError, RelationshipPage, RelationshipPages};
use spicedb_grpc_tonic::v1;

use super::call::{Retry, within};
use super::{SpiceDb, fault, wire};

#[async_trait]
impl RelationshipPages for SpiceDb {
    async fn page(&self, kind: &str, after: Option<&str>, limit: u32) -> Result<RelationshipPage, PermissionsError> {
        let request = v1::ReadRelationshipsRequest {
            consistency: Some(wire::consistency(&Consistency::FullyConsistent)),
            relationship_filter: Some(v1::RelationshipFilter { resource_type: wire::name(kind)?, ..v1::RelationshipFilter::default() }),
            optional_limit: limit,
            optional_cursor: after.map(|token| v1::Cursor { token: token.to_owned() }),
        };
        let each = self.read.each;
        self.caller
            .call(&self.read.drained(), Retry::Freely, request, |mut to, request| async move {
                let (mut relationships, mut next) = (Vec::new(), None);
                let mut stream = within(each, to.permissions().read_relationships(request)).await?.into_inner();
                while let Some(found) = within(each, stream.message()).await? {
                    relationships.extend(found.relationship.and_then(wire::relationship_from));
                    next = found.after_result_cursor.map(|cursor| cursor.token);
                }
                let is_full = u32::try_from(relationships.len()).is_ok_and(|n| n == limit);
                Ok(RelationshipPage { relationships, next: next.filter(|_| is_full) })
            })
            .await
            .map_err(|failed| fault::of_read(&failed.status))
    }
}
