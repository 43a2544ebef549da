//! The engine's side of runs: claims, fenced commits in batches, journals, and what readers see of them.

use std::time::Duration;

use domain::change::{Change, NewEnvironment, Subject};
use domain::ids::within;
use domain::model::{EnvironmentName, WorkspaceStatus};
use domain::ports::{Health, Page, ProvisioningRuns, RunFilter, Slug, Workspaces, Written};
use rstest::rstest;
use saga::journal::{Ending, Event, Turn};
use saga::ports::{Claim, CommitAnswer, Disposition, State, WaitingFor};
use saga::{Fault, RunId, Runs};
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{World, claim, definition, ended, head, kept, new_workspace, record, released, step_started};

async fn run(world: &World, id: RunId) -> domain::model::RunDetail {
    ProvisioningRuns::get(&world.store, id).await.unwrap().unwrap()
}

#[rstest]
#[tokio::test]
async fn a_claim_takes_what_is_due_and_known_oldest_first(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (first, second) = (world.workspace(account, "a").await.1, {
        world.test.db.advance(Duration::from_secs(1));
        world.workspace(account, "b").await.1
    });
    let mut newer = new_workspace(account, "c");
    newer.run.definition = definition(2);
    Workspaces::create(&world.store, newer).await.unwrap();
    let worker = world.worker().await;
    let of = |limit, versions: &[u32]| Claim { limit, definitions: versions.iter().map(|v| definition(*v)).collect(), ..claim(worker) };
    assert!(Runs::<Change>::claim(&world.store, &of(0, &[1])).await.unwrap().runs.is_empty());
    assert!(Runs::<Change>::claim(&world.store, &of(9, &[])).await.unwrap().runs.is_empty());
    let claimed = Runs::<Change>::claim(&world.store, &of(1, &[1])).await.unwrap();
    assert_eq!(claimed.runs.iter().map(|r| r.facts.run).collect::<Vec<_>>(), [first]);
    let run = &claimed.runs[0];
    assert_eq!((run.epoch, run.journal.len(), run.requests.len()), (1, 0, 0));
    assert_eq!(run.facts.definition, definition(1));
    assert_eq!(run.facts.input, crate::world::new_run(account, None).input);
    assert_eq!(run.facts.trace["request_id"], "r-1");
    assert_eq!(world.claim(worker).await.iter().map(|r| r.facts.run).collect::<Vec<_>>(), [second]);

    let unknown = |versions: Vec<u32>| {
        let known: Vec<_> = versions.into_iter().map(definition).collect();
        let store = world.store.clone();
        async move { Runs::<Change>::unknown(&store, &known).await.unwrap() }
    };
    assert_eq!(unknown(vec![1]).await, [(definition(2), 1)]);
    assert_eq!(unknown(vec![2]).await, [(definition(1), 2)]);
    assert_eq!(unknown(vec![1, 2]).await, []);
    // The same version with other contents is another definition.
    let edited = Claim { definitions: vec![saga::DefinitionId { digest: "edited".to_owned(), ..definition(2) }], ..of(9, &[]) };
    assert!(Runs::<Change>::claim(&world.store, &edited).await.unwrap().runs.is_empty());
}

#[rstest]
#[tokio::test]
async fn a_released_run_is_claimed_when_it_is_due(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    world.workspace(account, "a").await;
    let worker = world.worker().await;
    let first = world.claim_one(worker).await;
    let due_at = world.store.now().await.unwrap() + Duration::from_mins(1);
    world.committed(released(&first, Some(due_at))).await;
    let idle = Runs::<Change>::claim(&world.store, &claim(worker)).await.unwrap();
    assert!(idle.runs.is_empty() && idle.now < due_at);
    assert_eq!(idle.next_due, Some(due_at));
    world.test.db.advance(Duration::from_mins(1));
    let again = world.claim_one(worker).await;
    assert_eq!(again.epoch, 2);
    // Until a request comes.
    world.committed(released(&again, None)).await;
    world.test.db.advance(Duration::from_hours(1000));
    let never = Runs::<Change>::claim(&world.store, &claim(worker)).await.unwrap();
    assert!(never.runs.is_empty() && never.next_due.is_none());
}

#[rstest]
#[tokio::test]
async fn a_commit_appends_writes_over_and_shows_its_head(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (_, id) = world.workspace(account, "a").await;
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    let fault = Fault::new("backend_down", "The backend is down").detail("with a NUL: \u{0000}.");
    let turn = Turn::Failed { step: "a".to_owned(), fault: fault.clone() };
    let mut commit = kept(&claimed, vec![step_started(1, "a", 1), step_started(2, "b", 1)]);
    commit.head.waiting_for = Some(WaitingFor::Backend);
    commit.head.turn = Some(turn);
    commit.head.deadline_at = Some(world.store.now().await.unwrap());
    let shown = commit.head.clone();
    world.committed(commit).await;
    let over = record(2, Event::StepFailed { step: "b".to_owned(), attempt: 20, fault, retry_at: shown.deadline_at });
    world.committed(kept(&claimed, vec![over.clone(), step_started(3, "b", 21)])).await;

    let detail = run(&world, id).await;
    assert_eq!(detail.journal.len(), 3);
    assert_eq!(detail.journal[0], step_started(1, "a", 1));
    assert_eq!(detail.journal[1].at, over.at);
    // `jsonb` holds no NUL: both databases store the replacement character.
    let Event::StepFailed { attempt: 20, fault, retry_at, .. } = &detail.journal[1].event else { panic!("{:?}", detail.journal[1]) };
    assert_eq!((fault.detail.as_deref(), *retry_at), (Some("with a NUL: \u{FFFD}."), shown.deadline_at));
    assert_eq!(detail.run.version, 3, "one more for each commit");
    assert_eq!(detail.run.waiting_for, None, "the second head replaced the first");
    assert_eq!(world.store.versions(&[id, RunId(Uuid::now_v7())]).await.unwrap(), [(id, 3)]);

    let journal = Runs::<Change>::journal(&world.store, id, claimed.epoch).await.unwrap();
    assert_eq!(journal, Some(detail.journal));
}

#[rstest]
#[tokio::test]
async fn a_head_is_shown_whole(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (_, id) = world.workspace(account, "a").await;
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    let mut commit = released(&claimed, None);
    commit.head.waiting_for = Some(WaitingFor::Operator);
    commit.head.turn = Some(Turn::Cancelled);
    commit.head.deadline_at = Some(world.store.now().await.unwrap() + Duration::from_secs(7));
    let head = commit.head.clone();
    world.committed(commit).await;
    let row = run(&world, id).await.run;
    assert_eq!((row.state, row.waiting_for, row.turn, row.deadline_at), (head.state, head.waiting_for, head.turn, head.deadline_at));
    assert_eq!((row.done, row.total, row.ending), (1, 3, None));
}

#[rstest]
#[tokio::test]
async fn a_stale_epoch_changes_nothing(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, id) = world.workspace(account, "a").await;
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    let before = (run(&world, id).await, Workspaces::get(&world.store, workspace).await.unwrap());
    for epoch in [claimed.epoch - 1, claimed.epoch + 1] {
        let mut stale = ended(&claimed, Subject::Workspace(workspace), Ending::Failed);
        stale.epoch = epoch;
        assert!(matches!(world.commit(stale).await, CommitAnswer::Fenced));
    }
    assert_eq!((run(&world, id).await, Workspaces::get(&world.store, workspace).await.unwrap()), before);
    world.committed(ended(&claimed, Subject::Workspace(workspace), Ending::Failed)).await;
    let twice = world.commit(ended(&claimed, Subject::Workspace(workspace), Ending::Failed)).await;
    assert!(matches!(twice, CommitAnswer::Fenced), "a run ends once: {twice:?}");
}

#[rstest]
#[tokio::test]
async fn one_bad_member_of_a_batch_stands_alone(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let mut workspaces = Vec::new();
    for slug in ["a", "b", "c", "d", "e"] {
        workspaces.push(world.workspace(account, slug).await);
    }
    let worker = world.worker().await;
    let claimed = world.claim(worker).await;
    let of = |id: RunId| claimed.iter().find(|r| r.facts.run == id).unwrap();
    let environment = |workspace_id| Change::InsertEnvironments {
        workspace_id,
        environments: vec![NewEnvironment { id: within(account, Uuid::now_v7()), name: EnvironmentName::Dev, is_default: false }],
    };
    let mut batch: Vec<_> = workspaces.iter().map(|(_, id)| kept(of(*id), vec![step_started(1, "a", 1)])).collect();
    for (commit, (workspace, _)) in batch.iter_mut().zip(&workspaces) {
        commit.changes = vec![environment(*workspace)];
    }
    batch[1].changes.push(environment(workspaces[1].0)); // a second `dev`
    batch[3].epoch += 1;
    let answers = world.store.commit(batch).await;
    let told: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            CommitAnswer::Committed { .. } => "committed",
            CommitAnswer::Rejected(_) => "rejected",
            CommitAnswer::Stale(_) => "stale",
            CommitAnswer::Fenced => "fenced",
            CommitAnswer::Requested => "requested",
            CommitAnswer::Failed(_) => "failed",
        })
        .collect();
    assert_eq!(told, ["committed", "rejected", "committed", "fenced", "committed"]);
    for (n, (workspace, id)) in workspaces.iter().enumerate() {
        let left = usize::from(matches!(n, 0 | 2 | 4));
        assert_eq!(run(&world, *id).await.journal.len(), left);
        assert_eq!(world.store.environments(*workspace).await.unwrap().len(), left);
    }
}

#[rstest]
#[tokio::test]
async fn a_change_that_finds_nothing_to_change_is_rejected(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, id) = world.workspace(account, "a").await;
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    let activate = || Change::ActivateWorkspace { workspace_id: workspace };
    let mut twice = kept(&claimed, vec![step_started(1, "activate", 1)]);
    twice.changes = vec![activate(), activate()];
    assert!(matches!(world.commit(twice).await, CommitAnswer::Rejected(_)));
    assert_eq!(Workspaces::get(&world.store, workspace).await.unwrap().unwrap().status, WorkspaceStatus::Provisioning);
    assert!(run(&world, id).await.journal.is_empty());
}

#[rstest]
#[case(Ending::Failed, 0)]
#[case(Ending::Cancelled, 0)]
#[case(Ending::Abandoned, 1)]
#[tokio::test]
async fn a_run_that_did_not_succeed_frees_slug_and_quota_unless_abandoned(
    #[values(Sqlite, Postgres)] backend: Backend,
    #[case] ending: Ending,
    #[case] live: i64,
) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, id) = world.workspace(account, "a").await;
    world.end(workspace, ending).await;
    let row = Workspaces::get(&world.store, workspace).await.unwrap().unwrap();
    assert_eq!((row.status, row.revision), (WorkspaceStatus::Failed, 2));
    let room = world.store.room(account, &Slug::Given("a".to_owned())).await.unwrap().unwrap();
    assert_eq!((room.live, room.slug.as_deref()), (live, Some("a")));
    assert_eq!(run(&world, id).await.run.ending, Some(ending));
    let worker = world.worker().await;
    assert!(world.claim(worker).await.is_empty(), "a run that has ended is never claimed again");
    // What is free can be had again, under the same name.
    world.workspace(account, "a").await;
}

#[rstest]
#[tokio::test]
async fn deletions_take_away_what_insertions_made(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace_id, _) = world.workspace(account, "a").await;
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    let (environment_id, id) = (within(account, Uuid::now_v7()), within(account, Uuid::now_v7()));
    let (backend_name, locator) = ("local".to_owned(), "x".to_owned());
    let mut commit = kept(&claimed, vec![]);
    commit.changes = vec![
        Change::InsertEnvironments {
            workspace_id,
            environments: vec![NewEnvironment { id: environment_id, name: EnvironmentName::Dev, is_default: false }],
        },
        Change::InsertBackendWorkspace { id, workspace_id, environment_id, backend: backend_name, locator },
    ];
    world.committed(commit).await;
    for _ in 0..2 {
        // The second time there is nothing left, which is as well.
        let mut undo = kept(&claimed, vec![]);
        undo.changes = vec![Change::DeleteBackendWorkspace { id }, Change::DeleteEnvironments { workspace_id }];
        world.committed(undo).await;
    }
    assert_eq!(world.store.environments(workspace_id).await.unwrap(), []);
    assert_eq!(world.store.backend_workspaces(workspace_id).await.unwrap(), []);
}

#[rstest]
#[tokio::test]
async fn runs_are_listed_newest_first_by_account_workspace_and_state(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, first) = world.workspace(account, "a").await;
    world.end(workspace, Ending::Failed).await;
    let (_, second) = world.workspace(account, "b").await;
    let other = world.account(9).await;
    let (_, third) = world.workspace(other, "a").await;
    let page = |after: Option<RunId>, limit| Page { after: after.map(|r| r.0), limit };
    let ids = |runs: Vec<domain::model::ProvisioningRun>| runs.into_iter().map(|r| r.id).collect::<Vec<_>>();
    let list = |accounts: Option<Vec<Uuid>>, filter: RunFilter, page: Page| {
        let store = world.store.clone();
        async move { ids(ProvisioningRuns::list(&store, accounts.as_deref(), &filter, page).await.unwrap()) }
    };
    let everything = list(None, RunFilter::default(), page(None, 100)).await;
    assert_eq!(everything.len(), 5, "two accounts' runs and three workspaces'");
    assert!(everything.is_sorted_by(|a, b| a > b));
    assert_eq!(list(None, RunFilter::default(), page(Some(everything[1]), 2)).await, everything[2..4]);
    let pending = RunFilter { state: Some(State::Pending), ..RunFilter::default() };
    assert_eq!(list(None, pending.clone(), page(None, 100)).await, [third.max(second), third.min(second)]);
    assert_eq!(list(Some(vec![account]), pending, page(None, 100)).await, [second]);
    assert_eq!(list(Some(vec![]), RunFilter::default(), page(None, 100)).await, []);
    let of_workspace = RunFilter { workspace_id: Some(workspace), ..RunFilter::default() };
    assert_eq!(list(None, of_workspace, page(None, 100)).await, [first]);
    let of_account = RunFilter { account_id: Some(other), ..RunFilter::default() };
    assert_eq!(list(None, of_account, page(None, 100)).await.len(), 2);

    let counts = world.store.counts().await.unwrap();
    assert_eq!(counts.by_state, [(State::Pending, 2)]);
    assert_eq!(counts.oldest_live_at, Some(run(&world, second).await.run.created_at));
}

#[rstest]
#[tokio::test]
async fn a_workspace_has_at_most_one_live_run(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, _) = world.workspace(account, "a").await;
    let mut second = new_workspace(account, "b");
    second.run.workspace_id = Some(workspace);
    assert!(Workspaces::create(&world.store, second).await.is_err(), "a second live run for one workspace");
    let third = Workspaces::create(&world.store, new_workspace(account, "b")).await.unwrap();
    assert!(matches!(third, Written::Done(_)), "nothing of the refused one is left: {third:?}");
}

#[rstest]
#[tokio::test]
async fn the_end_of_a_run_takes_its_owner_and_its_due_time(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, id) = world.workspace(account, "a").await;
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    let mut end = ended(&claimed, Subject::Workspace(workspace), Ending::Succeeded);
    end.changes.insert(0, Change::ActivateWorkspace { workspace_id: workspace });
    assert_eq!(end.disposition, Disposition::End);
    assert_eq!(end.head, head(State::Succeeded, Some(Ending::Succeeded)));
    world.committed(end).await;
    assert_eq!(run(&world, id).await.run.state, State::Succeeded);
    let idle = Runs::<Change>::claim(&world.store, &claim(worker)).await.unwrap();
    assert!(idle.runs.is_empty() && idle.next_due.is_none());
    assert_eq!(world.store.counts().await.unwrap().oldest_live_at, None);
}
