//! Memberships: a principal's role on an account or workspace, kept beside the rows that they let their holder list, and
//! changed together with the outbox that the permission system learns of them through.

use domain::Principal;
use domain::audit::Draft;
use domain::ids::bucket;
use domain::model::{AccountStatus, Member, Membership, Role, Scope, ScopeRef, WorkspaceStatus};
use domain::ports::{ChangeAnswer, Changed, NewMembershipChange, Page, RoleChange, Written};
use saga::Time;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::{Error, Rank, Row, Tx};
use crate::{Store, audit, gates, idempotency, membership_changes, words};

crate::statements! {
    SET = shared(
        "insert into memberships (bucket, scope, scope_id, principal_kind, principal_id, role, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (bucket, scope, scope_id, principal_kind, principal_id) do update set role = excluded.role",
    );
    DELETE = shared(
        "delete from memberships where bucket = $1 and scope = $2 and scope_id = $3 and principal_kind = $4 and principal_id = $5",
    );
    OF_SCOPE = shared(
        "select scope_id, principal_kind, principal_id, role from memberships
         where bucket = $1 and scope = $2 and scope_id = $3 order by principal_kind, principal_id",
    );
    LIST = shared(
        "select m.principal_kind, m.principal_id, m.role, m.created_at,
           exists (select 1 from membership_changes c
                   where c.bucket = m.bucket and c.scope_id = m.scope_id and c.settled_at is null and c.scope = m.scope
                     and c.principal_kind = m.principal_kind and c.principal_id = m.principal_id and c.delivered_at is null) as pending
         from memberships m
         where m.bucket = $1 and m.scope = $2 and m.scope_id = $3 and (m.principal_id > $4 or $4 is null)
         order by m.principal_id limit $5",
    );
    FIND = shared(
        "select role, created_at from memberships
         where bucket = $1 and scope = $2 and scope_id = $3 and principal_kind = $4 and principal_id = $5",
    );
    OTHER_OWNERS = shared(
        "select count(*) as owners from memberships
         where bucket = $1 and scope = $2 and scope_id = $3 and role = 'owner' and not (principal_kind = $4 and principal_id = $5)",
    );
    // Weaker than what a deletion takes, so that those who only refer to the row do not wait.
    LOCK_ACCOUNT = split(
        "select status, run_id as made_by from accounts where bucket = $1 and id = $2 for no key update",
        "select status, run_id as made_by from accounts where bucket = $1 and id = $2",
    );
    LOCK_WORKSPACE = split(
        "select status, made_by from workspaces where bucket = $1 and id = $2 for no key update",
        "select status, made_by from workspaces where bucket = $1 and id = $2",
    );
}

/// Inserts the membership, or gives an existing one this role.
pub(crate) async fn set(tx: &mut Tx, membership: &Membership, now: Time) -> Result<(), Error> {
    tx.query(&SET)
        .bind(bucket(membership.scope_id))
        .bind(membership.scope.as_str())
        .bind(membership.scope_id)
        .bind(membership.principal.kind.as_str())
        .bind(membership.principal.id)
        .bind(membership.role.as_str())
        .bind(now)
        .execute()
        .await?;
    Ok(())
}

pub(crate) async fn of_scope(tx: &mut Tx, scope: Scope, id: Uuid) -> Result<Vec<Membership>, Error> {
    let rows = tx.query(&OF_SCOPE).bind(bucket(id)).bind(scope.as_str()).bind(id).fetch_all().await?;
    rows.iter().map(|row| membership(row, scope)).collect()
}

fn membership(row: &Row, scope: Scope) -> Result<Membership, Error> {
    Ok(Membership {
        scope,
        scope_id: row.get("scope_id")?,
        principal: words::principal(row, "principal")?,
        role: row.word("role", Role::parse)?,
    })
}

/// A scope's row, locked until the transaction ends: whoever holds it sees every change of a role there that was let in before.
struct Locked {
    is_active: bool,
    /// Whether the permission system knows it: from then on roles can be taken away.
    is_known: bool,
    status: &'static str,
    /// The run whose relationships were there first.
    made_by: Uuid,
}

async fn lock(tx: &mut Tx, on: ScopeRef) -> Result<Option<Locked>, Error> {
    tx.locks(Rank::Subject);
    let statement = match on.scope {
        Scope::Account => &LOCK_ACCOUNT,
        Scope::Workspace => &LOCK_WORKSPACE,
    };
    let Some(row) = tx.query(statement).bind(bucket(on.id)).bind(on.id).fetch_optional().await? else { return Ok(None) };
    let (is_active, is_known, status) = match on.scope {
        Scope::Account => {
            let status = row.word("status", AccountStatus::parse)?;
            (status == AccountStatus::Active, status == AccountStatus::Active, status.as_str())
        }
        Scope::Workspace => {
            let status = row.word("status", WorkspaceStatus::parse)?;
            let is_known = matches!(status, WorkspaceStatus::Active | WorkspaceStatus::Deleted);
            (status == WorkspaceStatus::Active, is_known, status.as_str())
        }
    };
    Ok(Some(Locked { is_active, is_known, status, made_by: row.get("made_by")? }))
}

/// The role that the principal has now, and since when.
async fn find(tx: &mut Tx, on: ScopeRef, principal: Principal) -> Result<Option<(Role, Time)>, Error> {
    let row = keyed(tx, &FIND, on, principal).fetch_optional().await?;
    row.map(|row| Ok((row.word("role", Role::parse)?, row.get("created_at")?))).transpose()
}

fn keyed<'t>(tx: &'t mut Tx, statement: &'static crate::db::Statement, on: ScopeRef, principal: Principal) -> crate::db::Query<'t> {
    tx.query(statement).bind(bucket(on.id)).bind(on.scope.as_str()).bind(on.id).bind(principal.kind.as_str()).bind(principal.id)
}

/// What the change comes to; anything but `Made` is rolled back.
async fn decide(tx: &mut Tx, new: &NewMembershipChange) -> Result<ChangeAnswer, Error> {
    let (on, principal) = (new.on, new.principal);
    let Some(locked) = lock(tx, on).await? else { return Ok(ChangeAnswer::NotActive { status: None }) };
    let not_active = || Ok(ChangeAnswer::NotActive { status: Some(locked.status) });
    if !locked.is_known {
        return not_active();
    }
    let found = find(tx, on, principal).await?;
    let before = found.map(|(role, _)| role);
    let after = match (new.change, before) {
        (RoleChange::Add(_), Some(_)) => return Ok(ChangeAnswer::MemberAlready),
        (RoleChange::Change(_), None) => return Ok(ChangeAnswer::NotMember),
        (RoleChange::Add(role) | RoleChange::Change(role) | RoleChange::Set(role), _) => Some(role),
        (RoleChange::Remove, _) => None,
        (RoleChange::Tell, before) => before,
    };
    let tells = new.change == RoleChange::Tell;
    if tells && !membership_changes::undelivered(tx, on, principal).await?.is_empty() {
        return unchanged(tx, new, found).await;
    }
    if before == after && !tells {
        return unchanged(tx, new, found).await;
    }
    let reduces = Role::is_reduced(before, after);
    if !reduces && !tells {
        let freezes = if on.scope == Scope::Workspace { gates::pass(tx, on.id).await? } else { Vec::new() };
        if !freezes.is_empty() {
            return Ok(ChangeAnswer::Frozen(freezes));
        }
        if !locked.is_active {
            return not_active();
        }
    }
    if before == Some(Role::Owner) && !tells {
        let others: i64 = keyed(tx, &OTHER_OWNERS, on, principal).fetch_one().await?.get("owners")?;
        if others == 0 {
            return Ok(ChangeAnswer::LastOwner);
        }
    }
    let now = tx.now().await?;
    match after {
        Some(role) => set(tx, &Membership { scope: on.scope, scope_id: on.id, principal, role }, now).await?,
        None => drop(keyed(tx, &DELETE, on, principal).execute().await?),
    }
    membership_changes::insert(tx, new, (before, after), locked.made_by, now).await?;
    let created_at = found.map_or(now, |(_, at)| at);
    let member = after.map(|role| Member { principal, role, created_at, pending: true });
    if let (Some(replay), Some(member)) = (&new.replay, member) {
        idempotency::reword(tx, &replay.keep(member)).await?;
    }
    audit::append_alone(tx, &entry(&new.audit, before, after)).await?;
    Ok(ChangeAnswer::Made(Changed { member, undelivered: membership_changes::undelivered(tx, on, principal).await? }))
}

async fn unchanged(tx: &mut Tx, new: &NewMembershipChange, found: Option<(Role, Time)>) -> Result<ChangeAnswer, Error> {
    let undelivered = membership_changes::undelivered(tx, new.on, new.principal).await?;
    if found.is_none() && undelivered.is_empty() {
        return Ok(ChangeAnswer::NotMember);
    }
    let pending = !undelivered.is_empty();
    let member = found.map(|(role, created_at)| Member { principal: new.principal, role, created_at, pending });
    Ok(ChangeAnswer::Unchanged(Changed { member, undelivered }))
}

fn entry(draft: &Draft, before: Option<Role>, after: Option<Role>) -> Draft {
    let role = |role: Role| -> Value { json!({ "role": role }) };
    Draft { before: before.map(role), after: after.map(role), ..draft.clone() }
}

fn member(row: &Row) -> Result<Member, Error> {
    Ok(Member {
        principal: words::principal(row, "principal")?,
        role: row.word("role", Role::parse)?,
        created_at: row.get("created_at")?,
        pending: row.get("pending")?,
    })
}

/// By the principals' ids.
pub(crate) async fn members(tx: &mut Tx, scope: Scope, id: Uuid, page: Page) -> Result<Vec<Member>, Error> {
    let query = tx.query(&LIST).bind(bucket(id)).bind(scope.as_str()).bind(id).bind(page.after).bind(i64::from(page.limit));
    query.fetch_all().await?.iter().map(member).collect()
}

impl Store {
    pub(crate) async fn members_of(&self, on: ScopeRef, page: Page) -> Result<Vec<Member>, Error> {
        members(&mut self.db.read().await?, on.scope, on.id, page).await
    }

    pub(crate) async fn change_membership(&self, new: &NewMembershipChange) -> Result<Written<ChangeAnswer>, Error> {
        let mut tx = self.db.write().await?;
        if let Some(replay) = &new.replay {
            let role = match new.change {
                RoleChange::Add(role) | RoleChange::Change(role) | RoleChange::Set(role) => role,
                RoleChange::Remove | RoleChange::Tell => return Err(Error::broken("only what gives a role has a key")),
            };
            // The key is taken before its answer is known, and reworded when it is.
            let provisional = replay.keep(Member { principal: new.principal, role, created_at: tx.now().await?, pending: true });
            if let Some(earlier) = idempotency::enter(&mut tx, Some(&provisional)).await? {
                tx.rollback().await?;
                return Ok(earlier);
            }
        }
        let answer = decide(&mut tx, new).await?;
        if matches!(answer, ChangeAnswer::Made(_)) {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        Ok(Written::Done(answer))
    }
}
