//! The permission system of a test's Berth.

use std::sync::Arc;

use domain::permissions::{Permissions, RelationshipPages};
use providers::permissions::Embedded;
use providers::permissions::spicedb::{Key, Settings, SpiceDb};
use store::Store;

/// The SpiceDB with this endpoint and key, given the schema, or the embedded one over `store`; behind both of its ports.
pub async fn open(store: &Arc<Store>, spicedb: Option<(String, String)>) -> (Arc<dyn Permissions>, Arc<dyn RelationshipPages>) {
    let Some((endpoint, key)) = spicedb else {
        let embedded = Arc::new(Embedded::new(store.clone()));
        return (embedded.clone(), embedded);
    };
    let settings = Settings::new(&endpoint, Key::Given(key), Arc::new(|| 0.5));
    let spicedb = Arc::new(SpiceDb::new(settings).await.unwrap());
    spicedb.write_schema().await.unwrap();
    (spicedb.clone(), spicedb)
}
