//! Members of one transaction: what they change is written together, and each is answered for itself.

use std::sync::Arc;

use domain::audit::verify;
use domain::change::{Change, NewEnvironment, Subject};
use domain::ids::within;
use domain::model::{EnvironmentName, WorkspaceStatus};
use domain::ports::{AuditLog, ProvisioningRuns, Slug, Workspaces};
use rstest::rstest;
use saga::journal::{Ending, Event};
use saga::ports::{ClaimedRun, Commit, CommitAnswer, Runs};
use saga::{Fault, RunId};
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, ended, kept, record, step_started};

/// Two accounts with workspaces that are being made, by turns, and their claimed runs.
struct Made {
    world: World,
    accounts: [Uuid; 2],
    workspaces: Vec<(Uuid, ClaimedRun)>,
}

impl Made {
    async fn new(backend: Backend, count: usize) -> Self {
        let world = World::new(backend).await;
        let accounts = [world.account(9).await, world.account(9).await];
        let mut made = Vec::new();
        for number in 0..count {
            made.push(world.workspace(accounts[number % 2], &format!("w{number}")).await);
        }
        let worker = world.worker().await;
        let mut claimed = world.claim(worker).await;
        let take = |claimed: &mut Vec<ClaimedRun>, id: RunId| {
            let at = claimed.iter().position(|run| run.facts.run == id).unwrap();
            claimed.swap_remove(at)
        };
        let workspaces = made.into_iter().map(|(workspace, run)| (workspace, take(&mut claimed, run))).collect();
        Self { world, accounts, workspaces }
    }

    async fn committed(&self, batch: Vec<Commit<Change>>) -> Vec<bool> {
        let answers = self.world.store.commit(batch).await;
        answers.iter().map(|answer| matches!(answer, CommitAnswer::Committed { .. })).collect()
    }

    async fn status(&self, number: usize) -> WorkspaceStatus {
        Workspaces::get(&self.world.store, self.workspaces[number].0).await.unwrap().unwrap().status
    }

    /// The ends of runs that stand in the account's audit log, in its order.
    async fn ends(&self, account: Uuid) -> Vec<(RunId, String)> {
        let entries = self.world.store.of_account(account, 0, 1000).await.unwrap();
        verify(&entries).unwrap();
        assert!(entries.windows(2).all(|two| two[0].seq + 1 == two[1].seq), "no gap");
        let ends = entries.into_iter().filter(|entry| entry.action == "run.end" && entry.workspace_id.is_some());
        ends.map(|entry| (entry.run_id.unwrap(), entry.journal_sha256.unwrap())).collect()
    }

    fn end(&self, number: usize, ending: Ending) -> Commit<Change> {
        let (workspace, run) = &self.workspaces[number];
        let mut end = ended(run, Subject::Workspace(*workspace), ending);
        // Nobody's journal is like another's.
        let records = Arc::make_mut(&mut end.records);
        records.insert(0, step_started(1, &format!("step-{number}"), 1));
        records[1].seq = 2;
        if ending == Ending::Succeeded {
            end.changes.insert(0, Change::ActivateWorkspace { workspace_id: *workspace });
        }
        end
    }
}

#[rstest]
#[tokio::test]
async fn ends_of_one_batch_go_on_their_accounts_chains_in_its_order_and_give_back_what_failed(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    use sha2::Digest as _;
    let made = Made::new(backend, 6).await;
    let endings = [Ending::Succeeded, Ending::Succeeded, Ending::Failed, Ending::Abandoned, Ending::Succeeded, Ending::Cancelled];
    // Not in the order in which they were made.
    let order = [4, 1, 0, 5, 2, 3];
    let batch = order.iter().map(|number| made.end(*number, endings[*number])).collect();
    assert_eq!(made.committed(batch).await, [true; 6]);
    for (of, account) in made.accounts.iter().enumerate() {
        let ends = made.ends(*account).await;
        let wanted: Vec<usize> = order.into_iter().filter(|number| number % 2 == of).collect();
        assert_eq!(
            ends.iter().map(|(run, _)| *run).collect::<Vec<_>>(),
            wanted.iter().map(|n| made.workspaces[*n].1.facts.run).collect::<Vec<_>>()
        );
        for (run, digest) in ends {
            let mut hash = sha2::Sha256::new();
            for record in ProvisioningRuns::get(&made.world.store, run).await.unwrap().unwrap().journal {
                hash.update(serde_json_canonicalizer::to_vec(&record).unwrap());
                hash.update(b"\n");
            }
            let hex: Vec<String> = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, hex.concat());
        }
        let room = made.world.store.room(*account, &Slug::Given("free".to_owned())).await.unwrap().unwrap();
        assert_eq!(room.live, 2, "one of the three failed or was cancelled; who was abandoned holds its quota");
    }
    for (number, ending) in endings.into_iter().enumerate() {
        let wanted = if ending == Ending::Succeeded { WorkspaceStatus::Active } else { WorkspaceStatus::Failed };
        assert_eq!(made.status(number).await, wanted);
    }
}

#[rstest]
#[tokio::test]
async fn of_a_batch_that_ends_runs_only_the_member_that_is_refused_changes_nothing(#[values(Sqlite, Postgres)] backend: Backend) {
    let made = Made::new(backend, 5).await;
    let mut batch: Vec<_> = (0..5).map(|number| made.end(number, Ending::Succeeded)).collect();
    // One is no longer to be activated, one is about a run of another, one has lost its run.
    batch[1].changes.insert(0, Change::ActivateWorkspace { workspace_id: within(made.accounts[1], Uuid::now_v7()) });
    batch[2].changes[1] = batch[0].changes[1].clone();
    batch[3].epoch += 1;
    assert_eq!(made.committed(batch).await, [true, false, false, false, true]);
    assert_eq!(made.ends(made.accounts[0]).await.len(), 2);
    assert_eq!(made.ends(made.accounts[1]).await.len(), 0);
    for number in 0..5 {
        let wanted = if matches!(number, 0 | 4) { WorkspaceStatus::Active } else { WorkspaceStatus::Provisioning };
        assert_eq!(made.status(number).await, wanted);
    }
    // Who was refused may come again.
    assert_eq!(made.committed(vec![made.end(1, Ending::Failed), made.end(2, Ending::Succeeded)]).await, [true, true]);
    assert_eq!(made.ends(made.accounts[0]).await.len(), 3);
}

#[rstest]
#[tokio::test]
async fn steps_of_every_kind_share_a_batch_and_each_row_is_its_own_workspaces(#[values(Sqlite, Postgres)] backend: Backend) {
    let made = Made::new(backend, 6).await;
    let environment =
        |number: usize, name| NewEnvironment { id: within(made.accounts[number % 2], Uuid::now_v7()), name, is_default: false };
    let firsts: Vec<_> =
        (0..6).map(|number| [environment(number, EnvironmentName::Dev), environment(number, EnvironmentName::Prod)]).collect();
    let insert = |number: usize| {
        let (workspace_id, run) = &made.workspaces[number];
        let mut commit = kept(run, vec![step_started(1, "environments", 1)]);
        commit.changes = vec![Change::InsertEnvironments { workspace_id: *workspace_id, environments: firsts[number].to_vec() }];
        commit
    };
    assert_eq!(made.committed((0..4).map(insert).collect()).await, [true; 4]);
    let backend_of = |number: usize, place: usize| Change::InsertBackendWorkspace {
        id: firsts[number][place].id,
        workspace_id: made.workspaces[number].0,
        environment_id: firsts[number][place].id,
        backend: "local".to_owned(),
        locator: format!("{number}/{place}"),
    };
    let token = |number: usize| {
        let (workspace, run) = &made.workspaces[number];
        let mut commit = kept(run, vec![step_started(2, "grant", 1)]);
        commit.changes = vec![Change::KeepPermissionsToken { subject: Subject::Workspace(*workspace), token: format!("token-{number}") }];
        commit
    };
    let mut backends = kept(&made.workspaces[0].1, vec![step_started(2, "backends", 1)]);
    backends.changes = vec![backend_of(0, 0), backend_of(0, 1)];
    let mut undone = kept(&made.workspaces[3].1, vec![step_started(2, "undo", 1)]);
    undone.changes = vec![Change::DeleteEnvironments { workspace_id: made.workspaces[3].0 }];
    let mut last = insert(4);
    Arc::make_mut(&mut last.records)
        .push(record(2, Event::StepFailed { step: "b".to_owned(), attempt: 1, fault: Fault::new("odd", "It is odd"), retry_at: None }));
    let batch = vec![token(1), backends, undone, token(2), last, made.end(5, Ending::Succeeded)];
    assert_eq!(made.committed(batch).await, [true; 6]);

    for (number, environments) in [2, 2, 2, 0, 2, 0].into_iter().enumerate() {
        let workspace = made.workspaces[number].0;
        let found = made.world.store.environments(workspace).await.unwrap();
        assert_eq!(found.len(), environments);
        assert!(found.iter().all(|e| firsts[number].iter().any(|first| (first.id, first.name) == (e.id, e.name))));
        let backends = made.world.store.backend_workspaces(workspace).await.unwrap();
        assert_eq!(backends.len(), if number == 0 { 2 } else { 0 });
        let row = Workspaces::get(&made.world.store, workspace).await.unwrap().unwrap();
        assert_eq!(row.permissions_token, matches!(number, 1 | 2).then(|| format!("token-{number}")));
        assert_eq!(row.revision, if matches!(number, 1 | 2 | 5) { 2 } else { 1 });
    }
    let journal = ProvisioningRuns::get(&made.world.store, made.workspaces[4].1.facts.run).await.unwrap().unwrap().journal;
    assert_eq!(journal.len(), 2);
}
