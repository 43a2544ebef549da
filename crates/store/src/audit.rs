//! The audit log: one chain per account, extended under the account's head row, so that `seq` has no gaps and follows
//! the order of the commits.

use async_trait::async_trait;
use domain::audit::{Draft, Entry, seal};
use domain::ids::bucket;
use domain::ports::AuditLog;
use saga::StoreError;
use uuid::Uuid;

use crate::Store;
use crate::db::{Error, Row, Tx};
use crate::heads::{self, Head};

crate::statements! {
    INSERT = shared(
        "insert into audit_entries (bucket, account_id, seq, id, workspace_id, action, occurred_at, hash, entry)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    );
    OF_WORKSPACE = shared(
        "select e.entry from audit_entries e
         join workspaces w on w.bucket = e.bucket and w.account_id = e.account_id and w.id = e.workspace_id
         where e.bucket = $1 and e.workspace_id = $2 and (e.seq < $3 or $3 is null)
         order by e.seq desc limit $4",
    );
    OF_ACCOUNT = shared(
        "select entry from audit_entries where bucket = $1 and account_id = $2 and seq > $3 order by seq limit $4",
    );
}

/// Puts `draft` at the end of the chain whose head is locked; the caller saves the head.
pub(crate) async fn append(tx: &mut Tx, head: &mut Head, draft: &Draft) -> Result<Entry, Error> {
    if draft.account_id != head.account_id {
        return Err(Error::broken(format!("an audit entry for account {} in a mutation of {}", draft.account_id, head.account_id)));
    }
    let now = tx.now().await?;
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
        .execute()
        .await?;
    head.audit_seq = seq;
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

    async fn of_workspace(&self, workspace: Uuid, before: Option<u64>, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let mut tx = self.db.read().await?;
        let rows = tx
            .query(&OF_WORKSPACE)
            .bind(bucket(workspace))
            .bind(workspace)
            .bind(before.map(|seq| i64::try_from(seq).unwrap_or(i64::MAX)))
            .bind(i64::from(limit))
            .fetch_all()
            .await?;
        Ok(rows.iter().map(entry).collect::<Result<_, Error>>()?)
    }

    async fn of_account(&self, account: Uuid, after: u64, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let mut tx = self.db.read().await?;
        let rows = tx
            .query(&OF_ACCOUNT)
            .bind(bucket(account))
            .bind(account)
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all()
            .await?;
        Ok(rows.iter().map(entry).collect::<Result<_, Error>>()?)
    }
}
