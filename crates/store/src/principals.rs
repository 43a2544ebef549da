//! Principals: outside subjects mapped to internal ids. Their table is global and stands alone.

use async_trait::async_trait;
use domain::ids::bucket;
use domain::model::{Scope, StoredPrincipal};
use domain::ports::{Health, Principals};
use domain::{Principal, PrincipalKind};
use saga::{StoreError, Time};
use uuid::Uuid;

use crate::Store;
use crate::db::{Error, Keys, Row};

crate::statements! {
    GET = shared("select id, kind, name, account_id from principals where id = $1 and kind = $2");
    FIND = shared("select id, kind, name, account_id from principals where kind = $1 and name = $2");
    BY_IDS = split(
        "select p.id, p.kind, p.name, p.account_id from principals p join jsonb_to_recordset($1) as k(id uuid) on k.id = p.id",
        "select p.id, p.kind, p.name, p.account_id from json_each($1) k join principals p on p.id = unhex(k.value->>'id')",
    );
    INSERT = shared(
        "insert into principals (id, kind, name, account_id, created_at) values ($1, $2, $3, $4, $5) on conflict (kind, name) do nothing",
    );
    ACCOUNT_EXISTS = shared("select id as account_id from accounts where bucket = $1 and id = $2");
    WORKSPACE_ACCOUNT = shared("select account_id from workspaces where bucket = $1 and id = $2");
}

fn principal(row: &Row) -> Result<StoredPrincipal, Error> {
    Ok(StoredPrincipal {
        principal: Principal { kind: row.word("kind", PrincipalKind::parse)?, id: row.get("id")? },
        name: row.get("name")?,
        account_id: row.get("account_id")?,
    })
}

impl Store {
    async fn find_principal(&self, kind: PrincipalKind, name: &str) -> Result<Option<StoredPrincipal>, Error> {
        let mut tx = self.db.read().await?;
        let row = tx.query(&FIND).bind(kind.as_str()).bind(name).fetch_optional().await?;
        row.as_ref().map(principal).transpose()
    }

    async fn ensure_principal(&self, kind: PrincipalKind, name: &str, account: Option<Uuid>, id: Uuid) -> Result<StoredPrincipal, Error> {
        let mut tx = self.db.write().await?;
        let now = tx.now().await?;
        tx.query(&INSERT).bind(id).bind(kind.as_str()).bind(name).bind(account).bind(now).execute().await?;
        let row = tx.query(&FIND).bind(kind.as_str()).bind(name).fetch_one().await?;
        let stored = principal(&row)?;
        tx.commit().await?;
        Ok(stored)
    }

    async fn principals_by_ids(&self, ids: &[Uuid]) -> Result<Vec<StoredPrincipal>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.db.read().await?;
        let rows = tx.query(&BY_IDS).bind(Keys::new(ids.iter().copied())).fetch_all().await?;
        rows.iter().map(principal).collect()
    }
}

#[async_trait]
impl Principals for Store {
    async fn get(&self, wanted: Principal) -> Result<Option<StoredPrincipal>, StoreError> {
        let mut tx = self.db.read().await?;
        let row = tx.query(&GET).bind(wanted.id).bind(wanted.kind.as_str()).fetch_optional().await?;
        Ok(row.as_ref().map(principal).transpose()?)
    }

    async fn find(&self, kind: PrincipalKind, name: &str) -> Result<Option<StoredPrincipal>, StoreError> {
        Ok(self.find_principal(kind, name).await?)
    }

    async fn by_ids(&self, ids: &[Uuid]) -> Result<Vec<StoredPrincipal>, StoreError> {
        Ok(self.principals_by_ids(ids).await?)
    }

    async fn ensure(&self, kind: PrincipalKind, name: &str, account: Option<Uuid>, id: Uuid) -> Result<StoredPrincipal, StoreError> {
        Ok(self.db.attempt(|| self.ensure_principal(kind, name, account, id)).await?)
    }

    async fn account_of(&self, scope: Scope, id: Uuid) -> Result<Option<Uuid>, StoreError> {
        let statement = match scope {
            Scope::Account => &ACCOUNT_EXISTS,
            Scope::Workspace => &WORKSPACE_ACCOUNT,
        };
        let mut tx = self.db.read().await?;
        let row = tx.query(statement).bind(bucket(id)).bind(id).fetch_optional().await?;
        Ok(row.map(|row| row.get("account_id")).transpose()?)
    }
}

#[async_trait]
impl Health for Store {
    async fn now(&self) -> Result<Time, StoreError> {
        let mut tx = self.db.read().await?;
        Ok(tx.now().await?)
    }
}
