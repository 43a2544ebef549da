//! The gate: every mutation of a workspace is wholly before or wholly after a freeze. Scripted: one transaction is held open,
//! and the other is seen to wait for it. A new mutation behind the gate is a line in [`GATED`].

use std::pin::Pin;
use std::time::Duration;

use domain::ids::{bucket, within};
use domain::model::{FreezeSource, Role, Scope, ScopeRef};
use domain::ports::{
    AuditLog, ChangeAnswer, EditAnswer, EditWorkspace, Edits, FreezeAnswer, Freezes, Health, Members, NewRequest, ProvisioningRuns,
    RequestAnswer, RetryAnswer, RetryRun, RoleChange, Workspaces, Written,
};
use domain::workspaces::edit::Edit;
use rstest::rstest;
use saga::journal::Ending;
use saga::{Time, Verb};
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::freezes::{freeze, new_change, unfreeze};
use crate::races::{LOCK_HEADS, in_line, seen_among_waiting, seen_to_wait};
use crate::world::{World, draft, new_run, role_change, user};

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the gate said.
#[derive(Debug, PartialEq, Eq)]
enum Passed {
    Through,
    Frozen(Vec<FreezeSource>),
}

/// A workspace that is ready for a mutation, and the mutation.
struct Staged {
    account: Uuid,
    workspace: Uuid,
    mutate: Later<Passed>,
}

type Stage = fn(World) -> Later<(World, Staged)>;

/// Every port method that changes what belongs to a workspace and is not exempt from the gate.
const GATED: &[(&str, Stage)] =
    &[("ProvisioningRuns::request", request), ("ProvisioningRuns::retry", retry), ("Edits::edit", edit), ("Members::change", promote)];

fn request(world: World) -> Later<(World, Staged)> {
    Box::pin(async move {
        let account = world.account(9).await;
        let (workspace, run) = world.workspace(account, "a").await;
        let new = NewRequest {
            id: within(account, Uuid::now_v7()),
            run,
            gate: Some(workspace),
            verb: Verb::Retry,
            step: None,
            actor: user(),
            comment: None,
            audit: draft(account, Some(workspace), "the mutation"),
            idempotency: None,
        };
        let store = world.store.clone();
        let mutate = async move {
            match ProvisioningRuns::request(&store, new).await.unwrap() {
                Written::Done(RequestAnswer::Requested) => Passed::Through,
                Written::Done(RequestAnswer::Frozen(freezes)) => Passed::Frozen(freezes.iter().map(|f| f.source).collect()),
                other => panic!("{other:?}"),
            }
        };
        (world, Staged { account, workspace, mutate: Box::pin(mutate) })
    })
}

fn retry(world: World) -> Later<(World, Staged)> {
    Box::pin(async move {
        let account = world.account(9).await;
        let (workspace, run) = world.workspace(account, "a").await;
        world.end(workspace, Ending::Failed).await;
        let mut again = new_run(account, Some(workspace));
        again.retry_of = Some(run);
        let new = RetryRun { run: again, audit: draft(account, Some(workspace), "the mutation"), idempotency: None };
        let store = world.store.clone();
        let mutate = async move {
            match ProvisioningRuns::retry(&store, new).await.unwrap() {
                Written::Done(RetryAnswer::Created) => Passed::Through,
                Written::Done(RetryAnswer::Frozen(freezes)) => Passed::Frozen(freezes.iter().map(|f| f.source).collect()),
                other => panic!("{other:?}"),
            }
        };
        (world, Staged { account, workspace, mutate: Box::pin(mutate) })
    })
}

fn edit(world: World) -> Later<(World, Staged)> {
    Box::pin(async move {
        let account = world.account(9).await;
        let (workspace, _) = world.workspace(account, "a").await;
        let change = Edit { name: None, labels: None, termination_protection: Some(true) };
        let audit = draft(account, Some(workspace), "the mutation");
        let new = EditWorkspace { workspace_id: workspace, edit: change, if_match: None, audit };
        let store = world.store.clone();
        let mutate = async move {
            match Edits::edit(&store, new).await.unwrap() {
                EditAnswer::Done(_) => Passed::Through,
                EditAnswer::Frozen(freezes) => Passed::Frozen(freezes.iter().map(|f| f.source).collect()),
                other => panic!("{other:?}"),
            }
        };
        (world, Staged { account, workspace, mutate: Box::pin(mutate) })
    })
}

/// Removals and demotions are exempt.
fn promote(world: World) -> Later<(World, Staged)> {
    Box::pin(async move {
        let account = world.account(9).await;
        let (workspace, _) = world.workspace(account, "a").await;
        world.end(workspace, Ending::Succeeded).await;
        let on = ScopeRef { scope: Scope::Workspace, id: workspace, account_id: account };
        let mut new = role_change(on, user(), RoleChange::Add(Role::Viewer));
        new.audit = draft(account, Some(workspace), "the mutation");
        let store = world.store.clone();
        let mutate = async move {
            match Members::change(&store, new).await.unwrap() {
                Written::Done(ChangeAnswer::Made(_)) => Passed::Through,
                Written::Done(ChangeAnswer::Frozen(freezes)) => Passed::Frozen(freezes.iter().map(|f| f.source).collect()),
                other => panic!("{other:?}"),
            }
        };
        (world, Staged { account, workspace, mutate: Box::pin(mutate) })
    })
}

static FREEZE: Statement = Statement::shared(
    "freeze",
    "insert into workspace_freezes (bucket, workspace_id, source, mode, reason_code, note, created_by_kind, created_by_id, created_at,
       expires_at)
     values ($1, $2, 'legal', 'read_only', 'why', null, 'user', $2, $3, $4)",
);
static RAISE: Statement =
    Statement::shared("raise", "update workspaces set freeze_revision = freeze_revision + 1 where bucket = $1 and id = $2");

/// A freeze as a transaction of the test's own sets it, not committed yet; no freeze can be set on a workspace that failed.
async fn freezing(world: &World, workspace: Uuid, expires_at: Option<Time>) -> store::db::Tx {
    let mut tx = world.test.db.write().await.unwrap();
    let now = tx.now().await.unwrap();
    tx.query(&RAISE).bind(bucket(workspace)).bind(workspace).execute().await.unwrap();
    tx.query(&FREEZE).bind(bucket(workspace)).bind(workspace).bind(now).bind(expires_at).execute().await.unwrap();
    tx
}

async fn actions(world: &World, account: Uuid) -> Vec<String> {
    world.store.of_account(account, 0, 999).await.unwrap().into_iter().map(|entry| entry.action).collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_a_freeze_is_refused_and_changes_nothing(#[values(Sqlite, Postgres)] backend: Backend) {
    for (name, stage) in GATED {
        let (world, staged) = stage(World::new(backend).await).await;
        let (before, entries) = (Workspaces::get(&world.store, staged.workspace).await.unwrap(), actions(&world, staged.account).await);
        let holder = freezing(&world, staged.workspace, None).await;
        let task = tokio::spawn(staged.mutate);
        seen_to_wait(&world, &task).await;
        holder.commit().await.unwrap();
        assert_eq!(task.await.unwrap(), Passed::Frozen(vec![FreezeSource::Legal]), "{name}");
        assert_eq!(actions(&world, staged.account).await, entries, "{name}");
        let after = Workspaces::get(&world.store, staged.workspace).await.unwrap();
        assert_eq!(after.map(|w| (w.status, w.revision, w.run_id)), before.map(|w| (w.status, w.revision, w.run_id)), "{name}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_that_is_taken_back_lets_what_waited_through(#[values(Sqlite, Postgres)] backend: Backend) {
    for (name, stage) in GATED {
        let (world, staged) = stage(World::new(backend).await).await;
        let holder = freezing(&world, staged.workspace, None).await;
        let task = tokio::spawn(staged.mutate);
        seen_to_wait(&world, &task).await;
        holder.rollback().await.unwrap();
        assert_eq!(task.await.unwrap(), Passed::Through, "{name}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_freeze_waits_for_what_has_passed_the_gate(#[values(Sqlite, Postgres)] backend: Backend) {
    for (name, stage) in GATED {
        let (world, staged) = stage(World::new(backend).await).await;
        // The mutation comes to a stop after the gate, at the end of its transaction.
        let mut holder = world.test.db.write().await.unwrap();
        holder.query(&LOCK_HEADS).fetch_all().await.unwrap();
        let mutation = tokio::spawn(staged.mutate);
        seen_to_wait(&world, &mutation).await;
        let (store, new) = (world.store.clone(), new_change(staged.account, staged.workspace, freeze(FreezeSource::Legal)));
        let freezing = tokio::spawn(async move { Freezes::change(&store, new).await.unwrap() });
        seen_among_waiting(&world, &freezing, 2).await;
        assert_eq!(in_line(&world).await, 0, "{name}: the freeze has got as far as the head row, and waits for that");
        holder.rollback().await.unwrap();
        assert_eq!(mutation.await.unwrap(), Passed::Through, "{name}");
        assert!(matches!(freezing.await.unwrap(), FreezeAnswer::Done(_)), "{name}");
        let order = actions(&world, staged.account).await;
        assert_eq!(order[order.len() - 2..], ["the mutation", "workspace.freeze"], "{name}");
    }
}

/// Time alone opens the gate, whether or not anybody has cleared the freeze away.
#[rstest]
#[case::a_moment_before(Duration::from_secs(30), Passed::Frozen(vec![FreezeSource::Legal]))]
#[case::at_the_moment(Duration::from_mins(1), Passed::Through)]
#[tokio::test]
async fn a_gate_is_open_from_the_moment_that_the_freeze_expires(
    #[values(Sqlite, Postgres)] backend: Backend,
    #[case] later: Duration,
    #[case] expected: Passed,
) {
    for (name, stage) in GATED {
        let (world, staged) = stage(World::new(backend).await).await;
        let expires_at = world.store.now().await.unwrap() + Duration::from_mins(1);
        freezing(&world, staged.workspace, Some(expires_at)).await.commit().await.unwrap();
        world.test.db.advance(later);
        assert_eq!(staged.mutate.await, expected, "{name}");
    }
}

/// Whatever the order they come in: the last one's word holds, for the set as for the run that it parks.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn freezes_and_unfreezes_at_once_end_as_the_last_one_says(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, run) = world.workspace(account, "a").await;
    let tasks: Vec<_> = (0..24)
        .map(|n| {
            let change = if n % 2 == 0 { freeze(FreezeSource::AccountAdmin) } else { unfreeze(&[FreezeSource::AccountAdmin]) };
            let (store, new) = (world.store.clone(), new_change(account, workspace, change));
            tokio::spawn(async move { Freezes::change(&store, new).await.unwrap() })
        })
        .collect();
    let mut changed = 0;
    for task in tasks {
        let FreezeAnswer::Done(shut) = task.await.unwrap() else { panic!("nothing rules a freeze out") };
        changed += i64::from(shut.changed);
    }
    let row = Workspaces::get(&world.store, workspace).await.unwrap().unwrap();
    assert_eq!(row.freeze_revision, changed, "each change has its revision");
    let entries = world.store.of_account(account, 0, 999).await.unwrap();
    let told: Vec<_> = entries.iter().filter(|e| e.action.contains("freeze")).map(|e| e.action.as_str()).collect();
    assert_eq!(told.len(), usize::try_from(changed).unwrap());
    assert!(told.chunks(2).all(|pair| pair[0] == "workspace.freeze" && pair.get(1).is_none_or(|a| *a == "workspace.unfreeze")));
    let is_frozen = told.len() % 2 == 1;
    assert_eq!(row.freezes.len(), usize::from(is_frozen));
    let verbs = ProvisioningRuns::get(&world.store, run).await.unwrap().unwrap().pending_verbs;
    assert_eq!(verbs.len(), told.len());
    assert_eq!(verbs.last() == Some(&Verb::Park), is_frozen, "{verbs:?}");
}
