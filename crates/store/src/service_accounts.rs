//! Service accounts and their secrets, in the bucket of their account. What is kept of a secret is its hash.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use domain::audit::Draft;
use domain::ids::bucket;
use domain::model::AccountStatus;
use domain::ports::{
    AddClientSecret, ClientSecret, CreateServiceAccount, KeptReplay, NewClientSecret, NewServiceAccount, Page, SECRETS_MAX, ServiceAccount,
    ServiceAccounts, StoredSecret, Written,
};
use domain::secrets::Hash;
use saga::{StoreError, Time};
use uuid::Uuid;

use crate::db::{Columns, Error, Rank, Row, Tx};
use crate::questions::Read;
use crate::{Store, audit, idempotency, words};

crate::statements! {
    LOCK_ACCOUNT = split(
        "select status from accounts where bucket = $1 and id = $2 for share",
        "select status from accounts where bucket = $1 and id = $2",
    );
    INSERT = shared(
        "insert into service_accounts (bucket, id, account_id, name, created_by_kind, created_by_id, created_at)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
    );
    RELATED = shared("update service_accounts set related_at = $3 where bucket = $1 and id = $2 and related_at is null");
    UNRELATED = shared("select id, account_id from service_accounts where related_at is null order by id limit $1");
    LIST = shared(
        "select id, account_id, name, created_by_kind, created_by_id, created_at, disabled_at from service_accounts
         where bucket = $1 and account_id = $2 and (id > $3 or $3 is null) order by id limit $4",
    );
    GET = shared(
        "select id, account_id, name, created_by_kind, created_by_id, created_at, disabled_at from service_accounts
         where bucket = $1 and id = $2",
    );
    LOCK = split(
        "select id, account_id, name, created_by_kind, created_by_id, created_at, disabled_at from service_accounts
         where bucket = $1 and id = $2 for update",
        "select id, account_id, name, created_by_kind, created_by_id, created_at, disabled_at from service_accounts
         where bucket = $1 and id = $2",
    );
    // As a token is got no more than it is looked at; whoever changes it waits.
    SHARE = split(
        "select disabled_at from service_accounts where bucket = $1 and id = $2 for share",
        "select disabled_at from service_accounts where bucket = $1 and id = $2",
    );
    DISABLE = shared("update service_accounts set disabled_at = $3 where bucket = $1 and id = $2");
    ARE_DISABLED = split(
        "select t.* from unnest((select $1::smallint[]), (select $2::uuid[])) as k(bucket, id)
         cross join lateral (select s.id, s.disabled_at from service_accounts s where s.bucket = k.bucket and s.id = k.id offset 0) t",
        "select s.id, s.disabled_at from json_each($1) k join service_accounts s on s.bucket = k.value->>0 and s.id = unhex(k.value->>1)",
    );
    INSERT_SECRET = shared(
        "insert into service_account_secrets (bucket, id, service_account_id, hash, created_by_kind, created_by_id, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    SECRETS = shared(
        "select id, service_account_id, created_by_kind, created_by_id, created_at, expires_at, last_used_at from service_account_secrets
         where bucket = $1 and service_account_id = $2 and deleted_at is null order by created_at, id",
    );
    DELETE_SECRET = shared(
        "update service_account_secrets set deleted_at = $4
         where bucket = $1 and service_account_id = $2 and id = $3 and deleted_at is null",
    );
    SECRET = shared(
        "select hash, service_account_id, expires_at, deleted_at from service_account_secrets where bucket = $1 and id = $2",
    );
    LOCK_SECRET = split(
        "select hash, service_account_id, expires_at, deleted_at, last_used_at from service_account_secrets
         where bucket = $1 and id = $2 for update",
        "select hash, service_account_id, expires_at, deleted_at, last_used_at from service_account_secrets where bucket = $1 and id = $2",
    );
    USED = shared("update service_account_secrets set last_used_at = $3 where bucket = $1 and id = $2");
}

/// How exact the time of the last use is.
pub(crate) const USE_GRAIN: Duration = Duration::from_mins(10);

fn service_account(row: &Row) -> Result<ServiceAccount, Error> {
    Ok(ServiceAccount {
        id: row.get("id")?,
        account_id: row.get("account_id")?,
        name: row.get("name")?,
        created_by: words::principal(row, "created_by")?,
        created_at: row.get("created_at")?,
        disabled_at: row.get("disabled_at")?,
    })
}

fn secret(row: &Row) -> Result<ClientSecret, Error> {
    Ok(ClientSecret {
        id: row.get("id")?,
        service_account_id: row.get("service_account_id")?,
        created_by: words::principal(row, "created_by")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}

pub(crate) fn hash(row: &Row) -> Result<Hash, Error> {
    let bytes: Vec<u8> = row.get("hash")?;
    bytes.try_into().map(Hash).map_err(|_| Error::broken("the hash of a secret is not 32 bytes long"))
}

/// Whether the secret is good at `now`, as its own row says.
fn is_good(row: &Row, now: Time) -> Result<bool, Error> {
    let (expires_at, deleted_at) = (row.get::<Option<Time>>("expires_at")?, row.get::<Option<Time>>("deleted_at")?);
    Ok(deleted_at.is_none() && expires_at.is_none_or(|at| at > now))
}

/// Takes the key for what is about to be made: `made` is how it would be worded if nothing but its times changed.
pub(crate) async fn enter<T, A>(tx: &mut Tx, replay: Option<&KeptReplay<T>>, made: &T) -> Result<Option<Written<A>>, Error> {
    let idempotency = replay.map(|replay| replay.keep(made));
    idempotency::enter(tx, idempotency.as_ref()).await
}

/// Says how what was made is worded for who repeats the request.
pub(crate) async fn keep<T>(tx: &mut Tx, replay: Option<&KeptReplay<T>>, made: &T) -> Result<(), Error> {
    match replay.map(|replay| replay.keep(made)) {
        Some(kept) => idempotency::reword(tx, &kept).await,
        None => Ok(()),
    }
}

impl Store {
    async fn create_service_account(&self, new: &NewServiceAccount) -> Result<Written<CreateServiceAccount>, Error> {
        let mut tx = self.db.write().await?;
        let made = |now| ServiceAccount {
            id: new.id,
            account_id: new.account_id,
            name: new.name.clone(),
            created_by: new.created_by,
            created_at: now,
            disabled_at: None,
        };
        let now = tx.now().await?;
        if let Some(earlier) = enter(&mut tx, new.replay.as_ref(), &made(now)).await? {
            tx.rollback().await?;
            return Ok(earlier);
        }
        tx.locks(Rank::Subject);
        let account = tx.query(&LOCK_ACCOUNT).bind(bucket(new.account_id)).bind(new.account_id).fetch_optional().await?;
        let status = account.map(|row| row.word("status", AccountStatus::parse)).transpose()?;
        if status != Some(AccountStatus::Active) {
            return Ok(Written::Done(CreateServiceAccount::AccountNotActive { status: status.map(AccountStatus::as_str) }));
        }
        let made = made(tx.now().await?);
        let inserted = tx
            .query(&INSERT)
            .bind(bucket(new.id))
            .bind(new.id)
            .bind(new.account_id)
            .bind(new.name.as_str())
            .bind(new.created_by.kind.as_str())
            .bind(new.created_by.id)
            .bind(made.created_at)
            .execute()
            .await?;
        if inserted == 0 {
            return Ok(Written::Done(CreateServiceAccount::NameTaken));
        }
        keep(&mut tx, new.replay.as_ref(), &made).await?;
        audit::append_alone(&mut tx, &new.audit).await?;
        tx.commit().await?;
        Ok(Written::Done(CreateServiceAccount::Created(made)))
    }

    async fn are_disabled(&self, ids: Vec<Uuid>) -> Result<HashMap<Uuid, Read<bool>>, Error> {
        let rows = self.db.ask(&ARE_DISABLED).bind(Columns::default().keys(ids)).fetch_all().await?;
        let is_disabled = |row: &Row| Ok(row.get::<Option<Time>>("disabled_at")?.is_some());
        rows.iter().map(|row| Ok((row.get("id")?, is_disabled(row)))).collect()
    }

    async fn disable_service_account(&self, id: Uuid, draft: &Draft) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        tx.locks(Rank::Subject);
        let row = tx.query(&LOCK).bind(bucket(id)).bind(id).fetch_optional().await?;
        let found = row.as_ref().map(service_account).transpose()?;
        if found.is_none_or(|found| found.disabled_at.is_some()) {
            tx.rollback().await?;
            return Ok(false);
        }
        let now = tx.now().await?;
        tx.query(&DISABLE).bind(bucket(id)).bind(id).bind(now).execute().await?;
        audit::append_alone(&mut tx, draft).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn add_client_secret(&self, new: &NewClientSecret) -> Result<Written<AddClientSecret>, Error> {
        let mut tx = self.db.write().await?;
        let made = |now| ClientSecret {
            id: new.id,
            service_account_id: new.service_account_id,
            created_by: new.created_by,
            created_at: now,
            expires_at: new.expires_at,
            last_used_at: None,
        };
        let now = tx.now().await?;
        if let Some(earlier) = enter(&mut tx, new.replay.as_ref(), &made(now)).await? {
            tx.rollback().await?;
            return Ok(earlier);
        }
        tx.locks(Rank::Subject);
        let (key, of) = (bucket(new.service_account_id), new.service_account_id);
        let row = tx.query(&LOCK).bind(key).bind(of).fetch_one().await?;
        if service_account(&row)?.disabled_at.is_some() {
            return Ok(Written::Done(AddClientSecret::Disabled));
        }
        let made = made(tx.now().await?);
        if made.expires_at.is_some_and(|at| at <= made.created_at) {
            return Ok(Written::Done(AddClientSecret::ExpiresOutOfRange));
        }
        // An expired one is in nobody's way.
        let there = tx.query(&SECRETS).bind(key).bind(of).fetch_all().await?;
        let there = there.iter().map(secret).collect::<Result<Vec<_>, _>>()?;
        if there.iter().filter(|s| s.expires_at.is_none_or(|at| at > made.created_at)).count() >= SECRETS_MAX {
            return Ok(Written::Done(AddClientSecret::Enough));
        }
        tx.query(&INSERT_SECRET)
            .bind(key)
            .bind(new.id)
            .bind(of)
            .bind(new.hash.0.as_slice())
            .bind(new.created_by.kind.as_str())
            .bind(new.created_by.id)
            .bind(made.created_at)
            .bind(made.expires_at)
            .execute()
            .await?;
        keep(&mut tx, new.replay.as_ref(), &made).await?;
        audit::append_alone(&mut tx, &new.audit).await?;
        tx.commit().await?;
        Ok(Written::Done(AddClientSecret::Added(made)))
    }

    async fn delete_client_secret(&self, of: Uuid, id: Uuid, draft: &Draft) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        tx.locks(Rank::Subject);
        tx.query(&LOCK).bind(bucket(of)).bind(of).fetch_optional().await?;
        let now = tx.now().await?;
        if tx.query(&DELETE_SECRET).bind(bucket(of)).bind(of).bind(id).bind(now).execute().await? == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        audit::append_alone(&mut tx, draft).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn stored_secret(&self, id: Uuid) -> Result<Option<StoredSecret>, Error> {
        let mut tx = self.db.read().await?;
        let Some(row) = tx.query(&SECRET).bind(bucket(id)).bind(id).fetch_optional().await? else { return Ok(None) };
        let now = tx.now().await?;
        let of: Uuid = row.get("service_account_id")?;
        let service_account = service_account(&tx.query(&GET).bind(bucket(of)).bind(of).fetch_one().await?)?;
        let is_live = is_good(&row, now)? && service_account.disabled_at.is_none();
        Ok(Some(StoredSecret { service_account, hash: hash(&row)?, is_live }))
    }

    async fn secret_issued(&self, id: Uuid, draft: &Draft) -> Result<bool, Error> {
        let mut tx = self.db.write().await?;
        tx.locks(Rank::Subject);
        let Some(row) = tx.query(&SECRET).bind(bucket(id)).bind(id).fetch_optional().await? else { return Ok(false) };
        let of: Uuid = row.get("service_account_id")?;
        // In the order of those who change them: the service account, then its secret.
        let owner = tx.query(&SHARE).bind(bucket(of)).bind(of).fetch_one().await?;
        let row = tx.query(&LOCK_SECRET).bind(bucket(id)).bind(id).fetch_one().await?;
        let now = tx.now().await?;
        if owner.get::<Option<Time>>("disabled_at")?.is_some() || !is_good(&row, now)? {
            tx.rollback().await?;
            return Ok(false);
        }
        if row.get::<Option<Time>>("last_used_at")?.is_none_or(|at| at + USE_GRAIN <= now) {
            tx.query(&USED).bind(bucket(id)).bind(id).bind(now).execute().await?;
        }
        audit::append_alone(&mut tx, draft).await?;
        tx.commit().await?;
        Ok(true)
    }
}

#[async_trait]
impl ServiceAccounts for Store {
    async fn create(&self, new: NewServiceAccount) -> Result<Written<CreateServiceAccount>, StoreError> {
        Ok(self.db.attempt(|| self.create_service_account(&new)).await?)
    }

    async fn related(&self, id: Uuid) -> Result<(), StoreError> {
        let related = async || {
            let mut tx = self.db.write().await?;
            let now = tx.now().await?;
            tx.query(&RELATED).bind(bucket(id)).bind(id).bind(now).execute().await?;
            tx.commit().await
        };
        Ok(self.db.attempt(related).await?)
    }

    async fn unrelated(&self, limit: u32) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        let mut tx = self.db.read().await?;
        let rows = tx.query(&UNRELATED).bind(i64::from(limit)).fetch_all().await?;
        Ok(rows.iter().map(|row| Ok((row.get("id")?, row.get("account_id")?))).collect::<Result<_, Error>>()?)
    }

    async fn list(&self, account: Uuid, page: Page) -> Result<Vec<ServiceAccount>, StoreError> {
        let mut tx = self.db.read().await?;
        let query = tx.query(&LIST).bind(bucket(account)).bind(account).bind(page.after).bind(i64::from(page.limit));
        let rows = query.fetch_all().await?;
        Ok(rows.iter().map(service_account).collect::<Result<_, _>>()?)
    }

    async fn get(&self, id: Uuid) -> Result<Option<ServiceAccount>, StoreError> {
        let mut tx = self.db.read().await?;
        let row = tx.query(&GET).bind(bucket(id)).bind(id).fetch_optional().await?;
        Ok(row.as_ref().map(service_account).transpose()?)
    }

    async fn disable(&self, id: Uuid, audit: Draft) -> Result<bool, StoreError> {
        Ok(self.db.attempt(|| self.disable_service_account(id, &audit)).await?)
    }

    async fn is_disabled(&self, id: Uuid) -> Result<bool, StoreError> {
        let found = self.questions.disabled.ask(id, |ids| self.are_disabled(ids)).await?;
        Ok(found.transpose()?.unwrap_or_default())
    }

    async fn add_secret(&self, new: NewClientSecret) -> Result<Written<AddClientSecret>, StoreError> {
        Ok(self.db.attempt(|| self.add_client_secret(&new)).await?)
    }

    async fn secrets(&self, service_account: Uuid) -> Result<Vec<ClientSecret>, StoreError> {
        let mut tx = self.db.read().await?;
        let rows = tx.query(&SECRETS).bind(bucket(service_account)).bind(service_account).fetch_all().await?;
        Ok(rows.iter().map(secret).collect::<Result<_, _>>()?)
    }

    async fn delete_secret(&self, service_account: Uuid, secret: Uuid, audit: Draft) -> Result<bool, StoreError> {
        Ok(self.db.attempt(|| self.delete_client_secret(service_account, secret, &audit)).await?)
    }

    async fn secret(&self, id: Uuid) -> Result<Option<StoredSecret>, StoreError> {
        Ok(self.stored_secret(id).await?)
    }

    async fn issued(&self, secret: Uuid, audit: Draft) -> Result<bool, StoreError> {
        Ok(self.db.attempt(|| self.secret_issued(secret, &audit)).await?)
    }
}
