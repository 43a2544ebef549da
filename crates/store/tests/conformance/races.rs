//! Races, scripted: a transaction of the test's own holds the lock that a port method needs, the method is seen to wait, and
//! then decides by what the transaction has committed. Whoever reads before it locks fails here, on PostgreSQL always.
//! The brute cases at the end are for what nobody thought of.

use domain::change::Subject;
use domain::ports::{AuditLog, CreateWorkspace, Page, Slug, WorkspaceFilter, Workspaces, Written};
use rstest::rstest;
use saga::journal::Ending;
use saga::ports::CommitAnswer;
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use tokio::task::JoinHandle;

use crate::world::{World, draft, ended, new_workspace};

static FILL_QUOTAS: Statement = Statement::shared("fill quotas", "update account_heads set workspaces_live = workspaces_max");
static RAISE_EPOCHS: Statement = Statement::shared("raise epochs", "update provisioning_runs set epoch = epoch + 1");
static MOVE_SLUGS: Statement = Statement::shared("move slugs", "update workspaces set slug = $1");
pub static LOCK_HEADS: Statement = Statement::split(
    "lock heads",
    "select account_id from account_heads order by account_id for update",
    "select account_id from account_heads order by account_id",
);
static WAITING: Statement = Statement::split(
    "waiting",
    "select count(*) as waiting from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    "select 0 as waiting",
);

static IN_LINE: Statement = Statement::split(
    "in line",
    "select count(*) as waiting from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'tuple'",
    "select 0 as waiting",
);

/// How many wait behind somebody else for a row that a third one holds. SQLite has one line for everybody, and does not tell.
pub async fn in_line(world: &World) -> i64 {
    let mut tx = world.test.db.read().await.unwrap();
    tx.query(&IN_LINE).fetch_one().await.unwrap().get("waiting").unwrap()
}

/// Returns once somebody waits for a lock that the caller holds. SQLite does not tell; there the one writer is held, so that
/// nobody can be past it, and it is enough that `task` has had every chance to run.
pub async fn seen_to_wait<T>(world: &World, task: &JoinHandle<T>) {
    seen_among_waiting(world, task, 1).await;
}

/// As [`seen_to_wait`], once this many wait, `task` the last of them.
pub async fn seen_among_waiting<T>(world: &World, task: &JoinHandle<T>, all: i64) {
    for turn in 0_u32.. {
        let mut tx = world.test.db.read().await.unwrap();
        let waiting: i64 = tx.query(&WAITING).fetch_one().await.unwrap().get("waiting").unwrap();
        if waiting >= all || (world.test.db.is_sqlite() && turn > 50) {
            break;
        }
        assert!(!task.is_finished(), "it did not wait for the lock");
        tokio::task::yield_now().await;
    }
    assert!(!task.is_finished(), "it did not wait for the lock");
}

fn create(world: &World, new: domain::ports::NewWorkspace) -> JoinHandle<Written<CreateWorkspace>> {
    let store = world.store.clone();
    tokio::spawn(async move { Workspaces::create(&store, new).await.unwrap() })
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn quota_is_decided_after_the_wait_for_the_head_row(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let mut holder = world.test.db.write().await.unwrap();
    holder.query(&FILL_QUOTAS).execute().await.unwrap();
    let task = create(&world, new_workspace(account, "data"));
    seen_to_wait(&world, &task).await;
    holder.commit().await.unwrap();
    assert_eq!(task.await.unwrap(), Written::Done(CreateWorkspace::QuotaExceeded { max: 3 }));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_slug_is_looked_for_after_the_wait_for_the_head_row(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    world.workspace(account, "other").await;
    let mut holder = world.test.db.write().await.unwrap();
    holder.query(&LOCK_HEADS).fetch_all().await.unwrap();
    holder.query(&MOVE_SLUGS).bind("data").execute().await.unwrap();
    let task = create(&world, new_workspace(account, "data"));
    seen_to_wait(&world, &task).await;
    holder.commit().await.unwrap();
    assert_eq!(task.await.unwrap(), Written::Done(CreateWorkspace::SlugTaken { slug: "data".to_owned() }));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_waited_for_a_takeover_is_fenced_and_changes_nothing(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (workspace, id) = world.workspace(account, "data").await;
    let worker = world.worker().await;
    let run = world.claim_one(worker).await;
    let before = Workspaces::get(&world.store, workspace).await.unwrap();
    let mut holder = world.test.db.write().await.unwrap();
    holder.query(&RAISE_EPOCHS).execute().await.unwrap();
    let (store, commit) = (world.store.clone(), ended(&run, Subject::Workspace(workspace), Ending::Failed));
    let task = tokio::spawn(async move { saga::Runs::commit(&store, vec![commit]).await.remove(0) });
    seen_to_wait(&world, &task).await;
    holder.commit().await.unwrap();
    assert!(matches!(task.await.unwrap(), CommitAnswer::Fenced));
    assert_eq!(Workspaces::get(&world.store, workspace).await.unwrap(), before);
    assert_eq!(domain::ports::ProvisioningRuns::get(&world.store, id).await.unwrap().unwrap().journal, []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_audit_entry_waits_for_the_one_before_it(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let mut holder = world.test.db.write().await.unwrap();
    holder.query(&LOCK_HEADS).fetch_all().await.unwrap();
    let store = world.store.clone();
    let task = tokio::spawn(async move { store.append(draft(account, None, "later")).await.unwrap() });
    seen_to_wait(&world, &task).await;
    holder.rollback().await.unwrap();
    assert_eq!(task.await.unwrap().seq, 3, "after the account's creation and the end of its run");
}

async fn created(tasks: Vec<JoinHandle<Written<CreateWorkspace>>>) -> (usize, Vec<CreateWorkspace>) {
    let (mut created, mut refused) = (0, Vec::new());
    for task in tasks {
        match task.await.unwrap() {
            Written::Done(CreateWorkspace::Created { .. }) => created += 1,
            Written::Done(other) => refused.push(other),
            other => panic!("{other:?}"),
        }
    }
    (created, refused)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_three_lets_in_exactly_three_of_sixteen(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(3).await;
    let (created, refused) = created((0..16).map(|n| create(&world, new_workspace(account, &format!("w{n}")))).collect()).await;
    assert_eq!(created, 3);
    assert_eq!(refused, vec![CreateWorkspace::QuotaExceeded { max: 3 }; 13]);
    let page = Page { after: None, limit: 100 };
    assert_eq!(world.store.list_by_account(account, None, &WorkspaceFilter::default(), page).await.unwrap().len(), 3);
    assert_eq!(world.store.room(account, &Slug::Given("x".to_owned())).await.unwrap().unwrap().live, 3);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_slug_asked_for_a_hundred_times_at_once_is_given_once(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(1000).await;
    let (created, refused) = created((0..100).map(|_| create(&world, new_workspace(account, "data"))).collect()).await;
    assert_eq!(created, 1);
    assert_eq!(refused, vec![CreateWorkspace::SlugTaken { slug: "data".to_owned() }; 99]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_generated_slug_asked_for_at_once_by_many_is_told_apart(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(1000).await;
    let tasks = (0..20)
        .map(|_| {
            let mut new = new_workspace(account, "data");
            new.slug = Slug::Generated("data".to_owned());
            create(&world, new)
        })
        .collect();
    assert_eq!(created(tasks).await, (20, vec![]));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_has_no_gaps_when_many_write_at_once(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(10).await;
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let store = world.store.clone();
            tokio::spawn(async move {
                if n % 4 == 0 {
                    Workspaces::create(&store, new_workspace(account, &format!("w{n}"))).await.map(drop)
                } else {
                    store.append(draft(account, None, "tick")).await.map(drop)
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let entries = world.store.of_account(account, 0, 1000).await.unwrap();
    assert_eq!(entries.iter().map(|e| e.seq).collect::<Vec<_>>(), (1..=42).collect::<Vec<u64>>());
    domain::audit::verify(&entries).unwrap();
    assert!(entries.is_sorted_by_key(|e| e.occurred_at), "the order of the chain is the order of time");
}
