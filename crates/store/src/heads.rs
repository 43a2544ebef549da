//! The one row per account that every commit of the account locks last: the end of its audit chain, its quota, and its
//! place in the queue of runs.

use domain::ids::bucket;
use saga::Time;
use uuid::Uuid;

use crate::db::{Error, Rank, Tx};

crate::statements! {
    LOCK = split(
        "select audit_seq, audit_hash, audit_at, workspaces_live, workspaces_max, last_turn from account_heads
         where bucket = $1 and account_id = $2 for update",
        "select audit_seq, audit_hash, audit_at, workspaces_live, workspaces_max, last_turn from account_heads
         where bucket = $1 and account_id = $2",
    );
    SAVE = shared(
        "update account_heads set audit_seq = $3, audit_hash = $4, workspaces_live = $5, last_turn = $6, audit_at = $7
         where bucket = $1 and account_id = $2",
    );
    INSERT = shared(
        "insert into account_heads (bucket, account_id, audit_seq, audit_hash, workspaces_live, workspaces_max, last_turn)
         values ($1, $2, 0, $3, 0, $4, 0)",
    );
}

/// Microseconds between two runs of one account in the queue.
const TURN_STEP: i64 = 10_000;

/// An account's head row, locked until the transaction ends.
#[derive(Debug)]
pub(crate) struct Head {
    pub account_id: Uuid,
    pub audit_seq: i64,
    pub audit_hash: [u8; 32],
    /// Of the last entry.
    pub audit_at: Option<Time>,
    /// Workspaces that hold quota.
    pub live: i64,
    pub max: i64,
    last_turn: i64,
}

impl Head {
    /// The next place in the queue: behind the account's other runs, and not before now.
    pub(crate) fn next_turn(&mut self, now: Time) -> i64 {
        self.last_turn = now.micros().max(self.last_turn) + TURN_STEP;
        self.last_turn
    }
}

/// Makes the row of a new account, which nobody else can know yet.
pub(crate) async fn insert(tx: &mut Tx, account: Uuid, workspaces_max: i64) -> Result<(), Error> {
    tx.query(&INSERT).bind(bucket(account)).bind(account).bind([0_u8; 32].as_slice()).bind(workspaces_max).execute().await?;
    Ok(())
}

pub(crate) async fn lock(tx: &mut Tx, account: Uuid) -> Result<Option<Head>, Error> {
    tx.locks(Rank::Head);
    let Some(row) = tx.query(&LOCK).bind(bucket(account)).bind(account).fetch_optional().await? else { return Ok(None) };
    let hash: Vec<u8> = row.get("audit_hash")?;
    Ok(Some(Head {
        account_id: account,
        audit_seq: row.get("audit_seq")?,
        audit_hash: hash.try_into().map_err(|_| Error::broken("an audit hash is not 32 bytes long"))?,
        audit_at: row.get("audit_at")?,
        live: row.get("workspaces_live")?,
        max: row.get("workspaces_max")?,
        last_turn: row.get("last_turn")?,
    }))
}

/// As [`lock`], where the row must be there.
pub(crate) async fn lock_known(tx: &mut Tx, account: Uuid) -> Result<Head, Error> {
    lock(tx, account).await?.ok_or_else(|| Error::broken(format!("account {account} has no head row")))
}

pub(crate) async fn save(tx: &mut Tx, head: &Head) -> Result<(), Error> {
    tx.query(&SAVE)
        .bind(bucket(head.account_id))
        .bind(head.account_id)
        .bind(head.audit_seq)
        .bind(head.audit_hash.as_slice())
        .bind(head.live)
        .bind(head.last_turn)
        .bind(head.audit_at)
        .execute()
        .await?;
    Ok(())
}
