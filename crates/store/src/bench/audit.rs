//! More audit entries than anybody causes in an afternoon, each in its place in the chain.

use domain::audit::{Draft, seal};
use domain::ids::{bucket, within};
use saga::StoreError;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Bench;
use crate::db::Error;
use crate::heads;

crate::statements! {
    ENTRIES = split(
        "insert into audit_entries (bucket, account_id, seq, id, workspace_id, action, occurred_at, hash, entry, outcome, actor_id, run_id)
         select $1, $2, e.seq, e.id, $3, $4, $5, decode(e.hash, 'hex'), e.entry, 'accepted', null, null
         from jsonb_to_recordset($6) as e(seq bigint, id uuid, hash text, entry text)",
        "insert into audit_entries (bucket, account_id, seq, id, workspace_id, action, occurred_at, hash, entry, outcome, actor_id, run_id)
         select $1, $2, e.value ->> 'seq', unhex(e.value ->> 'id'), $3, $4, $5, unhex(e.value ->> 'hash'), e.value ->> 'entry', 'accepted',
           null, null
         from json_each($6) e",
    );
    TARGETS = split(
        "insert into audit_targets (bucket, account_id, target_id, seq)
         select $1, $2, $3, e.seq from jsonb_to_recordset($4) as e(seq bigint)",
        "insert into audit_targets (bucket, account_id, target_id, seq) select $1, $2, $3, e.value ->> 'seq' from json_each($4) e",
    );
}

const ACTION: &str = "bench.entry";

/// Whose audit log is filled, and what with.
#[derive(Debug, Clone, Copy)]
pub struct Filling {
    pub account: Uuid,
    pub workspace: Uuid,
    /// How many entries one commit appends.
    pub batch: u32,
}

impl Bench {
    /// Appends a batch of entries about a workspace to its account's chain, in one commit.
    ///
    /// # Errors
    /// As any statement.
    pub async fn audit_entries(&self, filling: Filling) -> Result<(), StoreError> {
        Ok(self.store.db.attempt(|| self.append_entries(filling)).await?)
    }

    async fn append_entries(&self, Filling { account, workspace, batch }: Filling) -> Result<(), Error> {
        let mut tx = self.store.db.write().await?;
        let mut head = heads::lock_known(&mut tx, account).await?;
        let now = tx.now().await?;
        let mut rows = Vec::new();
        for _ in 0..batch {
            head.audit_seq += 1;
            let draft = Draft::with_id(within(account, Uuid::now_v7()), account, Some(workspace), ACTION)
                .target("workspace", workspace)
                .after(json!({"name": "A workspace", "labels": {"team": "data", "cost_centre": "4711"}, "region": "local"}));
            let seq = u64::try_from(head.audit_seq).map_err(|_| Error::broken("a chain counts from 1"))?;
            let (entry, hash) = seal(&draft, seq, now, &head.audit_hash);
            head.audit_hash = hash;
            let text = serde_json::to_string(&entry).map_err(|e| Error::broken(e.to_string()))?;
            rows.push(json!({"seq": head.audit_seq, "id": draft.id.simple().to_string(), "hash": crate::words::hex(&hash), "entry": text}));
        }
        head.audit_at = Some(now);
        let targets: Value = rows.iter().map(|row| json!({"seq": row["seq"]})).collect();
        tx.query(&ENTRIES)
            .bind(bucket(account))
            .bind(account)
            .bind(workspace)
            .bind(ACTION)
            .bind(now)
            .bind(Value::Array(rows))
            .execute()
            .await?;
        tx.query(&TARGETS).bind(bucket(account)).bind(account).bind(workspace).bind(targets).execute().await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await
    }
}
