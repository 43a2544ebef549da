//! Runs of a saga that is about nothing but itself, inserted many at a time for an account that holds nothing else.

use domain::Principal;
use domain::ids::bucket;
use saga::{DefinitionId, RunId, StoreError};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Bench, Runs};
use crate::db::{Columns, Error};
use crate::heads;

crate::statements! {
    ACCOUNT = shared(
        "insert into accounts (bucket, id, name, slug, status, created_by_kind, created_by_id, created_at, updated_at, revision,
           permissions_token, run_id)
         values ($1, $2, 'Bench', 'bench', 'active', $3, $4, $5, $5, 1, null, $2)",
    );
    // One round trip; of one bucket. Turns as [`heads::Head::next_turn`] gives them.
    SUBMIT = split(
        "with head as (
           update account_heads h set last_turn = greatest(h.last_turn, (extract(epoch from t.now) * 1000000)::bigint) + $10 * cardinality($11::uuid[])
           from (select clock_timestamp() + $1 * interval '1 microsecond' as now) t
           where h.bucket = $2 and h.account_id = $3 returning h.last_turn, t.now),
         placed as (
           insert into provisioning_runs (bucket, id, account_id, workspace_id, saga, saga_version, saga_digest, retry_of, retried_by,
             input, on_failure, exclusive, trace, created_by_kind, created_by_id, created_at, updated_at, version, state, waiting_for,
             ending, turned, done, total, deadline_at, terminal, owner, epoch, requested, turn, due_at, parked)
           select $2, r.id, $3, null, $4, $5, $6, null, null, '{}', 'rollback', false, '{}', $7, $8, head.now, head.now, 1, 'pending', null,
             null, null, 0, $9, null, false, null, 0, false, head.last_turn - $10 * (cardinality($11::uuid[]) - r.place), head.now, false
           from head cross join unnest($11::uuid[]) with ordinality as r(id, place))
         select now from head",
        "insert into provisioning_runs (bucket, id, account_id, workspace_id, saga, saga_version, saga_digest, retry_of, retried_by,
           input, on_failure, exclusive, trace, created_by_kind, created_by_id, created_at, updated_at, version, state, waiting_for,
           ending, turned, done, total, deadline_at, terminal, owner, epoch, requested, turn, due_at, parked)
         select $1, unhex(r.value ->> 'id'), $2, null, $3, $4, $5, null, null, '{}', 'rollback', false, '{}', $6, $7, $8, $8, 1,
           'pending', null, null, null, 0, $9, null, false, null, 0, false, r.value ->> 'turn', $8, false
         from json_each($10) r",
    );
}

impl Bench {
    /// An active account with a head row, and no workspace, member or run.
    ///
    /// # Errors
    /// As any statement.
    pub async fn account(&self, id: Uuid, creator: Principal) -> Result<(), StoreError> {
        Ok(self.store.db.attempt(|| self.insert_account(id, creator)).await?)
    }

    /// Runs of `definition`, which has `total` steps, each at its account's next place in the queue: durable when this returns.
    ///
    /// # Errors
    /// As any statement.
    pub async fn submit(
        &self,
        account: Uuid,
        creator: Principal,
        definition: &DefinitionId,
        total: u32,
        runs: &[RunId],
    ) -> Result<(), StoreError> {
        Ok(self.store.db.attempt(|| self.insert_runs(account, creator, definition, total, runs)).await?)
    }

    async fn insert_account(&self, id: Uuid, creator: Principal) -> Result<(), Error> {
        let mut tx = self.store.db.write().await?;
        let now = tx.now().await?;
        let account = tx.query(&ACCOUNT).bind(bucket(id)).bind(id).bind(creator.kind.as_str()).bind(creator.id).bind(now);
        account.execute().await?;
        heads::insert(&mut tx, id, i64::from(u32::MAX)).await?;
        tx.commit().await
    }

    async fn insert_runs(
        &self,
        account: Uuid,
        creator: Principal,
        definition: &DefinitionId,
        total: u32,
        runs: &[RunId],
    ) -> Result<(), Error> {
        let of = Runs { account, definition, creator };
        if let Some(once) = self.store.db.once(&SUBMIT) {
            let query = once
                .bind(self.store.db.offset())
                .bind(of)
                .bind(i64::from(total))
                .bind(heads::TURN_STEP)
                .bind(Columns::default().ids(runs.iter().map(|run| run.0)));
            let placed = query.fetch_all().await?;
            return if placed.is_empty() { Err(Error::broken("the account has no head row")) } else { Ok(()) };
        }
        let mut tx = self.store.db.write_together().await?;
        let mut head = heads::lock_known(&mut tx, account).await?;
        let now = tx.now().await?;
        let rows: Value = runs.iter().map(|run| json!({"id": run.0.simple().to_string(), "turn": head.next_turn(now)})).collect();
        tx.query(&SUBMIT).bind(of).bind(now).bind(i64::from(total)).bind(rows).execute().await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await
    }
}
