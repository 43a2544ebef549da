//! Pages of the audit log. Each statement walks one index in the order of `seq`, the narrowest that the filter has; what
//! else is filtered for is looked at on the way.

use domain::ids::bucket;
use domain::ports::{ActionFilter, AuditFilter, AuditOf, AuditPage};
use saga::Time;
use uuid::Uuid;

use crate::db::{Error, Row, Statement, Tx};

/// Entries by what the index is on, in both orders.
macro_rules! walk {
    ($from:literal, $seq:literal, $index:literal, $order:literal) => {
        concat!(
            "select e.entry from ",
            $from,
            " where e.bucket = $1 and e.account_id = $2 and ",
            $seq,
            " > $3 and ",
            $seq,
            " < $4 and (e.workspace_id = $5 or $5 is null) and (e.actor_id = $6 or $6 is null) and (e.action = $7 or $7 is null)
               and (substr(e.action, 1, length($8)) = $8 or $8 is null) and (e.outcome = $9 or $9 is null)
               and (e.run_id = $10 or $10 is null) and (e.occurred_at > $11 or $11 is null) and (e.occurred_at < $12 or $12 is null)",
            $index,
            " order by ",
            $seq,
            $order,
            " limit $13"
        )
    };
}

macro_rules! entries {
    ($index:literal, $order:literal) => {
        walk!("audit_entries e", "e.seq", $index, $order)
    };
}

macro_rules! of_target {
    ($order:literal) => {
        walk!(
            "audit_targets t join audit_entries e on e.bucket = t.bucket and e.account_id = t.account_id and e.seq = t.seq",
            "t.seq",
            " and t.bucket = $1 and t.account_id = $2 and t.target_id = $14",
            $order
        )
    };
}

crate::statements! {
    ACCOUNT_OF = shared("select account_id from workspaces where bucket = $1 and id = $2");
    // Times grow with `seq`, so that a time is a place in the chain.
    FIRST_AFTER = shared(
        "select seq from audit_entries where bucket = $1 and account_id = $2 and occurred_at > $3 order by occurred_at, seq limit 1",
    );
    LAST_BEFORE = shared(
        "select seq from audit_entries where bucket = $1 and account_id = $2 and occurred_at < $3
         order by occurred_at desc, seq desc limit 1",
    );
    ALL = shared(entries!("", ""));
    ALL_NEWEST = shared(entries!("", " desc"));
    BY_WORKSPACE = shared(entries!(" and e.workspace_id = $5", ""));
    BY_WORKSPACE_NEWEST = shared(entries!(" and e.workspace_id = $5", " desc"));
    BY_ACTOR = shared(entries!(" and e.actor_id = $6", ""));
    BY_ACTOR_NEWEST = shared(entries!(" and e.actor_id = $6", " desc"));
    BY_ACTION = shared(entries!(" and e.action = $7", ""));
    BY_ACTION_NEWEST = shared(entries!(" and e.action = $7", " desc"));
    BY_OUTCOME = shared(entries!(" and e.outcome = $9", ""));
    BY_OUTCOME_NEWEST = shared(entries!(" and e.outcome = $9", " desc"));
    BY_RUN = shared(entries!(" and e.run_id = $10", ""));
    BY_RUN_NEWEST = shared(entries!(" and e.run_id = $10", " desc"));
    BY_TARGET = shared(of_target!(""));
    BY_TARGET_NEWEST = shared(of_target!(" desc"));
}

/// The index that narrows most, as far as can be told without looking.
fn narrowest(filter: &AuditFilter, workspace: Option<Uuid>) -> [&'static Statement; 2] {
    let exact = matches!(filter.action, Some(ActionFilter::Exactly(_)));
    let by = [
        (filter.target.is_some(), [&BY_TARGET, &BY_TARGET_NEWEST]),
        (filter.run.is_some(), [&BY_RUN, &BY_RUN_NEWEST]),
        (filter.actor.is_some(), [&BY_ACTOR, &BY_ACTOR_NEWEST]),
        (workspace.is_some(), [&BY_WORKSPACE, &BY_WORKSPACE_NEWEST]),
        (exact, [&BY_ACTION, &BY_ACTION_NEWEST]),
        (filter.outcome.is_some(), [&BY_OUTCOME, &BY_OUTCOME_NEWEST]),
    ];
    by.into_iter().find(|(given, _)| *given).map_or([&ALL, &ALL_NEWEST], |(_, statements)| statements)
}

/// The rows of a page; each has the entry's text.
pub(super) async fn rows(tx: &mut Tx, of: AuditOf, filter: &AuditFilter, page: AuditPage) -> Result<Vec<Row>, Error> {
    let (account, workspace) = match of {
        AuditOf::Account(account) => (account, None),
        AuditOf::Workspace(workspace) => {
            let row = tx.query(&ACCOUNT_OF).bind(bucket(workspace)).bind(workspace).fetch_optional().await?;
            let Some(row) = row else { return Ok(Vec::new()) };
            (row.get("account_id")?, Some(workspace))
        }
    };
    let seq = |seq: Option<u64>, otherwise: i64| seq.map_or(otherwise, |seq| i64::try_from(seq).unwrap_or(i64::MAX));
    let (mut above, mut below) = (seq(page.above, 0), seq(page.below, i64::MAX));
    if let Some(after) = filter.occurred_after {
        let Some(first) = place(tx, &FIRST_AFTER, account, after).await? else { return Ok(Vec::new()) };
        above = above.max(first - 1);
    }
    if let Some(before) = filter.occurred_before {
        let Some(last) = place(tx, &LAST_BEFORE, account, before).await? else { return Ok(Vec::new()) };
        below = below.min(last + 1);
    }
    let (action, prefix) = match &filter.action {
        Some(ActionFilter::Exactly(action)) => (Some(action.as_str()), None),
        Some(ActionFilter::Prefix(prefix)) => (None, Some(prefix.as_str())),
        None => (None, None),
    };
    let [oldest_first, newest_first] = narrowest(filter, workspace);
    let query = tx
        .query(if page.oldest_first { oldest_first } else { newest_first })
        .bind(bucket(account))
        .bind(account)
        .bind(above)
        .bind(below)
        .bind(workspace)
        .bind(filter.actor)
        .bind(action)
        .bind(prefix)
        .bind(filter.outcome.as_deref())
        .bind(filter.run.map(|run| run.0))
        .bind(filter.occurred_after)
        .bind(filter.occurred_before)
        .bind(i64::from(page.limit));
    match filter.target {
        Some(target) => query.bind(target).fetch_all().await,
        None => query.fetch_all().await,
    }
}

async fn place(tx: &mut Tx, statement: &'static Statement, account: Uuid, time: Time) -> Result<Option<i64>, Error> {
    let row = tx.query(statement).bind(bucket(account)).bind(account).bind(time).fetch_optional().await?;
    row.map(|row| row.get("seq")).transpose()
}
