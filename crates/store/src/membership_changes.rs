//! The outbox of memberships: changes of roles that are committed and that the permission system is still to be told.
//!
//! The changes of one principal on one scope are a line, in the order of their commits. Only the first of a line that is not
//! delivered is ever due. The last of a line stays, because the next one will refer to it; what another has taken the place
//! of is forgotten in time.

use std::time::Duration;

use async_trait::async_trait;
use domain::Principal;
use domain::ids::bucket;
use domain::model::{Member, MembershipChange, Role, Scope, ScopeRef};
use domain::ports::{Backlog, ChangeAnswer, Due, Idempotency, Members, NewMembershipChange, Page, Standing, Written};
use saga::{StoreError, Time};
use uuid::Uuid;

use crate::db::{Error, Keys, Rank, Row, Tx};
use crate::{Store, idempotency, words};

macro_rules! select {
    ($($rest:expr),+) => {
        concat!(
            "select c.id, c.account_id, c.scope, c.scope_id, c.principal_kind, c.principal_id, c.role_before, c.role_after, c.predecessor,
               c.created_at, c.attempts
             from membership_changes c ",
            $($rest),+
        )
    };
}

/// The first of its line.
macro_rules! first {
    () => {
        "c.delivered_at is null and not exists (
           select 1 from membership_changes e where e.bucket = c.bucket and e.scope = c.scope and e.scope_id = c.scope_id
             and e.principal_kind = c.principal_kind and e.principal_id = c.principal_id and e.delivered_at is null
             and e.ordinal < c.ordinal)"
    };
}

crate::statements! {
    LATEST = shared(
        "select id, ordinal from membership_changes
         where bucket = $1 and scope = $2 and scope_id = $3 and principal_kind = $4 and principal_id = $5
         order by ordinal desc limit 1",
    );
    INSERT = shared(
        "insert into membership_changes (bucket, id, account_id, scope, scope_id, principal_kind, principal_id, ordinal, role_before,
           role_after, reduces, predecessor, created_at, due_at, attempts, last_error, delivered_at, settled_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, null, null, null)",
    );
    SUPERSEDE = shared("update membership_changes set superseded_at = $3 where bucket = $1 and id = $2");
    FORGOTTEN = shared(
        "select id from membership_changes where superseded_at <= $1 and settled_at is not null order by superseded_at limit $2",
    );
    FORGET = split(
        "delete from membership_changes c using jsonb_to_recordset($1) as k(bucket smallint, id uuid)
         where c.bucket = k.bucket and c.id = k.id and c.superseded_at is not null and c.settled_at is not null",
        "delete from membership_changes
         where (bucket, id) in (select value->>'bucket', unhex(value->>'id') from json_each($1))
           and superseded_at is not null and settled_at is not null",
    );
    UNDELIVERED = shared(select!(
        "where c.bucket = $1 and c.scope = $2 and c.scope_id = $3 and c.principal_kind = $4 and c.principal_id = $5
           and c.delivered_at is null order by c.ordinal"
    ));
    OUTLOOK = shared(concat!(
        "select (select min(c.due_at) from membership_changes c where ", first!(), ") as due_at,
           (select min(d.delivered_at) from membership_changes d where d.settled_at is null) as delivered_at"
    ));
    DUE = split(
        select!("where c.due_at <= $1 and ", first!(), " order by c.due_at limit $2 for update of c skip locked"),
        select!("where c.due_at <= $1 and ", first!(), " order by c.due_at limit $2"),
    );
    TAKE = shared("update membership_changes set due_at = $3, attempts = attempts + 1 where bucket = $1 and id = $2");
    SETTLE = shared("update membership_changes set settled_at = $1 where settled_at is null and delivered_at <= $2");
    DELIVERED = shared(
        "update membership_changes set delivered_at = $3, last_error = null where bucket = $1 and id = $2 and delivered_at is null",
    );
    POSTPONE = shared("update membership_changes set due_at = $3, last_error = $4 where bucket = $1 and id = $2 and delivered_at is null");
    KEEP_ACCOUNT_TOKEN = shared("update accounts set permissions_token = $3 where bucket = $1 and id = $2");
    KEEP_WORKSPACE_TOKEN = shared("update workspaces set permissions_token = $3 where bucket = $1 and id = $2");
    UNSETTLED = shared(
        "select scope, scope_id, reduces, delivered_at from membership_changes where principal_id in ($1, $2) and settled_at is null",
    );
    ACCOUNTS_OF = split(
        "select w.account_id from workspaces w join jsonb_to_recordset($1) as k(bucket smallint, id uuid) on k.bucket = w.bucket and k.id = w.id",
        "select w.account_id from json_each($1) k join workspaces w on w.bucket = k.value->>'bucket' and w.id = unhex(k.value->>'id')",
    );
    BACKLOG = shared("select count(*) as undelivered, min(created_at) as oldest_at from membership_changes where delivered_at is null");
}

/// What whoever made the change has to deliver it before others take it up.
const INLINE: Duration = Duration::from_secs(3);
/// After this every read of the permission system sees what was written, however stale it may be.
const SETTLED_AFTER: Duration = Duration::from_mins(1);

fn change(row: &Row) -> Result<MembershipChange, Error> {
    let role = |name: &str| row.optional_word(name, Role::parse);
    Ok(MembershipChange {
        id: row.get("id")?,
        on: ScopeRef { scope: row.word("scope", Scope::parse)?, id: row.get("scope_id")?, account_id: row.get("account_id")? },
        principal: words::principal(row, "principal")?,
        role_before: role("role_before")?,
        role_after: role("role_after")?,
        predecessor: row.get("predecessor")?,
        created_at: row.get("created_at")?,
        attempts: u32::try_from(row.get::<i64>("attempts")?).unwrap_or(u32::MAX),
    })
}

/// Puts the change at the end of its line, under the lock of the scope's row. The first of a line follows the run `made_by`.
pub(crate) async fn insert(
    tx: &mut Tx,
    new: &NewMembershipChange,
    (before, after): (Option<Role>, Option<Role>),
    made_by: Uuid,
    now: Time,
) -> Result<(), Error> {
    let (on, principal) = (new.on, new.principal);
    let latest = tx.query(&LATEST).bind(bucket(on.id)).bind(on.scope.as_str()).bind(on.id).bind(principal.kind.as_str()).bind(principal.id);
    let (predecessor, ordinal) = match latest.fetch_optional().await? {
        Some(row) => {
            let predecessor: Uuid = row.get("id")?;
            tx.query(&SUPERSEDE).bind(bucket(on.id)).bind(predecessor).bind(now).execute().await?;
            (predecessor, row.get::<i64>("ordinal")? + 1)
        }
        None => (made_by, 1),
    };
    tx.query(&INSERT)
        .bind(bucket(on.id))
        .bind(new.id)
        .bind(on.account_id)
        .bind(on.scope.as_str())
        .bind(on.id)
        .bind(principal.kind.as_str())
        .bind(principal.id)
        .bind(ordinal)
        .bind(before.map(Role::as_str))
        .bind(after.map(Role::as_str))
        .bind(Role::is_reduced(before, after))
        .bind(predecessor)
        .bind(now)
        .bind(now + INLINE)
        .execute()
        .await?;
    Ok(())
}

/// What of the line is not delivered, in its order.
pub(crate) async fn undelivered(tx: &mut Tx, on: ScopeRef, principal: Principal) -> Result<Vec<MembershipChange>, Error> {
    let query = tx.query(&UNDELIVERED).bind(bucket(on.id)).bind(on.scope.as_str()).bind(on.id);
    query.bind(principal.kind.as_str()).bind(principal.id).fetch_all().await?.iter().map(change).collect()
}

/// When the first change is due, and when the first that is delivered has settled.
async fn outlook(tx: &mut Tx) -> Result<(Option<Time>, Option<Time>), Error> {
    let row = tx.query(&OUTLOOK).fetch_one().await?;
    let delivered: Option<Time> = row.get("delivered_at")?;
    Ok((row.get("due_at")?, delivered.map(|at| at + SETTLED_AFTER)))
}

impl Store {
    async fn take_due_changes(&self, limit: u32, lease: Duration) -> Result<Due, Error> {
        // Mostly there is nothing, and to find that out nobody has to be kept from writing.
        let mut tx = self.db.read().await?;
        let now = tx.now().await?;
        let (due_at, settles_at) = outlook(&mut tx).await?;
        let first = due_at.into_iter().chain(settles_at).min();
        if first.is_none_or(|at| at > now) {
            return Ok(Due { changes: Vec::new(), next: first.map(|at| at.since(now)) });
        }
        drop(tx);
        let mut tx = self.db.write().await?;
        let now = tx.now().await?;
        tx.query(&SETTLE).bind(now).bind(now - SETTLED_AFTER).execute().await?;
        let rows = tx.query(&DUE).bind(now).bind(i64::from(limit)).fetch_all().await?;
        let mut changes = rows.iter().map(change).collect::<Result<Vec<_>, _>>()?;
        for change in &mut changes {
            tx.query(&TAKE).bind(bucket(change.id)).bind(change.id).bind(now + lease).execute().await?;
            change.attempts += 1;
        }
        let (due_at, settles_at) = outlook(&mut tx).await?;
        tx.commit().await?;
        Ok(Due { changes, next: due_at.into_iter().chain(settles_at).min().map(|at| at.since(now)) })
    }

    async fn mark_delivered(&self, change: &MembershipChange, token: Option<&str>, answer: Option<&Idempotency>) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        if let Some(answer) = answer {
            idempotency::reword(&mut tx, answer).await?;
        }
        if let Some(token) = token {
            tx.locks(Rank::Subject);
            let keep = match change.on.scope {
                Scope::Account => &KEEP_ACCOUNT_TOKEN,
                Scope::Workspace => &KEEP_WORKSPACE_TOKEN,
            };
            tx.query(keep).bind(bucket(change.on.id)).bind(change.on.id).bind(token).execute().await?;
        }
        let now = tx.now().await?;
        tx.query(&DELIVERED).bind(bucket(change.id)).bind(change.id).bind(now).execute().await?;
        tx.commit().await
    }

    async fn postpone_change(&self, change: &MembershipChange, error: &str, again_in: Duration) -> Result<(), Error> {
        let mut tx = self.db.write().await?;
        let now = tx.now().await?;
        tx.query(&POSTPONE).bind(bucket(change.id)).bind(change.id).bind(now + again_in).bind(error).execute().await?;
        tx.commit().await
    }

    async fn standing_of(&self, principals: &[Principal], scopes: &[Uuid]) -> Result<Standing, Error> {
        let mut tx = self.db.read().await?;
        let mut worst = Standing::Settled;
        for pair in principals.chunks(2) {
            let (one, other) = (pair[0].id, pair[pair.len() - 1].id);
            let rows = tx.query(&UNSETTLED).bind(one).bind(other).fetch_all().await?;
            if rows.is_empty() {
                continue;
            }
            let accounts = tx.query(&ACCOUNTS_OF).bind(Keys::new(scopes.iter().copied())).fetch_all().await?;
            let accounts = accounts.iter().map(|row| row.get("account_id")).collect::<Result<Vec<Uuid>, _>>()?;
            for row in &rows {
                let scope: Uuid = row.get("scope_id")?;
                if !scopes.contains(&scope) && !accounts.contains(&scope) {
                    continue;
                }
                if row.get::<bool>("reduces")? && row.get::<Option<Time>>("delivered_at")?.is_none() {
                    return Ok(Standing::RemovalPending);
                }
                worst = Standing::Changed;
            }
        }
        Ok(worst)
    }

    async fn forget_changes(&self, limit: u32, kept: Duration) -> Result<u64, Error> {
        // As in `take_due_changes`.
        let mut tx = self.db.read().await?;
        let until = tx.now().await? - kept;
        let rows = tx.query(&FORGOTTEN).bind(until).bind(i64::from(limit)).fetch_all().await?;
        drop(tx);
        let ids = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<Uuid>, _>>()?;
        if ids.is_empty() {
            return Ok(0);
        }
        let mut tx = self.db.write().await?;
        let forgotten = tx.query(&FORGET).bind(Keys::new(ids)).execute().await?;
        tx.commit().await?;
        Ok(forgotten)
    }

    async fn outbox_backlog(&self) -> Result<Backlog, Error> {
        let mut tx = self.db.read().await?;
        let now = tx.now().await?;
        let row = tx.query(&BACKLOG).fetch_one().await?;
        let undelivered = u64::try_from(row.get::<i64>("undelivered")?).unwrap_or(0);
        Ok(Backlog { undelivered, oldest_at: row.get("oldest_at")?, now })
    }
}

#[async_trait]
impl Members for Store {
    async fn list(&self, on: ScopeRef, page: Page) -> Result<Vec<Member>, StoreError> {
        Ok(self.members_of(on, page).await?)
    }

    async fn change(&self, new: NewMembershipChange) -> Result<Written<ChangeAnswer>, StoreError> {
        Ok(self.db.attempt(|| self.change_membership(&new)).await?)
    }

    async fn take_due(&self, limit: u32, lease: Duration) -> Result<Due, StoreError> {
        Ok(self.db.attempt(|| self.take_due_changes(limit, lease)).await?)
    }

    async fn undelivered(&self, on: ScopeRef, principal: Principal) -> Result<Vec<MembershipChange>, StoreError> {
        let mut tx = self.db.read().await?;
        Ok(undelivered(&mut tx, on, principal).await?)
    }

    async fn delivered(&self, change: &MembershipChange, token: Option<String>, answer: Option<Idempotency>) -> Result<(), StoreError> {
        Ok(self.db.attempt(|| self.mark_delivered(change, token.as_deref(), answer.as_ref())).await?)
    }

    async fn postpone(&self, change: &MembershipChange, error: &str, again_in: Duration) -> Result<(), StoreError> {
        Ok(self.db.attempt(|| self.postpone_change(change, error, again_in)).await?)
    }

    async fn forget(&self, limit: u32, kept: Duration) -> Result<u64, StoreError> {
        Ok(self.db.attempt(|| self.forget_changes(limit, kept)).await?)
    }

    async fn standing(&self, principals: &[Principal], scopes: &[Uuid]) -> Result<Standing, StoreError> {
        Ok(self.standing_of(principals, scopes).await?)
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        Ok(self.outbox_backlog().await?)
    }
}
