//! The built-in issuer's keys. They are few: each is read with all others.

use async_trait::async_trait;
use domain::audit::Draft;
use domain::ids::PLATFORM;
use domain::ports::{NewSigningKey, RevokeKeyAnswer, SigningKeys, StoredSigningKey};
use saga::{StoreError, Time};
use uuid::Uuid;

use crate::db::{Error, Row, Tx};
use crate::{Store, audit, heads};

crate::statements! {
    ALL = shared("select number, id, public_key, sealed_key, created_at, signs_from, revoked_at from signing_keys order by number");
    INSERT = shared(
        "insert into signing_keys (number, id, public_key, sealed_key, created_at, signs_from, revoked_at) values ($1, $2, $3, $4, $5, $6, null)",
    );
    REVOKE = shared("update signing_keys set revoked_at = $2 where id = $1");
}

fn key(row: &Row) -> Result<StoredSigningKey, Error> {
    Ok(StoredSigningKey {
        id: row.get("id")?,
        number: row.get("number")?,
        public_key: row.get("public_key")?,
        sealed_key: row.get("sealed_key")?,
        created_at: row.get("created_at")?,
        signs_from: row.get("signs_from")?,
        revoked_at: row.get("revoked_at")?,
    })
}

async fn all(tx: &mut Tx) -> Result<Vec<StoredSigningKey>, Error> {
    tx.query(&ALL).fetch_all().await?.iter().map(key).collect()
}

impl Store {
    async fn add_signing_key(&self, new: &NewSigningKey, draft: &Draft) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        // Its lock is what makes changes of the keys come one after the other.
        let mut head = heads::lock_known(&mut tx, PLATFORM).await?;
        let now = tx.now().await?;
        let keys = all(&mut tx).await?;
        let newest = keys.last();
        if newest.map(|key| key.id) != new.after {
            tx.rollback().await?;
            return Ok(false);
        }
        tx.query(&INSERT)
            .bind(newest.map_or(0, |key| key.number) + 1)
            .bind(new.id)
            .bind(new.public_key.as_slice())
            .bind(new.sealed_key.as_slice())
            .bind(now)
            .bind(now + new.signs_in)
            .execute()
            .await?;
        audit::append(&mut tx, &mut head, draft).await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn revoke_signing_key(&self, id: Uuid, draft: &Draft) -> Result<RevokeKeyAnswer, Error> {
        let mut tx = self.db.write().await?;
        let mut head = heads::lock_known(&mut tx, PLATFORM).await?;
        let now = tx.now().await?;
        let keys = all(&mut tx).await?;
        let answer = revocation(&keys, id, now);
        if answer != RevokeKeyAnswer::Revoked {
            tx.rollback().await?;
            return Ok(answer);
        }
        tx.query(&REVOKE).bind(id).bind(now).execute().await?;
        audit::append(&mut tx, &mut head, draft).await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await?;
        Ok(answer)
    }
}

fn revocation(keys: &[StoredSigningKey], id: Uuid, now: Time) -> RevokeKeyAnswer {
    let Some(key) = keys.iter().find(|key| key.id == id) else { return RevokeKeyAnswer::Unknown };
    if key.revoked_at.is_some() {
        return RevokeKeyAnswer::Already;
    }
    let signs = |other: &&StoredSigningKey| other.id != id && other.revoked_at.is_none() && other.signs_from <= now;
    if keys.iter().any(|other| signs(&other)) { RevokeKeyAnswer::Revoked } else { RevokeKeyAnswer::Needed }
}

#[async_trait]
impl SigningKeys for Store {
    async fn all(&self) -> Result<Vec<StoredSigningKey>, StoreError> {
        let mut tx = self.db.read().await?;
        Ok(all(&mut tx).await?)
    }

    async fn add(&self, new: NewSigningKey, audit: Draft) -> Result<bool, StoreError> {
        Ok(self.db.attempt(|| self.add_signing_key(&new, &audit)).await?)
    }

    async fn revoke(&self, id: Uuid, audit: Draft) -> Result<RevokeKeyAnswer, StoreError> {
        Ok(self.db.attempt(|| self.revoke_signing_key(id, &audit)).await?)
    }
}
