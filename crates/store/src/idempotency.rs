//! Idempotency keys: the first request with a key stores its answer in its own transaction, the others are told it.
//!
//! A key is entered before anything else is looked at. Another request that is still at work with it is waited for on
//! the key's row, as long as one may wait for a lock. A record older than a day counts as none, and is replaced.

use std::time::Duration;

use domain::ids::bucket;
use domain::ports::{Answer, Idempotency, IdempotencyKey, Written};
use saga::Time;
use sha2::{Digest as _, Sha256};

use crate::db::{Error, Rank, Row, Tx};

crate::statements! {
    INSERT = shared(
        "insert into idempotency (bucket, account_id, scope, fingerprint, status, location, body, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (bucket, account_id, scope) do nothing",
    );
    LOCK = split(
        "select fingerprint, status, location, body, created_at from idempotency
         where bucket = $1 and account_id = $2 and scope = $3 for update",
        "select fingerprint, status, location, body, created_at from idempotency
         where bucket = $1 and account_id = $2 and scope = $3",
    );
    FIND = shared(
        "select fingerprint, status, location, body, created_at from idempotency
         where bucket = $1 and account_id = $2 and scope = $3",
    );
    REWORD = shared(
        "update idempotency set status = $4, location = $5, body = $6
         where bucket = $1 and account_id = $2 and scope = $3 and fingerprint = $7",
    );
    REPLACE = shared(
        "update idempotency set fingerprint = $4, status = $5, location = $6, body = $7, created_at = $8
         where bucket = $1 and account_id = $2 and scope = $3",
    );
}

/// Gives the record of a key that was taken another answer: one that was not known when the key was taken.
pub(crate) async fn reword(tx: &mut Tx, Idempotency { key, answer }: &Idempotency) -> Result<(), Error> {
    tx.query(&REWORD)
        .bind(bucket(key.account_id))
        .bind(key.account_id)
        .bind(scope(key).as_slice())
        .bind(i16::try_from(answer.status).map_err(|_| Error::broken(format!("{} is no HTTP status", answer.status)))?)
        .bind(answer.location.as_deref())
        .bind(answer.body.to_string())
        .bind(key.fingerprint.as_slice())
        .execute()
        .await?;
    Ok(())
}

/// How long a record counts.
pub(crate) const KEPT: Duration = Duration::from_hours(24);

/// Takes the key for this transaction: `None` if the mutation is to go on, else the whole answer.
pub(crate) async fn enter<T>(tx: &mut Tx, idempotency: Option<&Idempotency>) -> Result<Option<Written<T>>, Error> {
    let Some(Idempotency { key, answer }) = idempotency else { return Ok(None) };
    match take(tx, key, answer).await {
        Err(Error::LockTimeout(_)) => Ok(Some(Written::KeyBusy)),
        other => other,
    }
}

async fn take<T>(tx: &mut Tx, key: &IdempotencyKey, answer: &Answer) -> Result<Option<Written<T>>, Error> {
    tx.locks(Rank::Idempotency);
    let scope = scope(key);
    let now = tx.now().await?;
    if write(tx, &INSERT, key, answer, &scope, now).await? == 1 {
        return Ok(None);
    }
    let row = tx.query(&LOCK).bind(bucket(key.account_id)).bind(key.account_id).bind(scope.as_slice()).fetch_optional().await?;
    let Some(row) = row else { return Err(Error::Contended("an idempotency record vanished".to_owned())) };
    // The wait may have been long.
    tx.locks(Rank::Idempotency);
    let now = tx.now().await?;
    if expired(&row, now)? {
        write(tx, &REPLACE, key, answer, &scope, now).await?;
        return Ok(None);
    }
    told(&row, key).map(Some)
}

/// Says how the mutation that took the key is answered, where that is known only once it is done.
pub(crate) async fn answer(tx: &mut Tx, key: &IdempotencyKey, answer: &Answer) -> Result<(), Error> {
    let now = tx.now().await?;
    write(tx, &REPLACE, key, answer, &scope(key), now).await.map(drop)
}

/// What is stored under the key, without taking it.
pub(crate) async fn recall<T>(tx: &mut Tx, key: &IdempotencyKey) -> Result<Option<Written<T>>, Error> {
    let row = tx.query(&FIND).bind(bucket(key.account_id)).bind(key.account_id).bind(scope(key).as_slice()).fetch_optional().await?;
    let Some(row) = row else { return Ok(None) };
    let now = tx.now().await?;
    if expired(&row, now)? { Ok(None) } else { told(&row, key).map(Some) }
}

fn expired(row: &Row, now: Time) -> Result<bool, Error> {
    Ok(row.get::<Time>("created_at")? + KEPT <= now)
}

fn told<T>(row: &Row, key: &IdempotencyKey) -> Result<Written<T>, Error> {
    if row.get::<Vec<u8>>("fingerprint")? != key.fingerprint {
        return Ok(Written::KeyReused);
    }
    let status = row.get::<i16>("status")?;
    Ok(Written::Replayed(Answer {
        status: u16::try_from(status).map_err(|_| Error::broken(format!("{status} is no HTTP status")))?,
        location: row.get("location")?,
        body: serde_json::from_str(&row.get::<String>("body")?).map_err(|e| Error::broken(format!("column body: {e}")))?,
    }))
}

async fn write(
    tx: &mut Tx,
    statement: &'static crate::db::Statement,
    key: &IdempotencyKey,
    answer: &Answer,
    scope: &[u8],
    now: Time,
) -> Result<u64, Error> {
    tx.query(statement)
        .bind(bucket(key.account_id))
        .bind(key.account_id)
        .bind(scope)
        .bind(key.fingerprint.as_slice())
        .bind(i16::try_from(answer.status).map_err(|_| Error::broken(format!("{} is no HTTP status", answer.status)))?)
        .bind(answer.location.as_deref())
        .bind(answer.body.to_string())
        .bind(now)
        .execute()
        .await
}

/// Where a key's record stands: its account, and the rest of what scopes it.
pub(crate) type Place = (uuid::Uuid, [u8; 32]);

pub(crate) fn place(key: &IdempotencyKey) -> Place {
    (key.account_id, scope(key))
}

/// All that scopes a key but its account, in 32 bytes: paths and keys may be longer than an index takes.
fn scope(key: &IdempotencyKey) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(key.principal.kind.as_str());
    hash.update([0]);
    hash.update(key.principal.id.as_bytes());
    if let Some(user) = key.on_behalf_of {
        hash.update(user.kind.as_str());
        hash.update([0]);
        hash.update(user.id.as_bytes());
    }
    for part in [&key.method, &key.path, &key.key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
