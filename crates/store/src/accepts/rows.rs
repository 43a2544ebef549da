//! What an accepted batch reads and writes, of all its members in one statement each.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use domain::model::{AccountStatus, Scope};
use domain::ports::{IdempotencyKey, NewWorkspace, Slug};
use saga::Time;
use serde_json::json;
use uuid::Uuid;

use crate::db::{Columns, Error, Rank, Tx};
use crate::heads::{self, Head};
use crate::idempotency;

crate::statements! {
    // In the order of the keys, as every batch takes them.
    TAKE_KEYS = split(
        "insert into idempotency (bucket, account_id, scope, fingerprint, status, location, body, created_at)
         select k.bucket, k.account_id, k.scope, k.fingerprint, k.status, k.location, k.body, clock_timestamp() + $1 * interval '1 microsecond'
         from unnest($2::smallint[], $3::uuid[], $4::bytea[], $5::bytea[], $6::bigint[], $7::text[], $8::text[])
           as k(bucket, account_id, scope, fingerprint, status, location, body)
         order by k.account_id, k.scope
         on conflict (bucket, account_id, scope) do nothing returning account_id, scope",
        "insert into idempotency (bucket, account_id, scope, fingerprint, status, location, body, created_at)
         select value->>0, unhex(value->>1), unhex(value->>2), unhex(value->>3), value->>4, value->>5, value->>6,
           cast(round(unixepoch('subsec') * 1000) as integer) * 1000 + $1
         from json_each($2) where true
         on conflict (bucket, account_id, scope) do nothing returning account_id, scope",
    );
    GIVE_BACK_KEYS = split(
        "delete from idempotency i using unnest($1::smallint[], $2::uuid[], $3::bytea[]) as k(bucket, account_id, scope)
         where i.bucket = k.bucket and i.account_id = k.account_id and i.scope = k.scope",
        "delete from idempotency where (bucket, account_id, scope) in
           (select value->>0, unhex(value->>1), unhex(value->>2) from json_each($1))",
    );
    // The base itself; who finds it taken looks for the next that is free.
    SLUGS_TAKEN = split(
        // The first slug from its place on, or it is not there: left to itself, the planner goes through all live workspaces of the account.
        "select k.n
         from unnest((select $1::bigint[]), (select $2::smallint[]), (select $3::uuid[]), (select $4::text[])) as k(n, bucket, account_id, slug)
         cross join lateral (
           select w.slug from workspaces w
           where w.bucket = k.bucket and w.account_id = k.account_id and w.status in ('provisioning', 'active') and w.slug >= k.slug
           order by w.slug limit 1) t
         where t.slug = k.slug",
        "select k.value->>0 as n from json_each($1) k
         join workspaces w on w.bucket = k.value->>1 and w.account_id = unhex(k.value->>2) and w.slug = k.value->>3
         where w.status in ('provisioning', 'active')",
    );
    INSERT_WORKSPACES = split(
        "insert into workspaces (bucket, id, account_id, name, folded_name, slug, status, region, tenancy_model, holds_quota,
           created_by_kind, created_by_id, created_at, updated_at, revision, permissions_token, run_id, made_by, freeze_revision,
           freeze_applied, labels, termination_protection)
         select k.bucket, k.id, k.account_id, k.name, k.folded_name, k.slug, 'provisioning', k.region, k.tenancy_model, true,
           k.kind, k.creator, $1, $1, 1, null, k.run_id, k.run_id, 0, 0, k.labels::jsonb, k.protected
         from unnest($2::smallint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
             $11::uuid[], $12::uuid[], $13::text[], $14::boolean[])
           as k(bucket, id, account_id, name, folded_name, slug, region, tenancy_model, kind, creator, run_id, labels, protected)",
        "insert into workspaces (bucket, id, account_id, name, folded_name, slug, status, region, tenancy_model, holds_quota,
           created_by_kind, created_by_id, created_at, updated_at, revision, permissions_token, run_id, made_by, freeze_revision,
           freeze_applied, labels, termination_protection)
         select value->>0, unhex(value->>1), unhex(value->>2), value->>3, value->>4, value->>5, 'provisioning', value->>6, value->>7, true,
           value->>8, unhex(value->>9), $1, $1, 1, null, unhex(value->>10), unhex(value->>10), 0, 0, value->>11, value->>12
         from json_each($2)",
    );
    // The first of a name gets it.
    INSERT_ALIASES = split(
        "insert into workspace_aliases (bucket, account_id, folded_name, workspace_id, created_at)
         select k.bucket, k.account_id, k.folded_name, k.workspace_id, $1
         from unnest($2::smallint[], $3::uuid[], $4::text[], $5::uuid[]) as k(bucket, account_id, folded_name, workspace_id)
         on conflict (bucket, account_id, folded_name) do nothing",
        "insert into workspace_aliases (bucket, account_id, folded_name, workspace_id, created_at)
         select value->>0, unhex(value->>1), value->>2, unhex(value->>3), $1 from json_each($2) where true
         on conflict (bucket, account_id, folded_name) do nothing",
    );
    INSERT_MEMBERSHIPS = split(
        "insert into memberships (bucket, scope, scope_id, principal_kind, principal_id, role, created_at)
         select k.bucket, $2, k.scope_id, k.kind, k.id, k.role, $1
         from unnest($3::smallint[], $4::uuid[], $5::text[], $6::uuid[], $7::text[]) as k(bucket, scope_id, kind, id, role)",
        "insert into memberships (bucket, scope, scope_id, principal_kind, principal_id, role, created_at)
         select value->>0, $2, unhex(value->>1), value->>2, unhex(value->>3), value->>4, $1 from json_each($3)",
    );
}

/// A member that is let in.
pub(super) struct Accepted<'a> {
    pub new: &'a NewWorkspace,
    pub slug: String,
    pub turn: i64,
}

/// Takes the members' keys; answers the places of those that were free.
pub(super) async fn take_keys(tx: &mut Tx, members: &[&NewWorkspace]) -> Result<HashSet<idempotency::Place>, Error> {
    let keyed = || members.iter().filter_map(|new| new.idempotency.as_ref());
    let mut taken = HashSet::new();
    if keyed().next().is_none() {
        return Ok(taken);
    }
    let columns = Columns::default()
        .keys(keyed().map(|i| i.key.account_id))
        .bytes(keyed().map(|i| idempotency::place(&i.key).1.to_vec()))
        .bytes(keyed().map(|i| i.key.fingerprint.clone()))
        .numbers(keyed().map(|i| i64::from(i.answer.status)))
        .optional_texts(keyed().map(|i| i.answer.location.clone()))
        .texts(keyed().map(|i| i.answer.body.to_string()));
    let offset = tx.offset();
    for row in tx.query(&TAKE_KEYS).bind(offset).bind(columns).fetch_all().await? {
        let scope: Vec<u8> = row.get("scope")?;
        taken.insert((row.get("account_id")?, scope.try_into().map_err(|_| Error::broken("a key's scope is not 32 bytes long"))?));
    }
    Ok(taken)
}

/// What is refused is asked anew with the same key.
pub(super) async fn give_back_keys(tx: &mut Tx, keys: &[&IdempotencyKey]) -> Result<(), Error> {
    if !keys.is_empty() {
        let columns =
            Columns::default().keys(keys.iter().map(|key| key.account_id)).bytes(keys.iter().map(|key| idempotency::place(key).1.to_vec()));
        tx.query(&GIVE_BACK_KEYS).bind(columns).execute().await?;
    }
    Ok(())
}

/// The accounts' head rows, locked in order, each with its account's status.
pub(super) async fn lock_heads(tx: &mut Tx, accounts: BTreeSet<Uuid>) -> Result<BTreeMap<Uuid, (Head, Option<AccountStatus>)>, Error> {
    tx.locks(Rank::Head);
    let mut heads = BTreeMap::new();
    for (head, status) in heads::lock_all(tx, accounts).await? {
        heads.insert(head.account_id, (head, status));
    }
    Ok(heads)
}

/// Which members' wanted slugs are taken by what was there before.
pub(super) async fn slugs_taken(tx: &mut Tx, members: &[&NewWorkspace]) -> Result<HashSet<usize>, Error> {
    let wanted = |new: &&NewWorkspace| {
        let (Slug::Given(slug) | Slug::Generated(slug)) = &new.slug;
        slug.clone()
    };
    let numbers = 0..i64::try_from(members.len()).unwrap_or(i64::MAX);
    let columns = Columns::default().numbers(numbers).keys(members.iter().map(|new| new.account_id)).texts(members.iter().map(wanted));
    let rows = tx.query(&SLUGS_TAKEN).bind(columns).fetch_all().await?;
    rows.iter().map(|row| row.count("n")).collect()
}

/// The workspaces, their names' aliases, and their creators' memberships.
pub(super) async fn insert(tx: &mut Tx, accepted: &[Accepted<'_>], now: Time) -> Result<(), Error> {
    let news = || accepted.iter().map(|a| a.new);
    let workspaces = Columns::default()
        .keys(news().map(|new| new.id))
        .ids(news().map(|new| new.account_id))
        .texts(news().map(|new| new.name.clone()))
        .texts(news().map(|new| new.folded_name.clone()))
        .texts(accepted.iter().map(|a| a.slug.clone()))
        .texts(news().map(|new| new.region.clone()))
        .texts(news().map(|new| new.tenancy_model.as_str().to_owned()))
        .texts(news().map(|new| new.created_by.kind.as_str().to_owned()))
        .ids(news().map(|new| new.created_by.id))
        .ids(news().map(|new| new.run.id.0))
        .jsons(news().map(|new| Some(json!(new.labels).to_string())))
        .flags(news().map(|new| new.termination_protection));
    tx.query(&INSERT_WORKSPACES).bind(now).bind(workspaces).execute().await?;
    let aliases = Columns::default()
        .keys(news().map(|new| new.account_id))
        .texts(news().map(|new| new.folded_name.clone()))
        .ids(news().map(|new| new.id));
    tx.query(&INSERT_ALIASES).bind(now).bind(aliases).execute().await?;
    let memberships = Columns::default()
        .keys(news().map(|new| new.id))
        .texts(news().map(|new| new.created_by.kind.as_str().to_owned()))
        .ids(news().map(|new| new.created_by.id))
        .texts(news().map(|new| new.role.as_str().to_owned()));
    tx.query(&INSERT_MEMBERSHIPS).bind(now).bind(Scope::Workspace.as_str()).bind(memberships).execute().await?;
    Ok(())
}
