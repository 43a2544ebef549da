//! Accounts: the tenants, each with the head row that its commits lock last.

use async_trait::async_trait;
use domain::Principal;
use domain::ids::bucket;
use domain::model::{Account, AccountStatus, Membership, Scope};
use domain::ports::{Accounts, NewAccount, Page, Written};
use saga::StoreError;
use uuid::Uuid;

use crate::db::{Error, Row};
use crate::{Store, audit, heads, idempotency, memberships, provisioning_runs, words};

crate::statements! {
    INSERT = shared(
        "insert into accounts (bucket, id, name, slug, status, created_by_kind, created_by_id, created_at, updated_at, revision,
           permissions_token, run_id)
         values ($1, $2, $3, $4, 'provisioning', $5, $6, $7, $7, 1, null, $8)",
    );
    GET = shared(
        "select a.id, a.name, a.slug, a.status, a.created_by_kind, a.created_by_id, a.created_at, a.permissions_token, h.workspaces_max,
           exists (select 1 from membership_changes c where c.bucket = a.bucket and c.scope_id = a.id and c.settled_at is null) as roles_unsettled
         from accounts a join account_heads h on h.bucket = a.bucket and h.account_id = a.id
         where a.bucket = $1 and a.id = $2",
    );
    LIST = shared(
        "select a.id, a.name, a.slug, a.status, a.created_by_kind, a.created_by_id, a.created_at, a.permissions_token, h.workspaces_max,
           exists (select 1 from membership_changes c where c.bucket = a.bucket and c.scope_id = a.id and c.settled_at is null) as roles_unsettled
         from accounts a join account_heads h on h.bucket = a.bucket and h.account_id = a.id
         where (a.id > $1 or $1 is null) order by a.id limit $2",
    );
    LIST_OF = shared(
        "select a.id, a.name, a.slug, a.status, a.created_by_kind, a.created_by_id, a.created_at, a.permissions_token, h.workspaces_max,
           exists (select 1 from membership_changes c where c.bucket = a.bucket and c.scope_id = a.id and c.settled_at is null) as roles_unsettled
         from accounts a join account_heads h on h.bucket = a.bucket and h.account_id = a.id
         where a.id in (
           select id from accounts where created_by_id = $3 and created_by_kind = $4
           union
           select scope_id from memberships where principal_id = $3 and principal_kind = $4 and scope = 'account')
         and (a.id > $1 or $1 is null) order by a.id limit $2",
    );
}

fn account(row: &Row) -> Result<Account, Error> {
    Ok(Account {
        id: row.get("id")?,
        name: row.get("name")?,
        slug: row.get("slug")?,
        status: row.word("status", AccountStatus::parse)?,
        created_by: words::principal(row, "created_by")?,
        created_at: row.get("created_at")?,
        workspaces_max: row.get("workspaces_max")?,
        permissions_token: row.get("permissions_token")?,
        roles_unsettled: row.get("roles_unsettled")?,
    })
}

impl Store {
    async fn create_account(&self, new: &NewAccount) -> Result<Written<()>, Error> {
        let mut tx = self.db.write().await?;
        if let Some(earlier) = idempotency::enter(&mut tx, new.idempotency.as_ref()).await? {
            tx.rollback().await?;
            return Ok(earlier);
        }
        let now = tx.now().await?;
        tx.query(&INSERT)
            .bind(bucket(new.id))
            .bind(new.id)
            .bind(new.name.as_str())
            .bind(new.slug.as_str())
            .bind(new.created_by.kind.as_str())
            .bind(new.created_by.id)
            .bind(now)
            .bind(new.run.id.0)
            .execute()
            .await?;
        heads::insert(&mut tx, new.id, new.workspaces_max).await?;
        let membership = Membership { scope: Scope::Account, scope_id: new.id, principal: new.created_by, role: new.role };
        memberships::set(&mut tx, &membership, now).await?;
        // The chain that the entry joins may be the platform's.
        let mut head = heads::lock_known(&mut tx, new.audit.account_id).await?;
        let turn = head.next_turn(now);
        provisioning_runs::insert(&mut tx, &new.run, turn).await?;
        audit::append(&mut tx, &mut head, &new.audit).await?;
        heads::save(&mut tx, &head).await?;
        tx.commit().await?;
        Ok(Written::Done(()))
    }

    async fn list_accounts(&self, member: Option<Principal>, page: Page) -> Result<Vec<Account>, Error> {
        let mut tx = self.db.read().await?;
        let rows = match member {
            None => tx.query(&LIST).bind(page.after).bind(i64::from(page.limit)).fetch_all().await?,
            Some(member) => {
                let query = tx.query(&LIST_OF).bind(page.after).bind(i64::from(page.limit));
                query.bind(member.id).bind(member.kind.as_str()).fetch_all().await?
            }
        };
        rows.iter().map(account).collect()
    }
}

#[async_trait]
impl Accounts for Store {
    async fn create(&self, new: NewAccount) -> Result<Written<()>, StoreError> {
        Ok(self.db.attempt(|| self.create_account(&new)).await?)
    }

    async fn get(&self, id: Uuid) -> Result<Option<Account>, StoreError> {
        let mut tx = self.db.read().await?;
        let row = tx.query(&GET).bind(bucket(id)).bind(id).fetch_optional().await?;
        Ok(row.as_ref().map(account).transpose()?)
    }

    async fn list(&self, member: Option<Principal>, page: Page) -> Result<Vec<Account>, StoreError> {
        Ok(self.list_accounts(member, page).await?)
    }
}
