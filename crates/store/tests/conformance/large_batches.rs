//! Batches of transitions, in whichever of the store's ways they are written.

use std::collections::HashMap;

use domain::ports::ProvisioningRuns;
use rstest::rstest;
use saga::ports::{Claim, ClaimedRun, CommitAnswer, Disposition, State};
use saga::{Record, RunId, Runs};
use testkit::Backend::{self, Postgres, Sqlite};

use crate::world::{World, claim, head, kept, released, step_started};

/// Claimed runs, one more than the longest statement takes rows.
async fn claimed(world: &World) -> Vec<ClaimedRun> {
    let account = world.account(100).await;
    for number in 0..65 {
        world.workspace(account, &format!("w{number}")).await;
    }
    let worker = world.worker().await;
    let claim = Claim { limit: 100, ..claim(worker) };
    let runs = Runs::<domain::Change>::claim(&world.store, &claim).await.unwrap().runs;
    assert_eq!(runs.len(), 65);
    runs
}

async fn shown(world: &World, id: RunId) -> domain::model::RunDetail {
    ProvisioningRuns::get(&world.store, id).await.unwrap().unwrap()
}

fn is_committed(answer: &CommitAnswer) -> bool {
    matches!(answer, CommitAnswer::Committed { .. })
}

#[rstest]
#[tokio::test]
async fn each_member_of_a_large_batch_is_written_as_what_it_is(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let runs = claimed(&world).await;
    let mut expected: HashMap<RunId, (Vec<Record>, State, Vec<String>)> = HashMap::new();
    let batch = runs.iter().enumerate().map(|(at, run)| {
        let seq = i64::try_from(at).unwrap() + 1;
        let mut commit = kept(run, vec![step_started(seq, "a", 1), step_started(seq + 1, "b", 2)]);
        match at % 5 {
            0 => commit.head.paused_by = vec![format!("saga:{at}")],
            1 => commit = saga::ports::Commit { records: commit.records, ..released(run, None) },
            2 => (commit.disposition, commit.head) = (Disposition::End, head(State::Succeeded, Some(saga::journal::Ending::Succeeded))),
            3 => commit.head.done = 7,
            _ => {}
        }
        expected.insert(run.facts.run, (commit.records.to_vec(), commit.head.state, commit.head.paused_by.clone()));
        commit
    });
    let answers = Runs::<domain::Change>::commit(&world.store, batch.collect()).await;
    assert!(answers.len() == 65 && answers.iter().all(is_committed), "{answers:?}");
    for (at, claimed) in runs.iter().enumerate() {
        let detail = shown(&world, claimed.facts.run).await;
        let run = &detail.run;
        let (records, state, paused_by) = &expected[&claimed.facts.run];
        assert_eq!((&detail.journal, run.state, &run.paused_by), (records, *state, paused_by), "{at}");
        assert_eq!(
            (run.version, run.done, run.ending.is_some()),
            (2, if at % 5 == 3 { 7 } else { head(State::Running, None).done }, at % 5 == 2)
        );
    }
    // Whoever was kept is still owned; what was shown as paused is so no more.
    let again = runs.iter().map(|run| kept(run, vec![step_started(100, "c", 1)])).collect();
    let answers = Runs::<domain::Change>::commit(&world.store, again).await;
    for (at, answer) in answers.iter().enumerate() {
        assert_eq!(is_committed(answer), at % 5 != 2, "an ended run takes no more: {at}: {answer:?}");
        let detail = shown(&world, runs[at].facts.run).await;
        assert_eq!((detail.run.paused_by.len(), detail.journal.len()), (0, if at % 5 == 2 { 2 } else { 3 }));
    }
}

#[rstest]
#[tokio::test]
async fn a_fenced_member_of_a_large_batch_keeps_nobody_else_from_being_written(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let runs = claimed(&world).await;
    let mut batch: Vec<_> = runs.iter().map(|run| kept(run, vec![step_started(1, "a", 1)])).collect();
    batch[20].epoch += 1;
    let answers = Runs::<domain::Change>::commit(&world.store, batch).await;
    for (at, answer) in answers.iter().enumerate() {
        assert!(if at == 20 { matches!(answer, CommitAnswer::Fenced) } else { is_committed(answer) }, "{at}: {answer:?}");
        let detail = shown(&world, runs[at].facts.run).await;
        assert_eq!((detail.journal.len(), detail.run.version), if at == 20 { (0, 1) } else { (1, 2) }, "once, and not twice: {at}");
    }
}
