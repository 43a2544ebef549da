//! The one row per account that every commit of the account locks last: the end of its audit chain, its quota, and its
//! place in the queue of runs.

use domain::ids::bucket;
use domain::model::AccountStatus;
use saga::Time;
use uuid::Uuid;

use crate::db::{Columns, Error, Rank, Row, Tx};

crate::statements! {
    // The time is read once the row is locked.
    LOCK = split(
        "with locked as materialized (
           select audit_seq, audit_hash, audit_at, workspaces_live, workspaces_max, last_turn from account_heads
           where bucket = $2 and account_id = $3 for update)
         select locked.*, clock_timestamp() + $1 * interval '1 microsecond' as now from locked",
        "select audit_seq, audit_hash, audit_at, workspaces_live, workspaces_max, last_turn,
           cast(round(unixepoch('subsec') * 1000) as integer) * 1000 + $1 as now
         from account_heads where bucket = $2 and account_id = $3",
    );
    // In one order, as everywhere. `(select $2)` hides how many accounts there are, or each call would be planned anew.
    LOCK_ALL = split(
        "with locked as materialized (
           select h.account_id, h.audit_seq, h.audit_hash, h.audit_at, h.workspaces_live, h.workspaces_max, h.last_turn
           from account_heads h join unnest((select $2::smallint[]), (select $3::uuid[])) as k(bucket, id)
             on k.bucket = h.bucket and k.id = h.account_id
           order by h.account_id for update of h)
         select locked.*, clock_timestamp() + $1 * interval '1 microsecond' as now, a.status
         from locked left join accounts a on a.id = locked.account_id",
        "select h.account_id, h.audit_seq, h.audit_hash, h.audit_at, h.workspaces_live, h.workspaces_max, h.last_turn,
           cast(round(unixepoch('subsec') * 1000) as integer) * 1000 + $1 as now, a.status
         from json_each($2) k
         join account_heads h on h.bucket = k.value->>0 and h.account_id = unhex(k.value->>1)
         left join accounts a on a.bucket = h.bucket and a.id = h.account_id",
    );
    SAVE_ALL = split(
        "update account_heads h set audit_seq = k.seq, audit_hash = k.hash, workspaces_live = k.live, last_turn = k.turn, audit_at = k.at
         from unnest((select $1::smallint[]), (select $2::uuid[]), (select $3::bigint[]), (select $4::bytea[]), (select $5::bigint[]),
             (select $6::bigint[]), (select $7::timestamptz[])) as k(bucket, id, seq, hash, live, turn, at)
         where h.bucket = k.bucket and h.account_id = k.id",
        "update account_heads set audit_seq = k.value->>2, audit_hash = unhex(k.value->>3), workspaces_live = k.value->>4,
           last_turn = k.value->>5, audit_at = k.value->>6
         from json_each($1) k where bucket = k.value->>0 and account_id = unhex(k.value->>1)",
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
pub(crate) const TURN_STEP: i64 = 10_000;

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
    let offset = tx.offset();
    let Some(row) = tx.query(&LOCK).bind(offset).bind(bucket(account)).bind(account).fetch_optional().await? else { return Ok(None) };
    tx.learn(row.get("now")?);
    head(&row, account).map(Some)
}

fn head(row: &Row, account_id: Uuid) -> Result<Head, Error> {
    let hash: Vec<u8> = row.get("audit_hash")?;
    Ok(Head {
        account_id,
        audit_seq: row.get("audit_seq")?,
        audit_hash: hash.try_into().map_err(|_| Error::broken("an audit hash is not 32 bytes long"))?,
        audit_at: row.get("audit_at")?,
        live: row.get("workspaces_live")?,
        max: row.get("workspaces_max")?,
        last_turn: row.get("last_turn")?,
    })
}

/// The head rows of these accounts that there are, locked, each with its account's status.
pub(crate) async fn lock_all(tx: &mut Tx, accounts: impl IntoIterator<Item = Uuid>) -> Result<Vec<(Head, Option<AccountStatus>)>, Error> {
    tx.locks(Rank::Head);
    let (offset, keys) = (tx.offset(), Columns::default().keys(accounts));
    let mut heads = Vec::new();
    for row in tx.query(&LOCK_ALL).bind(offset).bind(keys).fetch_all().await? {
        tx.learn(row.get("now")?);
        heads.push((head(&row, row.get("account_id")?)?, row.optional_word("status", AccountStatus::parse)?));
    }
    Ok(heads)
}

pub(crate) async fn save_all<'a>(tx: &mut Tx, heads: impl Iterator<Item = &'a Head> + Clone) -> Result<(), Error> {
    let columns = Columns::default()
        .keys(heads.clone().map(|head| head.account_id))
        .numbers(heads.clone().map(|head| head.audit_seq))
        .bytes(heads.clone().map(|head| head.audit_hash.to_vec()))
        .numbers(heads.clone().map(|head| head.live))
        .numbers(heads.clone().map(|head| head.last_turn))
        .times(heads.map(|head| head.audit_at));
    tx.query(&SAVE_ALL).bind(columns).execute().await?;
    Ok(())
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
