//! The end of a workspace, and who comes first: deletion, restore and purge against each other and against all else.

mod asked;

use std::time::Duration;

use domain::model::{FreezeSource, Scope, Workspace, WorkspaceStatus};
use domain::ports::{
    Answer, AuditLog, DeleteAnswer, DeleteWorkspace, Deletions, EditAnswer, Edits, Ended, IfMatch, Keyed, NewRun, Page, ProvisioningRuns,
    RestoreAnswer, RestoreWorkspace, RetryAnswer, RetryRun, Slug, StartPurge, WorkspaceFilter, Workspaces, Written,
};
use rstest::rstest;
use saga::journal::Ending;
use saga::{DefinitionId, RunId};
use serde_json::json;
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use tokio::task::JoinHandle;
use uuid::Uuid;

use asked::{delete_of, restore_of};

use crate::edits::edit_of;
use crate::freezes::{freeze, unfreeze};
use crate::races::seen_to_wait;
use crate::world::{World, draft, idempotency, new_run};

/// How long a purge that was given up rests.
pub const REST: Duration = Duration::from_mins(5);
pub const MONTH: Duration = Duration::from_hours(720);

static REVIVE: Statement =
    Statement::shared("revive", "update provisioning_runs set terminal = false where exclusive and workspace_id is not null");
static TOUCH: Statement = Statement::shared("touch", "update workspaces set updated_at = updated_at");
static BECOME: Statement = Statement::shared("become", "update workspaces set status = $1, revision = revision + 1, freeze_revision = 1");
static SHUT: Statement = Statement::shared(
    "shut",
    "insert into workspace_freezes (bucket, workspace_id, source, mode, reason_code, note, created_by_kind, created_by_id, created_at, expires_at)
     select bucket, id, $1, 'blocked', 'why', null, created_by_kind, created_by_id, created_at, null from workspaces",
);
static LOCK_HEADS: Statement = Statement::split(
    "lock heads",
    "select account_id from account_heads order by account_id for update",
    "select account_id from account_heads order by account_id",
);
static MOVE_SLUGS: Statement = Statement::shared("move slugs", "update workspaces set slug = $1 where status = 'active'");

pub fn purging() -> DefinitionId {
    DefinitionId { name: "purge-workspace".to_owned(), version: 1, digest: "digest".to_owned() }
}

pub fn purge_of(workspace: &Workspace) -> StartPurge {
    let account = workspace.account_id;
    StartPurge {
        workspace_id: workspace.id,
        revision: workspace.revision,
        rest: REST,
        run: NewRun { definition: purging(), ..new_run(account, Some(workspace.id)) },
        audit: draft(account, Some(workspace.id), "workspace.purge"),
    }
}

async fn row(world: &World, workspace: Uuid) -> Workspace {
    Workspaces::get(&world.store, workspace).await.unwrap().unwrap()
}

/// A workspace that has become `active`, or whose run has ended otherwise.
pub async fn made(world: &World, account: Uuid, slug: &str, ending: Ending) -> Uuid {
    let (workspace, _) = world.workspace(account, slug).await;
    world.end(workspace, ending).await;
    workspace
}

pub async fn deleted(world: &World, account: Uuid, workspace: Uuid) -> Ended {
    match Deletions::delete(&world.store, delete_of(account, workspace)).await.unwrap() {
        DeleteAnswer::Deleted(ended) => *ended,
        other => panic!("{other:?}"),
    }
}

async fn restored(world: &World, new: RestoreWorkspace) -> RestoreAnswer {
    match Deletions::restore(&world.store, new).await.unwrap() {
        Written::Done(answer) => answer,
        other => panic!("{other:?}"),
    }
}

async fn due(world: &World) -> Vec<Uuid> {
    world.store.to_purge(10, REST).await.unwrap().due.into_iter().map(|w| w.id).collect()
}

/// A deletion in a task of its own.
fn deleting(world: &World, new: DeleteWorkspace) -> JoinHandle<DeleteAnswer> {
    let store = world.store.clone();
    tokio::spawn(async move { Deletions::delete(&store, new).await.unwrap() })
}

fn restoring(world: &World, new: RestoreWorkspace) -> JoinHandle<Written<RestoreAnswer>> {
    let store = world.store.clone();
    tokio::spawn(async move { Deletions::restore(&store, new).await.unwrap() })
}

#[rstest]
#[case::active(Ending::Succeeded, WorkspaceStatus::Active, 1)]
#[case::failed(Ending::Failed, WorkspaceStatus::Failed, 0)]
#[case::abandoned(Ending::Abandoned, WorkspaceStatus::Failed, 1)]
#[tokio::test]
async fn what_is_deleted_is_shut_and_what_is_restored_is_what_it_was(
    #[case] ending: Ending,
    #[case] status: WorkspaceStatus,
    #[case] quota: i64,
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let world = World::new(backend).await;
    let account = world.account(2).await;
    let id = made(&world, account, "data", ending).await;
    let before = row(&world, id).await;
    let new = DeleteWorkspace { if_match: IfMatch::Revisions(vec![before.revision]), ..delete_of(account, id) };
    let DeleteAnswer::Deleted(ended) = Deletions::delete(&world.store, new.clone()).await.unwrap() else { panic!() };
    let after = row(&world, id).await;
    assert_eq!((&ended.workspace, ended.apply), (&after, Some(new.run.id)), "what is answered is what is stored");
    assert_eq!((after.status, after.status_before), (WorkspaceStatus::Deleted, Some(status)));
    assert_eq!((after.freeze_revision, after.revision), (before.freeze_revision + 1, before.revision + 1));
    assert_eq!(after.purge_at, after.deleted_at.map(|at| at + MONTH));
    let [shut] = after.freezes.as_slice() else { panic!("{:?}", after.freezes) };
    assert_eq!((shut.source, shut.created_by, shut.expires_at), (FreezeSource::Deletion, new.by, None));
    let room = world.store.room(account, &Slug::Given("data".to_owned())).await.unwrap().unwrap();
    assert_eq!((room.live, room.slug.as_deref()), (quota, Some("data")), "the slug is free at once, the quota is held");
    assert_eq!(world.store.memberships(Scope::Workspace, id).await.unwrap().len(), 1);

    let carrying = ProvisioningRuns::get(&world.store, new.run.id).await.unwrap().unwrap().run;
    assert_eq!(carrying.definition.name, "apply-freezes");
    let RestoreAnswer::Restored(again) = restored(&world, restore_of(account, id, None)).await else { panic!() };
    let back = row(&world, id).await;
    assert_eq!((&again.workspace, again.apply), (&back, Some(new.run.id)), "a run that is alive carries both");
    let expected =
        Workspace { revision: back.revision, freeze_revision: back.freeze_revision, updated_at: back.updated_at, ..before.clone() };
    assert_eq!(back, expected);
    assert_eq!(world.store.room(account, &Slug::Given("x".to_owned())).await.unwrap().unwrap().live, quota);
    let entries = world.store.of_workspace(id, None, 2).await.unwrap();
    assert_eq!(entries.iter().map(|e| e.action.as_str()).collect::<Vec<_>>(), ["workspace.restore", "workspace.delete"]);
    assert_eq!(entries[1].run_id, Some(new.run.id));
    assert_eq!(entries[1].after.as_ref().unwrap()["status"], json!("deleted"));
    assert_eq!(restored(&world, restore_of(account, id, None)).await, RestoreAnswer::NotAllowed { status });
}

#[rstest]
#[tokio::test]
async fn a_deletion_is_refused_for_its_reason_and_changes_nothing(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let delete = async |new: DeleteWorkspace| Deletions::delete(&world.store, new).await.unwrap();
    let (id, run) = world.workspace(account, "a").await;
    assert_eq!(delete(delete_of(account, id)).await, DeleteAnswer::RunInProgress { run });
    world.end(id, Ending::Succeeded).await;
    let mut protect = edit_of(id, account, None, &[]);
    protect.edit.termination_protection = Some(true);
    assert!(matches!(world.store.edit(protect.clone()).await.unwrap(), EditAnswer::Done(_)));
    let before = row(&world, id).await;
    assert_eq!(delete(delete_of(account, id)).await, DeleteAnswer::Protected);
    let stale = DeleteWorkspace { if_match: IfMatch::Revisions(vec![1]), ..delete_of(account, id) };
    assert_eq!(delete(stale).await, DeleteAnswer::OtherRevision { revision: before.revision });
    assert_eq!(delete(delete_of(account, domain::ids::within(account, Uuid::now_v7()))).await, DeleteAnswer::Gone);
    assert_eq!(row(&world, id).await, before);
    protect.edit.termination_protection = Some(false);
    world.store.edit(protect).await.unwrap();

    for source in [FreezeSource::Legal, FreezeSource::Security] {
        world.change(id, freeze(FreezeSource::Billing)).await;
        world.change(id, freeze(source)).await;
        let DeleteAnswer::Held(held) = delete(delete_of(account, id)).await else { panic!("{source:?}") };
        assert_eq!(held.iter().map(|f| f.source).collect::<Vec<_>>(), [source], "billing holds nothing");
        world.change(id, unfreeze(&[source])).await;
    }
    let first = deleted(&world, account, id).await;
    let entries = world.store.of_workspace(id, None, 99).await.unwrap().len();
    let again = DeleteWorkspace { if_match: IfMatch::Revisions(vec![1]), ..delete_of(account, id) };
    assert_eq!(delete(again).await, DeleteAnswer::Already(Box::new(first)), "the same request come twice is answered in the same way");
    assert_eq!(world.store.of_workspace(id, None, 99).await.unwrap().len(), entries);
}

#[rstest]
#[tokio::test]
async fn lists_leave_out_what_is_deleted_unless_it_is_asked_for(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let id = made(&world, account, "a", Ending::Succeeded).await;
    let other = made(&world, account, "b", Ending::Succeeded).await;
    deleted(&world, account, id).await;
    let creator = row(&world, id).await.created_by;
    let page = Page { after: None, limit: 9 };
    let listed = async |status: Option<WorkspaceStatus>, frozen: Option<bool>| {
        let filter = WorkspaceFilter { status, frozen, ..WorkspaceFilter::default() };
        let rows = world.store.list_by_account(account, None, &filter, page).await.unwrap();
        rows.into_iter().map(|w| w.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(None, None).await, [other]);
    assert_eq!(listed(Some(WorkspaceStatus::Deleted), None).await, [id]);
    assert!(world.store.list_by_member(&[creator], &WorkspaceFilter::default(), page).await.unwrap().is_empty());
    world.test.db.advance(MONTH);
    assert!(Deletions::purge(&world.store, purge_of(&row(&world, id).await)).await.unwrap());
    assert_eq!(listed(Some(WorkspaceStatus::Deleted), None).await, [id], "what is being purged is still deleted");
    assert_eq!(listed(Some(WorkspaceStatus::Active), Some(true)).await, [] as [Uuid; 0]);
    world.change(other, freeze(FreezeSource::AccountAdmin)).await;
    assert_eq!(listed(Some(WorkspaceStatus::Active), Some(true)).await, [other]);
    assert_eq!(listed(Some(WorkspaceStatus::Active), Some(false)).await, [] as [Uuid; 0]);
}

#[rstest]
#[tokio::test]
async fn a_restore_takes_another_slug_where_its_own_is_gone(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let id = made(&world, account, "data", Ending::Succeeded).await;
    deleted(&world, account, id).await;
    world.workspace(account, "data").await;
    let before = row(&world, id).await;
    assert_eq!(restored(&world, restore_of(account, id, None)).await, RestoreAnswer::SlugTaken { slug: "data".to_owned() });
    assert_eq!(row(&world, id).await, before, "nothing was done");
    let mut new = restore_of(account, id, Some("data-2"));
    new.idempotency = Some(Keyed {
        key: idempotency(account, new.by, "k", b"f").key,
        answer: |ended| Answer { status: 200, location: None, body: json!({"slug": ended.workspace.slug}) },
    });
    assert!(matches!(restored(&world, new.clone()).await, RestoreAnswer::Restored(_)));
    assert_eq!(row(&world, id).await.slug, "data-2");
    let replayed = Deletions::restore(&world.store, new).await.unwrap();
    assert_eq!(replayed, Written::Replayed(Answer { status: 200, location: None, body: json!({"slug": "data-2"}) }));
}

#[rstest]
#[tokio::test]
async fn a_purge_begins_when_its_time_has_come_and_nothing_holds_it(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let id = made(&world, account, "data", Ending::Succeeded).await;
    let ended = deleted(&world, account, id).await;
    assert_eq!(due(&world).await, [] as [Uuid; 0]);
    let next = world.store.to_purge(10, REST).await.unwrap().next.unwrap();
    assert!(next <= MONTH && next + Duration::from_hours(1) > MONTH);
    assert!(!Deletions::purge(&world.store, purge_of(&ended.workspace)).await.unwrap(), "not yet");
    world.test.db.advance(MONTH);
    assert_eq!(due(&world).await, [id]);
    assert_eq!(world.store.to_purge(10, REST).await.unwrap().next, None);

    // A legal hold, set on what is deleted, makes it wait; lifted, it lets it go.
    let stale = purge_of(&row(&world, id).await);
    world.change(id, freeze(FreezeSource::Legal)).await;
    assert_eq!(due(&world).await, [] as [Uuid; 0]);
    assert!(!Deletions::purge(&world.store, purge_of(&row(&world, id).await)).await.unwrap());
    world.change(id, unfreeze(&[FreezeSource::Legal])).await;
    assert!(!Deletions::purge(&world.store, stale).await.unwrap(), "prepared for another row");
    assert_eq!(due(&world).await, [id]);
    let new = purge_of(&row(&world, id).await);
    assert!(Deletions::purge(&world.store, new.clone()).await.unwrap());
    let purging = row(&world, id).await;
    assert_eq!((purging.status, purging.run_id), (WorkspaceStatus::Purging, new.run.id));
    assert_eq!(due(&world).await, [] as [Uuid; 0]);
    assert!(!Deletions::purge(&world.store, purge_of(&purging)).await.unwrap(), "once");
    assert_eq!(restored(&world, restore_of(account, id, None)).await, RestoreAnswer::NotAllowed { status: WorkspaceStatus::Purging });
    assert!(matches!(Deletions::delete(&world.store, delete_of(account, id)).await.unwrap(), DeleteAnswer::Already(_)));
    assert_eq!(world.store.of_workspace(id, None, 1).await.unwrap()[0].action, "workspace.purge");
}

#[rstest]
#[tokio::test]
async fn of_a_restore_and_a_purge_the_first_decides(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let id = made(&world, account, "data", Ending::Succeeded).await;
    deleted(&world, account, id).await;
    world.test.db.advance(MONTH);
    let prepared = purge_of(&row(&world, id).await);
    assert!(matches!(restored(&world, restore_of(account, id, None)).await, RestoreAnswer::Restored(_)), "late, but before the purge");
    assert!(!Deletions::purge(&world.store, prepared).await.unwrap());
    assert_eq!(row(&world, id).await.status, WorkspaceStatus::Active);
}

/// Catches a restore that looks at the status before it has the lock.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_waited_for_a_purge_is_refused(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let id = made(&world, account, "data", Ending::Succeeded).await;
    deleted(&world, account, id).await;
    let mut holder = world.test.db.write().await.unwrap();
    holder.query(&BECOME).bind("purging").execute().await.unwrap();
    let task = restoring(&world, restore_of(account, id, None));
    seen_to_wait(&world, &task).await;
    holder.commit().await.unwrap();
    assert_eq!(task.await.unwrap(), Written::Done(RestoreAnswer::NotAllowed { status: WorkspaceStatus::Purging }));
}

/// Catches a purge that looks at the status before it has the lock.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_waited_for_a_restore_does_not_begin(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let id = made(&world, account, "data", Ending::Succeeded).await;
    deleted(&world, account, id).await;
    world.test.db.advance(MONTH);
    let (store, new) = (world.store.clone(), purge_of(&row(&world, id).await));
    let mut holder = world.test.db.write().await.unwrap();
    holder.query(&BECOME).bind("active").execute().await.unwrap();
    let task = tokio::spawn(async move { Deletions::purge(&store, new).await.unwrap() });
    seen_to_wait(&world, &task).await;
    holder.commit().await.unwrap();
    assert!(!task.await.unwrap());
    assert_eq!(row(&world, id).await.status, WorkspaceStatus::Active);
}

/// Catches a deletion that looks for a run before it has the lock, under which every run is accepted.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_waited_for_a_run_to_be_accepted_is_refused(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let id = made(&world, account, "data", Ending::Failed).await;
    let run = row(&world, id).await.run_id;
    let mut holder = world.test.db.write().await.unwrap();
    holder.query(&TOUCH).execute().await.unwrap();
    holder.query(&REVIVE).execute().await.unwrap();
    let task = deleting(&world, delete_of(account, id));
    seen_to_wait(&world, &task).await;
    holder.commit().await.unwrap();
    assert_eq!(task.await.unwrap(), DeleteAnswer::RunInProgress { run });
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_and_a_deletion_at_once_are_one_after_the_other(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(99).await;
    for round in 0..8 {
        let id = made(&world, account, &format!("w{round}"), Ending::Failed).await;
        let mut run = new_run(account, Some(id));
        run.retry_of = Some(row(&world, id).await.run_id);
        let retry = RetryRun { run: run.clone(), audit: draft(account, Some(id), "run.retry"), idempotency: None };
        let store = world.store.clone();
        let retried = tokio::spawn(async move { ProvisioningRuns::retry(&store, retry).await.unwrap() });
        let deleted = deleting(&world, delete_of(account, id)).await.unwrap();
        match (retried.await.unwrap(), deleted) {
            (Written::Done(RetryAnswer::Created), DeleteAnswer::RunInProgress { run: RunId(at_work) }) => {
                assert_eq!(at_work, run.id.0);
                world.end(id, Ending::Failed).await;
            }
            (Written::Done(RetryAnswer::Frozen(_)), DeleteAnswer::Deleted(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Catches a deletion that looks for freezes before it has the lock.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_waited_for_a_legal_freeze_is_held(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let id = made(&world, account, "data", Ending::Succeeded).await;
    let mut holder = world.test.db.write().await.unwrap();
    holder.query(&BECOME).bind("active").execute().await.unwrap();
    holder.query(&SHUT).bind("legal").execute().await.unwrap();
    let task = deleting(&world, delete_of(account, id));
    seen_to_wait(&world, &task).await;
    holder.commit().await.unwrap();
    assert!(matches!(task.await.unwrap(), DeleteAnswer::Held(held) if held.len() == 1));
    assert_eq!(row(&world, id).await.status, WorkspaceStatus::Active);
}

/// Catches a restore that looks for its slug before it has the head row's lock, under which every slug is given.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_waited_for_its_slug_to_be_given_away_is_refused(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let id = made(&world, account, "data", Ending::Succeeded).await;
    deleted(&world, account, id).await;
    made(&world, account, "other", Ending::Succeeded).await;
    let mut holder = world.test.db.write().await.unwrap();
    holder.query(&LOCK_HEADS).fetch_all().await.unwrap();
    holder.query(&MOVE_SLUGS).bind("data").execute().await.unwrap();
    let task = restoring(&world, restore_of(account, id, None));
    seen_to_wait(&world, &task).await;
    holder.commit().await.unwrap();
    assert_eq!(task.await.unwrap(), Written::Done(RestoreAnswer::SlugTaken { slug: "data".to_owned() }));
    assert_eq!(row(&world, id).await.status, WorkspaceStatus::Deleted);
}
