//! What an attempt made that was open when its run was parked, a freeze may have missed: it is carried out once more.

use domain::change::Subject;
use domain::model::FreezeSource::AccountAdmin;
use domain::ports::AuditLog;
use rstest::rstest;
use saga::journal::{Ending, Event};
use saga::ports::{ClaimedRun, Commit};
use saga::{Fault, Record, Verb};
use serde_json::Value;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::freezes::freeze;
use crate::world::{World, ended, kept, record, released, step_started};

/// A workspace frozen while the first attempt of its run is open, and that run.
async fn frozen(world: &World) -> (Uuid, ClaimedRun) {
    let account = world.account(9).await;
    let (workspace, _) = world.workspace(account, "a").await;
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    world.committed(kept(&claimed, vec![record(1, Event::RunStarted), step_started(2, "a", 1)])).await;
    world.change(workspace, freeze(AccountAdmin)).await;
    (workspace, claimed)
}

/// The freeze has been carried out, as far as it could see.
async fn carried_out(world: &World, workspace: Uuid) {
    let carrier = world.claim_carrier().await.unwrap();
    world.committed(ended(&carrier, Subject::Workspace(workspace), Ending::Succeeded)).await;
}

fn closes(run: &ClaimedRun, event: Event) -> Commit<domain::Change> {
    kept(run, vec![record(3, event)])
}

fn outcomes() -> [Event; 4] {
    let (step, attempt, fault) = ("a".to_owned(), 1, Fault::new("drilled", "As it was told to"));
    [
        Event::StepSucceeded { step: step.clone(), attempt, output: Value::Null },
        Event::StepFailed { step: step.clone(), attempt, fault: fault.clone(), retry_at: None },
        Event::StepUnknown { step: step.clone(), attempt, fault, retry_at: None },
        Event::StepRefused { step, attempt, forgiven: 1, retry_at: record(9, Event::RunStarted).at },
    ]
}

#[rstest]
#[tokio::test]
async fn however_an_attempt_of_a_parked_run_closes_the_freezes_are_carried_out_once_more(
    #[values(0, 1, 2, 3)] outcome: usize,
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let world = World::new(backend).await;
    let (workspace, run) = frozen(&world).await;
    carried_out(&world, workspace).await;
    let before = world.row(workspace).await;
    world.committed(closes(&run, outcomes()[outcome].clone())).await;

    let after = world.row(workspace).await;
    assert_eq!((before.freeze_revision, after.freeze_revision), (1, 2));
    assert_eq!(after.revision, before.revision, "nothing that a person changes has changed");
    let carriers = world.carriers(workspace).await;
    let [new, old] = carriers.as_slice() else { panic!("{carriers:?}") };
    assert_eq!((new.ending, old.ending), (None, Some(Ending::Succeeded)));
    assert_eq!((&new.input, &new.definition, new.total), (&old.input, &old.definition, old.total));
    let entries = world.store.of_workspace(workspace, None, 100).await.unwrap();
    let started: Vec<_> = entries.iter().filter(|e| e.action == "run.start").map(|e| e.run_id).collect();
    assert_eq!(started, [Some(new.id)]);
    assert_eq!(world.claim_carrier().await.unwrap().facts.run, new.id, "it is due");
}

#[rstest]
#[tokio::test]
async fn a_run_that_is_at_it_starts_over_and_gets_no_second_beside_it(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let (workspace, run) = frozen(&world).await;
    let carrier = world.claim_carrier().await.unwrap();
    world.committed(released(&carrier, None)).await;
    world.committed(closes(&run, outcomes()[0].clone())).await;
    assert_eq!(world.row(workspace).await.freeze_revision, 2);
    assert_eq!(world.carriers(workspace).await.len(), 1);
    assert_eq!(world.pending(carrier.facts.run).await, [Verb::Retry], "and does not wait for its next try");
}

#[rstest]
#[tokio::test]
async fn what_is_no_end_of_a_forward_attempt_or_of_no_parked_run_carries_nothing(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let (workspace, run) = frozen(&world).await;
    carried_out(&world, workspace).await;
    let undone: Vec<Record> = vec![
        record(3, Event::UndoStarted { step: "a".to_owned(), attempt: 1 }),
        record(4, Event::Undone { step: "a".to_owned(), attempt: 1 }),
    ];
    world.committed(kept(&run, undone)).await;
    let fenced = Commit { epoch: run.epoch - 1, ..closes(&run, outcomes()[0].clone()) };
    world.commit(fenced).await;
    assert_eq!(world.row(workspace).await.freeze_revision, 1);
    world.change(workspace, crate::freezes::unfreeze(&[AccountAdmin])).await;
    carried_out(&world, workspace).await;
    world.committed(closes(&run, outcomes()[0].clone())).await;
    assert_eq!(world.row(workspace).await.freeze_revision, 2, "unfrozen, and not once more");
    assert_eq!(world.carriers(workspace).await.len(), 2);
}

#[rstest]
#[tokio::test]
async fn a_commit_that_lands_twice_has_them_carried_out_once(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let (workspace, run) = frozen(&world).await;
    carried_out(&world, workspace).await;
    let commit = closes(&run, outcomes()[0].clone());
    world.committed(commit.clone()).await;
    world.committed(Commit { resent: true, ..commit }).await;
    assert_eq!(world.row(workspace).await.freeze_revision, 2);
    assert_eq!(world.carriers(workspace).await.len(), 2);
}
