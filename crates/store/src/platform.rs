//! The platform's own row: written once, with the audit entry that begins the platform's chain.

use async_trait::async_trait;
use domain::Principal;
use domain::audit::Draft;
use domain::ids::{PLATFORM, bucket};
use domain::ports::{FirstOperator, Platform};
use saga::StoreError;

use crate::db::Error;
use crate::{Store, audit, heads, words};

crate::statements! {
    INSERT = shared(
        "insert into platform (bucket, id, operator_kind, operator_id, bootstrapped_at) values ($1, $2, $3, $4, $5)
         on conflict (bucket, id) do nothing",
    );
    GET = shared("select operator_kind, operator_id, bootstrapped_at from platform where bucket = $1 and id = $2");
}

impl Store {
    async fn begin_platform(&self, operator: Principal, draft: &Draft) -> Result<Option<FirstOperator>, Error> {
        let mut tx = self.db.write().await?;
        // Its lock is what a second one waits for.
        let mut head = heads::lock_known(&mut tx, PLATFORM).await?;
        let now = tx.now().await?;
        let key = bucket(PLATFORM);
        let insert = tx.query(&INSERT).bind(key).bind(PLATFORM).bind(operator.kind.as_str()).bind(operator.id).bind(now);
        if insert.execute().await? == 0 {
            let row = tx.query(&GET).bind(key).bind(PLATFORM).fetch_one().await?;
            let first = FirstOperator { principal: words::principal(&row, "operator")?, at: row.get("bootstrapped_at")? };
            tx.rollback().await?;
            return Ok(Some(first));
        }
        audit::append(&mut tx, &mut head, draft).await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await?;
        Ok(None)
    }
}

#[async_trait]
impl Platform for Store {
    async fn begin(&self, operator: Principal, audit: Draft) -> Result<Option<FirstOperator>, StoreError> {
        Ok(self.db.attempt(|| self.begin_platform(operator, &audit)).await?)
    }
}
