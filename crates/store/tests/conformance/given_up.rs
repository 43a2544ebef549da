//! Runs that must be carried through and were given up: what they were at is found again, and begun anew after a rest.

use domain::change::{Change, Subject};
use domain::model::{FreezeSource, Role, Scope, ScopeRef, WorkspaceStatus};
use domain::ports::{AuditLog, Deletions, Freezes, Members, ProvisioningRuns, RoleChange, Unapplied};
use rstest::rstest;
use saga::journal::Ending;
use saga::ports::{ClaimedRun, Runs, State};
use serde_json::Value;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::deletions::{MONTH, REST, deleted, made, purge_of, purging};
use crate::freezes::freeze;
use crate::world::{World, claim, ended, user};

async fn unapplied(world: &World) -> Unapplied {
    world.store.unapplied(9, REST).await.unwrap()
}

/// A frozen workspace whose carrier has ended so, nothing carried out.
async fn given_up(world: &World, account: Uuid, slug: &str, ending: Ending) -> Uuid {
    let workspace = made(world, account, slug, Ending::Succeeded).await;
    world.change(workspace, freeze(FreezeSource::Security)).await;
    let carrier = world.claim_carrier().await.unwrap();
    world.committed(ended(&carrier, Subject::Workspace(workspace), ending)).await;
    workspace
}

#[rstest]
#[tokio::test]
async fn freezes_whose_run_was_given_up_are_begun_again_after_a_rest(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let abandoned = given_up(&world, account, "a", Ending::Abandoned).await;
    world.test.db.advance(REST / 5);
    let failed = given_up(&world, account, "b", Ending::Failed).await;
    // A person has done it by hand; another one has a run at work.
    let skipped = given_up(&world, account, "c", Ending::Succeeded).await;
    let carried = made(&world, account, "d", Ending::Succeeded).await;
    world.change(carried, freeze(FreezeSource::Security)).await;

    let early = unapplied(&world).await;
    assert_eq!(early.due, [] as [Uuid; 0]);
    assert!(early.next.is_some_and(|next| next <= REST / 5 * 4 && next > REST / 5 * 3), "{early:?}");
    assert!(!world.store.apply_again(abandoned, REST).await.unwrap(), "not yet");
    world.test.db.advance(REST / 5 * 4);
    let later = unapplied(&world).await;
    assert_eq!(later.due, [abandoned]);
    assert!(later.next.is_some_and(|next| next <= REST / 5), "{later:?}");
    world.test.db.advance(REST / 5);
    assert_eq!(unapplied(&world).await, Unapplied { due: vec![abandoned, failed], next: None });
    assert_eq!(world.store.unapplied(1, REST).await.unwrap().due, [abandoned], "the longest first");

    let before = world.row(abandoned).await;
    assert!(world.store.apply_again(abandoned, REST).await.unwrap());
    assert_eq!(world.row(abandoned).await, before, "the set has not moved");
    let carriers = world.carriers(abandoned).await;
    assert_eq!(carriers.iter().map(|r| r.state).collect::<Vec<_>>(), [State::Pending, State::Abandoned]);
    assert_eq!((&carriers[0].input, &carriers[0].definition), (&carriers[1].input, &carriers[1].definition));
    let entry = world.store.of_workspace(abandoned, None, 1).await.unwrap().remove(0);
    assert_eq!((entry.action.as_str(), entry.run_id, entry.actor), ("run.start", Some(carriers[0].id), None));
    for workspace in [abandoned, skipped, carried] {
        assert!(!world.store.apply_again(workspace, REST).await.unwrap(), "once, and only what was given up");
    }
    assert_eq!(unapplied(&world).await.due, [failed]);

    // The new run carries them out, and that is the end of it.
    let mut carrier = world.claim_carrier().await.unwrap();
    while carrier.facts.run != carriers[0].id {
        carrier = world.claim_carrier().await.expect("it is due");
    }
    let mut end = ended(&carrier, Subject::Workspace(abandoned), Ending::Succeeded);
    let open = false;
    end.changes.insert(0, Change::FreezesApplied { workspace_id: abandoned, revision: 1, open, backend_workspaces: Vec::new() });
    world.committed(end).await;
    world.test.db.advance(REST);
    assert_eq!((world.row(abandoned).await.freeze_applied, unapplied(&world).await.due), (1, vec![failed]));
}

async fn claim_purge(world: &World) -> ClaimedRun {
    let worker = world.worker().await;
    let mut of = claim(worker);
    of.definitions = vec![purging()];
    Runs::<Change>::claim(&world.store, &of).await.unwrap().runs.pop().expect("the purge is due")
}

#[rstest]
#[case::abandoned(Ending::Abandoned)]
#[case::failed(Ending::Failed)]
#[case::with_its_last_step_skipped(Ending::Succeeded)]
#[tokio::test]
async fn a_purge_that_ended_half_way_is_begun_again_after_a_rest(#[case] ending: Ending, #[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let id = made(&world, account, "data", Ending::Succeeded).await;
    // The last of a line, which is kept for the next.
    let on = ScopeRef { scope: Scope::Workspace, id, account_id: account };
    let line = world.role_changed(on, user(), RoleChange::Add(Role::Viewer)).await;
    world.store.delivered(&line[0], None, None).await.unwrap();
    let input = run_input(&world, id).await;
    deleted(&world, account, id).await;
    world.test.db.advance(MONTH);
    world.store.take_due(9, REST).await.unwrap();
    assert!(Deletions::purge(&world.store, purge_of(&world.row(id).await)).await.unwrap());
    let first = claim_purge(&world).await;
    world.committed(ended(&first, Subject::Workspace(id), ending)).await;

    let early = world.store.to_purge(9, REST).await.unwrap();
    assert!(early.due.is_empty() && early.next.is_some_and(|next| next <= REST), "{early:?}");
    assert!(!Deletions::purge(&world.store, purge_of(&world.row(id).await)).await.unwrap(), "not yet");
    world.test.db.advance(REST);
    let due = world.store.to_purge(9, REST).await.unwrap();
    assert_eq!((due.due.iter().map(|w| w.id).collect::<Vec<_>>(), due.next), (vec![id], None));
    let again = purge_of(&due.due[0]);
    let mut stale = again.clone();
    stale.revision -= 1;
    assert!(!Deletions::purge(&world.store, stale).await.unwrap(), "prepared for another row");
    assert!(Deletions::purge(&world.store, again.clone()).await.unwrap());
    let row = world.row(id).await;
    assert_eq!((row.status, row.run_id), (WorkspaceStatus::Purging, again.run.id));
    let entry = world.store.of_workspace(id, None, 1).await.unwrap().remove(0);
    assert_eq!((entry.action.as_str(), entry.id), ("workspace.purge", again.audit.id));
    assert!(world.store.to_purge(9, REST).await.unwrap().due.is_empty());
    assert!(!Deletions::purge(&world.store, purge_of(&row)).await.unwrap(), "one at a time");

    assert_eq!(world.store.forget(9, REST).await.unwrap(), 0);
    let second = claim_purge(&world).await;
    assert_eq!(second.facts.run, again.run.id);
    let mut end = ended(&second, Subject::Workspace(id), Ending::Succeeded);
    end.changes.insert(0, Change::PurgeWorkspace { workspace_id: id });
    world.committed(end).await;
    world.test.db.advance(REST);
    let after = world.store.to_purge(9, REST).await.unwrap();
    assert!(after.due.is_empty() && after.next.is_none(), "what is gone is gone");
    assert!(!Deletions::purge(&world.store, purge_of(&world.row(id).await)).await.unwrap());
    assert_eq!(world.store.forget(9, REST).await.unwrap(), 1, "no change of a role follows");
    assert_eq!(run_input(&world, id).await, input, "where no name stood nothing is taken out");
}

/// Of the run that made it.
async fn run_input(world: &World, workspace: Uuid) -> Value {
    let made_by = world.row(workspace).await.made_by;
    ProvisioningRuns::get(&world.store, made_by).await.unwrap().unwrap().run.input
}
