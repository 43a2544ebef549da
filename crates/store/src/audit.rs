//! The audit log: one chain per account, extended under the account's head row, so that `seq` has no gaps and follows
//! the order of the commits.

pub(crate) mod search;

use async_trait::async_trait;
use domain::audit::{Draft, Entry, seal};
use domain::ports::{AuditFilter, AuditLog, AuditOf, AuditPage};
use saga::{StoreError, Time};

use crate::Store;
use crate::db::{Columns, Error, Row, Tx};
use crate::heads::{self, Head};

crate::statements! {
    INSERT = split(
        "insert into audit_entries (bucket, account_id, seq, id, workspace_id, action, occurred_at, hash, entry, outcome, actor_id, run_id)
         select * from unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::uuid[], $5::uuid[], $6::text[], $7::timestamptz[], $8::bytea[],
           $9::text[], $10::text[], $11::uuid[], $12::uuid[])",
        "insert into audit_entries (bucket, account_id, seq, id, workspace_id, action, occurred_at, hash, entry, outcome, actor_id, run_id)
         select value->>0, unhex(value->>1), value->>2, unhex(value->>3), unhex(value->>4), value->>5, value->>6, unhex(value->>7), value->>8,
           value->>9, unhex(value->>10), unhex(value->>11)
         from json_each($1)",
    );
    INSERT_TARGETS = split(
        "insert into audit_targets (bucket, account_id, target_id, seq)
         select * from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::bigint[]) on conflict do nothing",
        "insert or ignore into audit_targets (bucket, account_id, target_id, seq)
         select value->>0, unhex(value->>1), unhex(value->>2), value->>3 from json_each($1)",
    );
}

/// An entry in its place in the chain, to be inserted in the transaction that saves the head.
pub(crate) struct Sealed {
    entry: Entry,
    hash: [u8; 32],
    seq: i64,
    at: Time,
}

/// Puts `draft` at the end of the chain whose head is locked; the caller inserts what it gets, and saves the head.
pub(crate) fn extend(head: &mut Head, draft: &Draft, now: Time) -> Result<Sealed, Error> {
    if draft.account_id != head.account_id {
        return Err(Error::broken(format!("an audit entry for account {} in a mutation of {}", draft.account_id, head.account_id)));
    }
    // A clock that was set back turns no chain around: a time stays a place in it.
    let at = head.audit_at.map_or(now, |last| last.max(now));
    let seq = head.audit_seq + 1;
    let (entry, hash) = seal(draft, u64::try_from(seq).map_err(|e| Error::broken(e.to_string()))?, at, &head.audit_hash);
    head.audit_seq = seq;
    head.audit_at = Some(at);
    head.audit_hash = hash;
    Ok(Sealed { entry, hash, seq, at })
}

pub(crate) async fn insert_all(tx: &mut Tx, sealed: &[Sealed]) -> Result<(), Error> {
    let entries = || sealed.iter().map(|s| &s.entry);
    let texts = entries().map(serde_json::to_string).collect::<Result<Vec<_>, _>>().map_err(|e| Error::broken(e.to_string()))?;
    let columns = Columns::default()
        .keys(entries().map(|entry| entry.account_id))
        .numbers(sealed.iter().map(|s| s.seq))
        .ids(entries().map(|entry| entry.id))
        .optional_ids(entries().map(|entry| entry.workspace_id))
        .texts(entries().map(|entry| entry.action.clone()))
        .times(sealed.iter().map(|s| Some(s.at)))
        .bytes(sealed.iter().map(|s| s.hash.to_vec()))
        .texts(texts)
        .texts(entries().map(|entry| entry.outcome.clone()))
        .optional_ids(entries().map(|entry| entry.actor.as_ref().map(|actor| actor.principal.id)))
        .optional_ids(entries().map(|entry| entry.run_id.map(|run| run.0)));
    tx.query(&INSERT).bind(columns).execute().await?;
    let targets = || sealed.iter().flat_map(|s| s.entry.targets.iter().map(|target| (s.entry.account_id, target.id, s.seq)));
    if targets().next().is_some() {
        let columns = Columns::default()
            .keys(targets().map(|(account, ..)| account))
            .ids(targets().map(|(_, target, _)| target))
            .numbers(targets().map(|(.., seq)| seq));
        tx.query(&INSERT_TARGETS).bind(columns).execute().await?;
    }
    Ok(())
}

/// Puts `draft` at the end of the chain whose head is locked; the caller saves the head.
pub(crate) async fn append(tx: &mut Tx, head: &mut Head, draft: &Draft) -> Result<Entry, Error> {
    let sealed = extend(head, draft, tx.now().await?)?;
    insert_all(tx, std::slice::from_ref(&sealed)).await?;
    Ok(sealed.entry)
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
