//! Verbs: written by whoever asks, journaled by the run's owner, lost by nobody.

use domain::change::{Change, Subject};
use domain::ids::within;
use domain::model::{ProvisioningRun, RunDetail};
use domain::ports::{AuditLog, NewRequest, ProvisioningRuns, RequestAnswer, Written};
use rstest::rstest;
use saga::journal::Ending;
use saga::ports::{CommitAnswer, Renewal};
use saga::{RunId, Runs, Verb};
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::world::{LEASE, World, draft, ended, kept, released, step_started, user};

pub fn new_request(account: Uuid, run: RunId, verb: Verb) -> NewRequest {
    NewRequest {
        id: within(account, Uuid::now_v7()),
        run,
        gate: None,
        verb,
        step: Some("a".to_owned()),
        actor: user(),
        comment: Some("because".to_owned()),
        audit: draft(account, None, "provisioning_run.cancel"),
        idempotency: None,
    }
}

pub async fn ask(world: &World, new: &NewRequest) -> Written<RequestAnswer> {
    ProvisioningRuns::request(&world.store, new.clone()).await.unwrap()
}

#[rstest]
#[tokio::test]
async fn a_request_wakes_a_run_that_nobody_owns(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (_, id) = world.workspace(account, "a").await;
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    world.committed(released(&claimed, None)).await;
    assert!(world.claim(worker).await.is_empty());
    let new = new_request(account, id, Verb::Cancel);
    assert_eq!(ask(&world, &new).await, Written::Done(RequestAnswer::Requested));
    assert_eq!(ProvisioningRuns::get(&world.store, id).await.unwrap().unwrap().pending_verbs, [Verb::Cancel]);
    assert_eq!(world.store.of_account(account, 0, 99).await.unwrap().last().unwrap().action, "provisioning_run.cancel");
    let claimed = world.claim_one(worker).await;
    let request = &claimed.requests[0];
    assert_eq!((request.id, request.verb, request.step.as_deref()), (new.id, Verb::Cancel, Some("a")));
    assert_eq!((&request.actor, request.comment.as_deref()), (&serde_json::json!(new.actor), Some("because")));

    let mut commit = kept(&claimed, vec![]);
    commit.requests = vec![new.id];
    assert!(!world.committed(commit).await, "the request is journaled");
    assert!(Runs::<Change>::requests(&world.store, id).await.unwrap().is_empty());
    assert_eq!(ProvisioningRuns::get(&world.store, id).await.unwrap().unwrap().pending_verbs, []);
}

#[rstest]
#[tokio::test]
async fn a_glance_tells_all_of_a_run_at_work_and_the_row_of_one_that_has_ended(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, id) = world.workspace(account, "a").await;
    let both = async || {
        let glance = ProvisioningRuns::glance(&world.store, id).await.unwrap().unwrap();
        (ProvisioningRuns::get(&world.store, id).await.unwrap().unwrap(), glance)
    };
    let claimed = world.claim_one(world.worker().await).await;
    world.committed(kept(&claimed, vec![step_started(1, "a", 1)])).await;
    ask(&world, &new_request(account, id, Verb::Cancel)).await;
    let (alive, glance) = both().await;
    assert_eq!((alive.journal.len(), alive.pending_verbs.as_slice()), (1, &[Verb::Cancel][..]));
    let without_input = |run: &ProvisioningRun| ProvisioningRun { input: serde_json::Value::Null, ..run.clone() };
    assert_eq!(glance, RunDetail { run: without_input(&alive.run), ..alive });

    world.committed(ended(&claimed, Subject::Workspace(workspace), Ending::Failed)).await;
    let (over, glance) = both().await;
    assert_eq!((over.run.ending, over.journal.is_empty()), (Some(Ending::Failed), false));
    assert_eq!((glance.run, glance.journal, glance.pending_verbs), (without_input(&over.run), vec![], vec![]));
    assert_eq!(ProvisioningRuns::glance(&world.store, RunId(within(account, Uuid::now_v7()))).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn the_owner_hears_of_requests_in_its_next_commit_and_renewal(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (_, id) = world.workspace(account, "a").await;
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    assert!(!world.committed(kept(&claimed, vec![])).await);
    let (first, second) = (new_request(account, id, Verb::Retry), new_request(account, id, Verb::Cancel));
    ask(&world, &first).await;
    ask(&world, &second).await;
    assert!(world.committed(kept(&claimed, vec![])).await);
    let renewed = Runs::<Change>::renew(&world.store, worker, LEASE).await.unwrap();
    let Renewal::Alive { requested, .. } = renewed else { panic!("{renewed:?}") };
    assert_eq!(requested, [id]);
    let ids: Vec<_> = Runs::<Change>::requests(&world.store, id).await.unwrap().into_iter().map(|r| r.id).collect();
    assert_eq!(ids, [first.id, second.id], "oldest first");

    // Released for an hour, but one request is left: due now.
    let hour = domain::ports::Health::now(&world.store).await.unwrap() + std::time::Duration::from_hours(1);
    let mut release = released(&claimed, Some(hour));
    release.requests = vec![first.id];
    assert!(world.committed(release).await);
    let again = world.claim_one(worker).await;
    assert_eq!(again.requests.iter().map(|r| r.id).collect::<Vec<_>>(), [second.id]);
}

#[rstest]
#[tokio::test]
async fn a_run_that_has_ended_takes_no_request(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, id) = world.workspace(account, "a").await;
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    world.committed(ended(&claimed, Subject::Workspace(workspace), Ending::Failed)).await;
    let before = world.store.of_account(account, 0, 99).await.unwrap().len();
    let mut new = new_request(account, id, Verb::Cancel);
    new.idempotency = Some(crate::world::idempotency(account, new.actor, "k", b"f"));
    assert_eq!(ask(&world, &new).await, Written::Done(RequestAnswer::Ended));
    assert_eq!(world.store.of_account(account, 0, 99).await.unwrap().len(), before);
    assert_eq!(world.store.recall(&new.idempotency.unwrap().key).await.unwrap(), Written::Done(()));
}

#[rstest]
#[tokio::test]
async fn a_request_with_a_key_is_made_once(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (_, id) = world.workspace(account, "a").await;
    let mut new = new_request(account, id, Verb::Cancel);
    new.idempotency = Some(crate::world::idempotency(account, new.actor, "k", b"f"));
    assert_eq!(ask(&world, &new).await, Written::Done(RequestAnswer::Requested));
    new.id = within(account, Uuid::now_v7());
    assert!(matches!(ask(&world, &new).await, Written::Replayed(_)));
    assert_eq!(Runs::<Change>::requests(&world.store, id).await.unwrap().len(), 1);
}

#[rstest]
#[tokio::test]
async fn no_forward_attempt_starts_past_a_request_that_its_commit_does_not_journal(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (_, id) = world.workspace(account, "a").await;
    let (_, other) = world.workspace(account, "b").await;
    let worker = world.worker().await;
    let claimed = world.claim(worker).await;
    let of = |id: RunId| claimed.iter().find(|r| r.facts.run == id).unwrap();
    let (first, second) = (new_request(account, id, Verb::Park), new_request(account, id, Verb::Cancel));
    ask(&world, &first).await;
    // Alone and in company.
    let start = || kept(of(id), vec![step_started(1, "a", 1)]);
    assert!(matches!(world.commit(start()).await, CommitAnswer::Requested));
    let answers = world.store.commit(vec![start(), kept(of(other), vec![step_started(1, "a", 1)])]).await;
    assert!(matches!(answers[..], [CommitAnswer::Requested, CommitAnswer::Committed { requested: false, .. }]), "{answers:?}");
    assert!(Runs::<Change>::journal(&world.store, id, of(id).epoch).await.unwrap().unwrap().is_empty(), "nothing of it was written");
    // One that journals only some of them.
    ask(&world, &second).await;
    let mut some = start();
    some.requests = vec![first.id];
    assert!(matches!(world.commit(some.clone()).await, CommitAnswer::Requested));
    // What starts nothing passes, and is told.
    assert!(world.committed(kept(of(id), vec![])).await);
    some.requests.push(second.id);
    assert!(!world.committed(some).await, "who journals all of them may start what they allow");
}
