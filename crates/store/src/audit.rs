//! The audit log: one chain per account, extended under the account's head row, so that `seq` has no gaps and follows
//! the order of the commits.

pub(crate) mod search;

use async_trait::async_trait;
use domain::audit::{Draft, Entry, seal};
use domain::ids::bucket;
use domain::ports::{AuditFilter, AuditLog, AuditOf, AuditPage};
use saga::StoreError;

use crate::Store;
use crate::db::{Error, Keys, Row, Tx};
use crate::heads::{self, Head};

crate::statements! {
    INSERT = shared(
        "insert into audit_entries (bucket, account_id, seq, id, workspace_id, action, occurred_at, hash, entry, outcome, actor_id, run_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    );
    INSERT_TARGETS = split(
        "insert into audit_targets (bucket, account_id, target_id, seq)
         select $1, $2, k.id, $3 from jsonb_to_recordset($4) as k(bucket smallint, id uuid) on conflict do nothing",
        "insert or ignore into audit_targets (bucket, account_id, target_id, seq)
         select $1, $2, unhex(k.value ->> 'id'), $3 from json_each($4) k",
    );
}

/// Puts `draft` at the end of the chain whose head is locked; the caller saves the head.
pub(crate) async fn append(tx: &mut Tx, head: &mut Head, draft: &Draft) -> Result<Entry, Error> {
    if draft.account_id != head.account_id {
        return Err(Error::broken(format!("an audit entry for account {} in a mutation of {}", draft.account_id, head.account_id)));
    }
    let now = tx.now().await?;
    // A clock that was set back turns no chain around: a time stays a place in it.
    let now = head.audit_at.map_or(now, |last| last.max(now));
    let seq = head.audit_seq + 1;
    let (entry, hash) = seal(draft, u64::try_from(seq).map_err(|e| Error::broken(e.to_string()))?, now, &head.audit_hash);
    let text = serde_json::to_string(&entry).map_err(|e| Error::broken(e.to_string()))?;
    tx.query(&INSERT)
        .bind(bucket(head.account_id))
        .bind(head.account_id)
        .bind(seq)
        .bind(entry.id)
        .bind(entry.workspace_id)
        .bind(entry.action.as_str())
        .bind(now)
        .bind(hash.as_slice())
        .bind(text)
        .bind(entry.outcome.as_str())
        .bind(entry.actor.as_ref().map(|actor| actor.principal.id))
        .bind(entry.run_id.map(|run| run.0))
        .execute()
        .await?;
    if !entry.targets.is_empty() {
        let targets = Keys::new(entry.targets.iter().map(|target| target.id));
        tx.query(&INSERT_TARGETS).bind(bucket(head.account_id)).bind(head.account_id).bind(seq).bind(targets).execute().await?;
    }
    head.audit_seq = seq;
    head.audit_at = Some(now);
    head.audit_hash = hash;
    Ok(entry)
}

/// Locks the draft's account, extends its chain, and saves its head: where nothing else of the head changes.
pub(crate) async fn append_alone(tx: &mut Tx, draft: &Draft) -> Result<Entry, Error> {
    let mut head = heads::lock_known(tx, draft.account_id).await?;
    let entry = append(tx, &mut head, draft).await?;
    heads::save(tx, &head).await?;
    Ok(entry)
}

fn entry(row: &Row) -> Result<Entry, Error> {
    let text: String = row.get("entry")?;
    serde_json::from_str(&text).map_err(|e| Error::broken(format!("an audit entry is not readable: {e}")))
}

impl Store {
    async fn append_entry(&self, draft: &Draft) -> Result<Entry, Error> {
        let mut tx = self.db.write().await?;
        let entry = append_alone(&mut tx, draft).await?;
        tx.commit().await?;
        Ok(entry)
    }
}

#[async_trait]
impl AuditLog for Store {
    async fn append(&self, draft: Draft) -> Result<Entry, StoreError> {
        Ok(self.db.attempt(|| self.append_entry(&draft)).await?)
    }

    async fn list(&self, of: AuditOf, filter: &AuditFilter, page: AuditPage) -> Result<Vec<Entry>, StoreError> {
        let mut tx = self.db.read().await?;
        let rows = search::rows(&mut tx, of, filter, page).await?;
        Ok(rows.iter().map(entry).collect::<Result<_, Error>>()?)
    }
}
