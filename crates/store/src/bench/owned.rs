//! How many runs are at work in somebody's hands.

use domain::ids::bucket;
use saga::StoreError;
use uuid::Uuid;

use super::Bench;
use crate::db::Error;

crate::statements! {
    OWNED = shared(
        "select count(*) as owned from provisioning_runs
         where bucket = $1 and account_id = $2 and state = 'running' and owner is not null and epoch >= $3",
    );
}

impl Bench {
    /// Runs of `account` that have begun and that a worker holds which is not known to be dead, claimed for the `claim`th time at least.
    ///
    /// # Errors
    /// As any statement.
    pub async fn owned(&self, account: Uuid, claim: i64) -> Result<u64, StoreError> {
        Ok(self.store.db.attempt(|| self.count_owned(account, claim)).await?)
    }

    async fn count_owned(&self, account: Uuid, claim: i64) -> Result<u64, Error> {
        let mut tx = self.store.db.read().await?;
        let row = tx.query(&OWNED).bind(bucket(account)).bind(account).bind(claim).fetch_one().await?;
        Ok(u64::try_from(row.get::<i64>("owned")?).unwrap_or_default())
    }
}
