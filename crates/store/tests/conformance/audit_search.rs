//! What the audit log is searched by, and that entries of an older schema are found as well.

use std::time::Duration;

use domain::audit::{Actor, Draft};
use domain::ports::{ActionFilter, AuditFilter, AuditLog, AuditOf, AuditPage};
use domain::{Principal, PrincipalKind};
use rstest::rstest;
use saga::{RunId, Time};
use store::Store;
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, draft};

const ADA: Uuid = Uuid::from_u128(0xada);
const THING: Uuid = Uuid::from_u128(0x7416);
const RUN: Uuid = Uuid::from_u128(0x3147);

const NONE: [u64; 0] = [];
const PAGE: AuditPage = AuditPage { above: None, below: None, oldest_first: true, limit: 100 };

async fn seqs(world: &World, of: AuditOf, filter: AuditFilter, page: AuditPage) -> Vec<u64> {
    world.store.list(of, &filter, page).await.unwrap().iter().map(|entry| entry.seq).collect()
}

fn filters() -> Vec<(AuditFilter, Vec<u64>)> {
    let all = AuditFilter::default;
    vec![
        (all(), vec![2, 3, 4, 5, 6]),
        (AuditFilter { actor: Some(ADA), ..all() }, vec![3, 5]),
        (AuditFilter { action: Some(ActionFilter::Exactly("run.skip".to_owned())), ..all() }, vec![4]),
        (AuditFilter { action: Some(ActionFilter::Prefix("run.".to_owned())), ..all() }, vec![2, 3, 4]),
        (AuditFilter { action: Some(ActionFilter::Prefix("run_.".to_owned())), ..all() }, vec![]),
        (AuditFilter { outcome: Some("denied".to_owned()), ..all() }, vec![5, 6]),
        (AuditFilter { target: Some(THING), ..all() }, vec![4, 6]),
        (AuditFilter { run: Some(RunId(RUN)), ..all() }, vec![3]),
        (AuditFilter { actor: Some(ADA), outcome: Some("denied".to_owned()), ..all() }, vec![5]),
        (AuditFilter { target: Some(THING), action: Some(ActionFilter::Exactly("run.skip".to_owned())), ..all() }, vec![4]),
        (AuditFilter { target: Some(THING), actor: Some(ADA), ..all() }, vec![]),
    ]
}

/// Entries 2 to 6 of an account; the first is its creation's, the seventh a workspace's.
async fn written(world: &World) -> (Uuid, Uuid) {
    let account = world.account(3).await;
    let created = world.store.of_account(account, 0, 100).await.unwrap().len();
    assert_eq!(created, 2, "the account's creation and its run's end");
    let by = |draft: Draft| {
        let principal = Principal { kind: PrincipalKind::User, id: ADA };
        Draft { actor: Some(Actor { principal, on_behalf_of: None }), ..draft }
    };
    let on = |draft: Draft| draft.target("thing", THING).target("other", Uuid::from_u128(9)).target("again", THING);
    let plain = |action: &str| draft(account, None, action);
    for draft in [
        by(plain("run.cancel").run(RunId(RUN))),
        on(plain("run.skip")),
        by(plain("runs.denied").outcome("denied")),
        on(plain("workspace.read").outcome("denied")),
    ] {
        world.store.append(draft).await.unwrap();
    }
    let (workspace, _) = world.workspace(account, "data").await;
    (account, workspace)
}

async fn finds_all(world: &World, account: Uuid, workspace: Uuid) {
    for (filter, expected) in filters() {
        let page = AuditPage { above: Some(1), below: Some(7), ..PAGE };
        assert_eq!(seqs(world, AuditOf::Account(account), filter.clone(), page).await, expected, "{filter:?}");
        let newest = AuditPage { oldest_first: false, limit: 2, ..page };
        let expected: Vec<u64> = expected.into_iter().rev().take(2).collect();
        assert_eq!(seqs(world, AuditOf::Account(account), filter.clone(), newest).await, expected, "{filter:?}, newest first");
    }
    let created = AuditFilter { action: Some(ActionFilter::Prefix("workspace.".to_owned())), ..AuditFilter::default() };
    assert_eq!(seqs(world, AuditOf::Workspace(workspace), created, PAGE).await, [7]);
    assert_eq!(seqs(world, AuditOf::Workspace(workspace), AuditFilter { actor: Some(ADA), ..AuditFilter::default() }, PAGE).await, NONE);
    assert_eq!(seqs(world, AuditOf::Workspace(Uuid::now_v7()), AuditFilter::default(), PAGE).await, NONE);
}

#[rstest]
#[tokio::test]
async fn each_filter_finds_what_it_says_in_both_orders(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let (account, workspace) = written(&world).await;
    finds_all(&world, account, workspace).await;
}

#[rstest]
#[tokio::test]
async fn times_are_places_in_the_chain(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let mut times: Vec<Time> = world.store.of_account(account, 0, 9).await.unwrap().iter().map(|e| e.occurred_at).collect();
    for n in 0..3 {
        world.test.db.advance(Duration::from_hours(1));
        times.push(world.store.append(draft(account, None, &format!("a{n}"))).await.unwrap().occurred_at);
    }
    let of = AuditOf::Account(account);
    let between = |after: Option<Time>, before: Option<Time>| AuditFilter {
        occurred_after: after,
        occurred_before: before,
        ..AuditFilter::default()
    };
    assert_eq!(seqs(&world, of, between(Some(times[2]), None), PAGE).await, [4, 5], "both ends are left out");
    assert_eq!(seqs(&world, of, between(None, Some(times[3])), AuditPage { oldest_first: false, ..PAGE }).await, [3, 2, 1]);
    assert_eq!(seqs(&world, of, between(Some(times[2]), Some(times[4])), PAGE).await, [4]);
    assert_eq!(seqs(&world, of, between(Some(times[4]), None), PAGE).await, NONE);
    assert_eq!(seqs(&world, of, between(None, Some(times[0])), PAGE).await, NONE);
    let page = AuditPage { above: Some(4), ..PAGE };
    assert_eq!(seqs(&world, of, between(Some(times[1]), None), page).await, [5], "a page within the times");
}

static SET_BACK: Statement = Statement::split(
    "set back",
    "update account_heads set audit_at = audit_at + interval '1 day' where account_id = $1",
    "update account_heads set audit_at = audit_at + 86400000000 where account_id = $1",
);

/// As after a clock that was a day ahead when the last entry was written.
#[rstest]
#[tokio::test]
async fn a_clock_that_is_set_back_turns_no_chain_around(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let last = world.store.append(draft(account, None, "before")).await.unwrap().occurred_at;
    let mut tx = world.test.db.write().await.unwrap();
    tx.query(&SET_BACK).bind(account).execute().await.unwrap();
    tx.commit().await.unwrap();
    let next = world.store.append(draft(account, None, "after")).await.unwrap().occurred_at;
    assert_eq!(next, last + Duration::from_hours(24));
}

macro_rules! undo {
    ($($name:ident = $text:literal;)+) => { $(static $name: Statement = Statement::shared("undo", $text);)+ };
}

undo! {
    DROP_BY_ACTOR = "drop index audit_entries_by_actor";
    DROP_BY_ACTION = "drop index audit_entries_by_action";
    DROP_BY_OUTCOME = "drop index audit_entries_by_outcome";
    DROP_BY_RUN = "drop index audit_entries_by_run";
    DROP_BY_TIME = "drop index audit_entries_by_time";
    DROP_OUTCOME = "alter table audit_entries drop column outcome";
    DROP_ACTOR = "alter table audit_entries drop column actor_id";
    DROP_RUN = "alter table audit_entries drop column run_id";
    DROP_TARGETS = "drop table audit_targets";
    DROP_AT = "alter table account_heads drop column audit_at";
    FORGET = "delete from _sqlx_migrations where version = 5";
}

/// Takes the migration back, with the rows still there, and applies it again.
#[rstest]
#[tokio::test]
async fn entries_of_an_older_schema_are_found_after_the_upgrade(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let (account, workspace) = written(&world).await;
    let mut odd = draft(account, None, "odd");
    odd.after = Some(serde_json::json!({"nul": "\u{0}", "backslash": "\\u0000", "quote": "\""}));
    let last = world.store.append(odd).await.unwrap();
    let mut tx = world.test.db.write().await.unwrap();
    let indexes = [&DROP_BY_ACTOR, &DROP_BY_ACTION, &DROP_BY_OUTCOME, &DROP_BY_RUN, &DROP_BY_TIME];
    for statement in indexes.into_iter().chain([&DROP_OUTCOME, &DROP_ACTOR, &DROP_RUN, &DROP_TARGETS, &DROP_AT, &FORGET]) {
        tx.query(statement).execute().await.unwrap();
    }
    tx.commit().await.unwrap();
    // A connection of before remembers statements over the columns of before.
    world.test.db.close().await;
    let reopened = world.test.reopen().await;
    reopened.migrate().await.unwrap();
    let world = World { store: Store::new(reopened), ..world };
    finds_all(&world, account, workspace).await;
    assert_eq!(world.store.of_account(account, 7, 9).await.unwrap(), std::slice::from_ref(&last));
    assert!(world.store.append(draft(account, None, "new")).await.unwrap().occurred_at >= last.occurred_at);
}
