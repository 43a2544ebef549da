//! Runs that ended long ago, with rows of their journals: what a claim has to find its way past.

use domain::Principal;
use domain::ids::bucket;
use saga::journal::Ending;
use saga::{DefinitionId, Event, StoreError};
use serde_json::json;
use uuid::Uuid;

use super::{Bench, Runs};
use crate::db::Error;

crate::statements! {
    // Ids in the order in which they are made, each ending in its account's last byte.
    FINISHED = split(
        "insert into provisioning_runs (bucket, id, account_id, workspace_id, saga, saga_version, saga_digest, retry_of, retried_by,
           input, on_failure, exclusive, trace, created_by_kind, created_by_id, created_at, updated_at, version, state, waiting_for,
           ending, turned, done, total, deadline_at, terminal, owner, epoch, requested, turn, due_at, parked)
         select $1::smallint, ('0190' || lpad(to_hex(g), 26, '0') || lpad(to_hex($1::smallint::bigint), 2, '0'))::uuid, $2, null, $3, $4, $5, null, null, '{}',
           'rollback', false, '{}', $6, $7, $8, $8, 12, 'succeeded', null, 'succeeded', null, $9, $9, $8, true, null, 1, false, g, null, false
         from generate_series($10::bigint, $11::bigint) g",
        "insert into provisioning_runs (bucket, id, account_id, workspace_id, saga, saga_version, saga_digest, retry_of, retried_by,
           input, on_failure, exclusive, trace, created_by_kind, created_by_id, created_at, updated_at, version, state, waiting_for,
           ending, turned, done, total, deadline_at, terminal, owner, epoch, requested, turn, due_at, parked)
         with recursive series(g) as (select $10 union all select g + 1 from series where g < $11)
         select $1, unhex('0190' || printf('%026x', g) || printf('%02x', $1)), $2, null, $3, $4, $5, null, null, '{}',
           'rollback', false, '{}', $6, $7, $8, $8, 12, 'succeeded', null, 'succeeded', null, $9, $9, $8, true, null, 1, false, g, null, false
         from series",
    );
    JOURNAL = split(
        "insert into run_journal (bucket, run_id, seq, at, event)
         select $1::smallint, ('0190' || lpad(to_hex(g), 26, '0') || lpad(to_hex($1::smallint::bigint), 2, '0'))::uuid, s, $2, $3
         from generate_series($4::bigint, $5::bigint) g, generate_series(1, $6::bigint) s",
        "insert into run_journal (bucket, run_id, seq, at, event)
         with recursive series(g) as (select $4 union all select g + 1 from series where g < $5),
           rows(s) as (select 1 union all select s + 1 from rows where s < $6)
         select $1, unhex('0190' || printf('%026x', g) || printf('%02x', $1)), s, $2, $3 from series, rows",
    );
}

impl Bench {
    /// Runs of `account` number `from` to `to` that have succeeded, with `journal` records each, in one commit.
    ///
    /// # Errors
    /// As any statement.
    pub async fn finished(
        &self,
        account: Uuid,
        creator: Principal,
        definition: &DefinitionId,
        (from, to): (i64, i64),
        journal: u32,
    ) -> Result<(), StoreError> {
        Ok(self.store.db.attempt(|| self.insert_finished(account, creator, definition, (from, to), journal)).await?)
    }

    async fn insert_finished(
        &self,
        account: Uuid,
        creator: Principal,
        definition: &DefinitionId,
        (from, to): (i64, i64),
        journal: u32,
    ) -> Result<(), Error> {
        let mut tx = self.store.db.write().await?;
        let now = tx.now().await?;
        tx.query(&FINISHED).bind(Runs { account, definition, creator }).bind(now).bind(10_i64).bind(from).bind(to).execute().await?;
        if journal > 0 {
            let event = json!(Event::Ended { ending: Ending::Succeeded });
            let rows = tx.query(&JOURNAL).bind(bucket(account)).bind(now).bind(event).bind(from).bind(to).bind(i64::from(journal));
            rows.execute().await?;
        }
        tx.commit().await
    }
}
