//! Memberships: a principal's role on an account or workspace, kept beside the rows that they let their holder list.

use domain::ids::bucket;
use domain::model::{Membership, Role, Scope};
use saga::Time;
use uuid::Uuid;

use crate::db::{Error, Row, Tx};
use crate::words;

crate::statements! {
    SET = shared(
        "insert into memberships (bucket, scope, scope_id, principal_kind, principal_id, role, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (bucket, scope, scope_id, principal_kind, principal_id) do update set role = excluded.role",
    );
    OF_SCOPE = shared(
        "select scope_id, principal_kind, principal_id, role from memberships
         where bucket = $1 and scope = $2 and scope_id = $3 order by principal_kind, principal_id",
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
