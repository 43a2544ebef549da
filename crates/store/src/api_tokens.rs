//! Long-lived tokens. What is kept of one is its hash.

use async_trait::async_trait;
use domain::Principal;
use domain::audit::Draft;
use domain::ids::bucket;
use domain::ports::{
    API_TOKENS_MAX, ApiToken, ApiTokens, CreateApiToken, LIFETIME, LIFETIME_MAX, NewApiToken, Page, StoredApiToken, Written,
};
use saga::{StoreError, Time};
use uuid::Uuid;

use crate::db::{Error, Row};
use crate::service_accounts::{USE_GRAIN, enter, hash, keep};
use crate::{Store, audit, heads, words};

crate::statements! {
    INSERT = shared(
        "insert into api_tokens (bucket, id, principal_kind, principal_id, name, hash, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    IN_FORCE = shared(
        "select count(*) as tokens from api_tokens
         where principal_id = $1 and principal_kind = $2 and revoked_at is null and expires_at > $3",
    );
    LIST = shared(
        "select id, principal_kind, principal_id, name, created_at, expires_at, last_used_at from api_tokens
         where principal_id = $1 and principal_kind = $2 and revoked_at is null and (id > $3 or $3 is null) order by id limit $4",
    );
    GET = shared(
        "select id, principal_kind, principal_id, name, hash, created_at, expires_at, last_used_at, revoked_at from api_tokens
         where bucket = $1 and id = $2",
    );
    REVOKE = shared(
        "update api_tokens set revoked_at = $5
         where bucket = $1 and id = $2 and principal_kind = $3 and principal_id = $4 and revoked_at is null",
    );
    USED = shared("update api_tokens set last_used_at = $3 where bucket = $1 and id = $2");
}

fn token(row: &Row) -> Result<ApiToken, Error> {
    Ok(ApiToken {
        id: row.get("id")?,
        principal: words::principal(row, "principal")?,
        name: row.get("name")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}

impl Store {
    async fn create_api_token(&self, new: &NewApiToken) -> Result<Written<CreateApiToken>, Error> {
        let mut tx = self.db.write().await?;
        let made = |now: Time| ApiToken {
            id: new.id,
            principal: new.principal,
            name: new.name.clone(),
            created_at: now,
            expires_at: new.expires_at.unwrap_or(now + LIFETIME),
            last_used_at: None,
        };
        let now = tx.now().await?;
        if let Some(earlier) = enter(&mut tx, new.replay.as_ref(), &made(now)).await? {
            tx.rollback().await?;
            return Ok(earlier);
        }
        // The head's lock is what makes those of one principal come one after the other.
        let mut head = heads::lock_known(&mut tx, new.audit.account_id).await?;
        let made = made(tx.now().await?);
        if made.expires_at <= made.created_at || made.expires_at > made.created_at + LIFETIME_MAX {
            return Ok(Written::Done(CreateApiToken::ExpiresOutOfRange));
        }
        let counted = tx.query(&IN_FORCE).bind(new.principal.id).bind(new.principal.kind.as_str()).bind(made.created_at);
        if counted.fetch_one().await?.count::<usize>("tokens")? >= API_TOKENS_MAX {
            return Ok(Written::Done(CreateApiToken::Enough));
        }
        tx.query(&INSERT)
            .bind(bucket(new.id))
            .bind(new.id)
            .bind(new.principal.kind.as_str())
            .bind(new.principal.id)
            .bind(new.name.as_str())
            .bind(new.hash.0.as_slice())
            .bind(made.created_at)
            .bind(made.expires_at)
            .execute()
            .await?;
        keep(&mut tx, new.replay.as_ref(), &made).await?;
        audit::append(&mut tx, &mut head, &new.audit).await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await?;
        Ok(Written::Done(CreateApiToken::Created(made)))
    }

    async fn revoke_api_token(&self, of: Principal, id: Uuid, draft: &Draft) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        let mut head = heads::lock_known(&mut tx, draft.account_id).await?;
        let now = tx.now().await?;
        let revoke = tx.query(&REVOKE).bind(bucket(id)).bind(id).bind(of.kind.as_str()).bind(of.id).bind(now);
        if revoke.execute().await? == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        audit::append(&mut tx, &mut head, draft).await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn api_token_used(&self, token: &StoredApiToken) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        tx.query(&USED).bind(bucket(token.token.id)).bind(token.token.id).bind(token.now).execute().await?;
        tx.commit().await
    }
}

#[async_trait]
impl ApiTokens for Store {
    async fn create(&self, new: NewApiToken) -> Result<Written<CreateApiToken>, StoreError> {
        Ok(self.db.attempt(|| self.create_api_token(&new)).await?)
    }

    async fn list(&self, of: Principal, page: Page) -> Result<Vec<ApiToken>, StoreError> {
        let mut tx = self.db.read().await?;
        let query = tx.query(&LIST).bind(of.id).bind(of.kind.as_str()).bind(page.after).bind(i64::from(page.limit));
        let rows = query.fetch_all().await?;
        Ok(rows.iter().map(token).collect::<Result<_, _>>()?)
    }

    async fn revoke(&self, of: Principal, id: Uuid, audit: Draft) -> Result<bool, StoreError> {
        Ok(self.db.attempt(|| self.revoke_api_token(of, id, &audit)).await?)
    }

    async fn get(&self, id: Uuid) -> Result<Option<StoredApiToken>, StoreError> {
        let mut tx = self.db.read().await?;
        let Some(row) = tx.query(&GET).bind(bucket(id)).bind(id).fetch_optional().await? else { return Ok(None) };
        let is_revoked = row.get::<Option<Time>>("revoked_at")?.is_some();
        let (token, hash) = (token(&row)?, hash(&row)?);
        Ok(Some(StoredApiToken { token, hash, is_revoked, now: tx.now().await? }))
    }

    async fn used(&self, token: &StoredApiToken) -> Result<(), StoreError> {
        if token.token.last_used_at.is_some_and(|at| at + USE_GRAIN > token.now) {
            return Ok(());
        }
        Ok(self.db.attempt(|| self.api_token_used(token)).await?)
    }
}
