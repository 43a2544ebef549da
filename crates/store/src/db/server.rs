//! What the PostgreSQL server is.

use super::{Db, Error};

crate::statements! {
    VERSION = split(
        "select current_setting('server_version_num')::bigint / 10000 as major",
        "select 0 as major",
    );
}

impl Db {
    /// PostgreSQL's major version; `None` on SQLite.
    ///
    /// # Errors
    /// As any statement.
    pub async fn postgres_version(&self) -> Result<Option<i64>, Error> {
        if self.is_sqlite() {
            return Ok(None);
        }
        let mut tx = self.read().await?;
        tx.query(&VERSION).fetch_one().await?.get("major").map(Some)
    }
}
