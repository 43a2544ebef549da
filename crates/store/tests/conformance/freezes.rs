//! Freezes: the set, its revision, what it parks, what carries it on, and the gate that it shuts.

use std::time::Duration;

use domain::change::{Change, Subject};
use domain::model::{Freeze, FreezeMode, FreezeSource, ProvisioningRun, WorkspaceStatus};
use domain::permissions::{Object, Relationship, Tuples, Update};
use domain::ports::{
    AuditLog, ChangeFreezes, FreezeAnswer, FreezeChange, Freezes, Health, IfMatch, Page, ProvisioningRuns, RunFilter, Shut, WithRun,
    Workspaces,
};
use rstest::rstest;
use saga::journal::{Ending, Turn};
use saga::ports::{ClaimedRun, State};
use saga::{DefinitionId, RunId, Runs, Time, Verb};
use serde_json::json;
use store::db::Statement;
use testkit::Backend::{self, Postgres, Sqlite};
use uuid::Uuid;

use crate::requests::{ask, new_request};
use crate::world::{World, claim, draft, ended, kept, new_run, released, step_started, user};

static FORGET: &[Statement] = &[
    Statement::shared("forget records", "delete from run_journal where run_id = $1"),
    Statement::shared("forget requests", "delete from run_requests where run_id = $1"),
    Statement::shared("forget run", "delete from provisioning_runs where id = $1"),
];

pub const BLOCKED: FreezeMode = FreezeMode::Blocked;

pub fn freeze(source: FreezeSource) -> FreezeChange {
    FreezeChange::Freeze { source, mode: FreezeMode::ReadOnly, code: "why".to_owned(), note: None, expires_at: None }
}

pub fn until(source: FreezeSource, at: Time) -> FreezeChange {
    FreezeChange::Freeze { source, mode: BLOCKED, code: "why".to_owned(), note: Some("Ada".to_owned()), expires_at: Some(at) }
}

pub fn unfreeze(sources: &[FreezeSource]) -> FreezeChange {
    FreezeChange::Unfreeze { sources: sources.to_vec() }
}

pub fn new_change(account: Uuid, workspace: Uuid, change: FreezeChange) -> ChangeFreezes {
    let mut run = new_run(account, Some(workspace));
    run.definition = applying();
    run.exclusive = false;
    let audit = draft(account, Some(workspace), &format!("workspace.{}", change.transition().as_str()));
    ChangeFreezes { workspace_id: workspace, change, if_match: None, by: user(), run, audit }
}

fn applying() -> DefinitionId {
    DefinitionId { name: "apply-freezes".to_owned(), version: 1, digest: "digest".to_owned() }
}

impl World {
    pub async fn change(&self, workspace: Uuid, change: FreezeChange) -> Shut {
        let account = self.row(workspace).await.account_id;
        match Freezes::change(&self.store, new_change(account, workspace, change)).await.unwrap() {
            FreezeAnswer::Done(shut) => *shut,
            other => panic!("{other:?}"),
        }
    }

    pub async fn row(&self, workspace: Uuid) -> domain::model::Workspace {
        Workspaces::get(&self.store, workspace).await.unwrap().unwrap()
    }

    /// The runs that carry freezes on, newest first.
    pub async fn carriers(&self, workspace: Uuid) -> Vec<ProvisioningRun> {
        let filter = RunFilter { workspace_id: Some(workspace), ..RunFilter::default() };
        let runs = ProvisioningRuns::list(&self.store, None, &filter, Page { after: None, limit: 99 }).await.unwrap();
        let mut runs: Vec<_> = runs.into_iter().filter(|r| r.definition == applying()).collect();
        runs.sort_by_key(|r| std::cmp::Reverse(r.created_at));
        runs
    }

    pub async fn claim_carrier(&self) -> Option<ClaimedRun> {
        let worker = self.worker().await;
        let mut of = claim(worker);
        of.definitions = vec![applying()];
        Runs::<Change>::claim(&self.store, &of).await.unwrap().runs.pop()
    }

    /// As retention forgets a run, whatever needs it.
    async fn lose(&self, run: RunId) {
        let mut tx = self.test.db.write().await.unwrap();
        for statement in FORGET {
            tx.query(statement).bind(run.0).execute().await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    pub async fn pending(&self, run: RunId) -> Vec<Verb> {
        ProvisioningRuns::get(&self.store, run).await.unwrap().unwrap().pending_verbs
    }
}

fn sources(freezes: &[Freeze]) -> Vec<FreezeSource> {
    freezes.iter().map(|f| f.source).collect()
}

#[rstest]
#[tokio::test]
async fn a_freeze_is_in_force_with_its_run_and_its_entry(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, _) = world.workspace(account, "a").await;
    world.end(workspace, Ending::Succeeded).await;
    let before = world.row(workspace).await;
    let expires_at = world.store.now().await.unwrap() + Duration::from_hours(1);
    let new = new_change(account, workspace, until(FreezeSource::Billing, expires_at));
    let FreezeAnswer::Done(shut) = Freezes::change(&world.store, new.clone()).await.unwrap() else { panic!() };
    let after = world.row(workspace).await;
    assert_eq!((shut.changed, shut.run, &shut.workspace), (true, Some(new.run.id), &after));
    assert_eq!((after.freeze_revision, after.freeze_applied, after.revision), (1, 0, before.revision + 1));
    let [freeze] = after.freezes.as_slice() else { panic!("{:?}", after.freezes) };
    assert_eq!((freeze.source, freeze.mode, freeze.code.as_str()), (FreezeSource::Billing, BLOCKED, "why"));
    assert_eq!((freeze.note.as_deref(), freeze.created_by, freeze.expires_at), (Some("Ada"), new.by, Some(expires_at)));
    let carrier = world.claim_carrier().await.expect("its run is due");
    assert_eq!((carrier.facts.run, carrier.facts.input), (new.run.id, new.run.input));
    assert_eq!(carrier.facts.scopes, ["saga:apply-freezes"], "no pause of the account holds it back");
    let entry = world.store.of_account(account, 0, 99).await.unwrap().pop().unwrap();
    assert_eq!((entry.action.as_str(), entry.run_id), ("workspace.freeze", Some(new.run.id)));
    let told = json!({"source": "billing", "mode": "blocked", "code": "why", "expires_at": expires_at});
    assert_eq!((entry.before.unwrap(), entry.after.unwrap()), (json!({"freezes": []}), json!({"freezes": [told]})));
}

#[rstest]
#[tokio::test]
async fn a_workspace_is_read_together_with_its_run_as_each_is_by_itself(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, run) = world.workspace(account, "a").await;
    let claimed = world.claim_one(world.worker().await).await;
    let (other, other_run) = world.workspace(account, "b").await;
    let are_same = async |what: &str| {
        for (id, run) in [(workspace, run), (other, other_run)] {
            let found = world.store.with_run(id).await.unwrap().unwrap();
            assert_eq!((found.workspace.run_id, &found.workspace), (run, &world.row(id).await), "{what}");
            assert_eq!(found.run, world.store.glance(run).await.unwrap(), "{what}");
            assert_eq!(found.seen, Some(world.store.revision().await.unwrap()), "{what}");
        }
    };
    world.committed(kept(&claimed, vec![step_started(1, "a", 1)])).await;
    ask(&world, &new_request(account, run, Verb::Cancel)).await;
    are_same("at work").await;
    world.committed(ended(&claimed, Subject::Workspace(workspace), Ending::Succeeded)).await;
    are_same("ended").await;
    world.change(workspace, freeze(FreezeSource::Billing)).await;
    assert_eq!(world.store.with_run(workspace).await.unwrap().unwrap().workspace.freezes.len(), 1);
    are_same("frozen").await;
    world.change(workspace, unfreeze(&[FreezeSource::Billing])).await;
    are_same("open again").await;
    world.lose(run).await;
    let write = [Update::Touch(Relationship::new(Object::workspace(workspace), "owner", user().into()))];
    world.store.write(&write, &[]).await.unwrap();
    let seen = Some(world.store.revision().await.unwrap());
    let left = WithRun { workspace: world.row(workspace).await, run: None, seen };
    assert_eq!(world.store.with_run(workspace).await.unwrap(), Some(left));
    assert!(world.store.with_run(Uuid::now_v7()).await.unwrap().is_none());
}

#[rstest]
#[tokio::test]
async fn an_identical_freeze_and_a_lift_of_nothing_change_nothing(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, _) = world.workspace(account, "a").await;
    let nothing = world.change(workspace, unfreeze(&[FreezeSource::AccountAdmin])).await;
    assert_eq!((nothing.changed, nothing.run), (false, None));
    let first = world.change(workspace, freeze(FreezeSource::AccountAdmin)).await;
    let row = world.row(workspace).await;
    let entries = world.store.of_account(account, 0, 99).await.unwrap().len();
    for change in [freeze(FreezeSource::AccountAdmin), unfreeze(&[FreezeSource::Legal, FreezeSource::Platform])] {
        let again = world.change(workspace, change).await;
        assert_eq!((again.changed, again.run, &again.workspace), (false, first.run, &row));
    }
    assert_eq!(world.row(workspace).await, row);
    assert_eq!(world.store.of_account(account, 0, 99).await.unwrap().len(), entries);
    assert_eq!(world.carriers(workspace).await.len(), 1);
}

#[rstest]
#[tokio::test]
async fn each_source_lifts_its_own(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, _) = world.workspace(account, "a").await;
    for source in [FreezeSource::Legal, FreezeSource::AccountAdmin, FreezeSource::Billing] {
        world.change(workspace, freeze(source)).await;
    }
    let left = world.change(workspace, unfreeze(&[FreezeSource::AccountAdmin, FreezeSource::Billing])).await;
    assert_eq!(sources(&left.workspace.freezes), [FreezeSource::Legal]);
    assert_eq!(world.row(workspace).await, left.workspace);
    let expires_at = world.store.now().await.unwrap() + Duration::from_hours(1);
    let replaced = world.change(workspace, until(FreezeSource::Legal, expires_at)).await.workspace.freezes;
    assert_eq!(replaced.iter().map(|f| (f.source, f.mode)).collect::<Vec<_>>(), [(FreezeSource::Legal, BLOCKED)]);
}

#[rstest]
#[tokio::test]
async fn what_is_ruled_out_is_told_and_changes_nothing(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, _) = world.workspace(account, "a").await;
    let revision = world.row(workspace).await.revision;
    let ask = |change: FreezeChange, if_match: Option<IfMatch>| {
        let new = ChangeFreezes { if_match, ..new_change(account, workspace, change) };
        let store = world.store.clone();
        async move { Freezes::change(&store, new).await.unwrap() }
    };
    let legal = || freeze(FreezeSource::Legal);
    let stale = ask(legal(), Some(IfMatch::Revisions(vec![revision - 1, revision + 1]))).await;
    assert_eq!(stale, FreezeAnswer::OtherRevision { revision });
    let now = world.store.now().await.unwrap();
    for at in [now, now + domain::workspaces::status::LASTS_MAX + Duration::from_hours(1)] {
        assert!(matches!(ask(until(FreezeSource::Legal, at), None).await, FreezeAnswer::ExpiresOutOfRange { .. }));
    }
    assert_eq!(world.row(workspace).await.revision, revision);
    assert!(matches!(ask(legal(), Some(IfMatch::Revisions(vec![revision]))).await, FreezeAnswer::Done(_)));
    assert!(matches!(ask(unfreeze(&[FreezeSource::Legal]), Some(IfMatch::Any)).await, FreezeAnswer::Done(_)));
    world.end(workspace, Ending::Failed).await;
    assert_eq!(ask(legal(), None).await, FreezeAnswer::NotAllowed { status: WorkspaceStatus::Failed });
}

#[rstest]
#[tokio::test]
async fn a_freeze_parks_the_run_that_owns_the_workspace_and_the_last_lift_unparks_it(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, run) = world.workspace(account, "a").await;
    let worker = world.worker().await;
    let claimed = world.claim_one(worker).await;
    world.committed(released(&claimed, None)).await;
    world.change(workspace, freeze(FreezeSource::AccountAdmin)).await;
    assert_eq!(world.pending(run).await, [Verb::Park]);
    world.change(workspace, freeze(FreezeSource::Legal)).await;
    world.change(workspace, unfreeze(&[FreezeSource::AccountAdmin])).await;
    assert_eq!(world.pending(run).await, [Verb::Park], "it is parked already, and stays so");
    let claimed = world.claim_one(worker).await;
    world.change(workspace, unfreeze(&[FreezeSource::Legal])).await;
    world.change(workspace, freeze(FreezeSource::AccountAdmin)).await;
    assert_eq!(world.pending(run).await, [Verb::Park, Verb::Unpark, Verb::Park], "in the order of the freezes");
    assert!(world.committed(kept(&claimed, vec![])).await, "the owner hears of it");
}

#[rstest]
#[tokio::test]
async fn compensation_is_not_parked(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, run) = world.workspace(account, "a").await;
    let worker = world.worker().await;
    let mut turned = kept(&world.claim_one(worker).await, vec![]);
    turned.head.turn = Some(Turn::Cancelled);
    world.committed(turned).await;
    world.change(workspace, freeze(FreezeSource::Security)).await;
    world.change(workspace, unfreeze(&[FreezeSource::Security])).await;
    assert!(world.pending(run).await.is_empty());
}

#[rstest]
#[tokio::test]
async fn one_run_carries_the_freezes_on_and_is_woken_when_they_move(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, _) = world.workspace(account, "a").await;
    let first = world.change(workspace, freeze(FreezeSource::AccountAdmin)).await.run;
    let moved = world.change(workspace, unfreeze(&[FreezeSource::AccountAdmin])).await;
    assert_eq!((moved.run, moved.workspace.freeze_revision), (first, 2));
    let carrier = world.claim_carrier().await.unwrap();
    assert_eq!(Some(carrier.facts.run), first);
    let owned = world.change(workspace, freeze(FreezeSource::AccountAdmin)).await;
    assert_eq!(owned.run, first, "whoever is at it will find its revision old");
    assert!(world.pending(carrier.facts.run).await.is_empty());
    world.committed(released(&carrier, Some(world.store.now().await.unwrap() + Duration::from_hours(1)))).await;
    world.change(workspace, unfreeze(&[FreezeSource::AccountAdmin])).await;
    let woken = world.claim_carrier().await.expect("it does not wait for its back-off");
    assert_eq!(woken.requests.iter().map(|r| r.verb).collect::<Vec<_>>(), [Verb::Retry]);
    let mut end = ended(&woken, Subject::Workspace(workspace), Ending::Succeeded);
    end.requests = woken.requests.iter().map(|r| r.id).collect();
    world.committed(end).await;
    let unchanged = world.change(workspace, unfreeze(&[FreezeSource::AccountAdmin])).await;
    assert_eq!(unchanged.run, first, "the latest, though it has ended");
    let next = world.change(workspace, freeze(FreezeSource::AccountAdmin)).await;
    assert_ne!(next.run, first);
    let states: Vec<_> = world.carriers(workspace).await.into_iter().map(|r| r.state).collect();
    assert_eq!(states, [State::Pending, State::Succeeded]);
}

#[rstest]
#[tokio::test]
async fn what_expires_opens_the_gate_at_once_and_is_then_carried_on(#[values(Sqlite, Postgres)] backend: Backend) {
    let world = World::new(backend).await;
    let account = world.account(9).await;
    let (workspace, run) = world.workspace(account, "a").await;
    let (minute, now) = (Duration::from_mins(1), world.store.now().await.unwrap());
    world.change(workspace, until(FreezeSource::Billing, now + minute)).await;
    world.change(workspace, until(FreezeSource::Legal, now + minute * 3)).await;
    let carrier = world.claim_carrier().await.unwrap();
    world.committed(ended(&carrier, Subject::Workspace(workspace), Ending::Succeeded)).await;
    let early = world.store.expired(9).await.unwrap();
    assert_eq!(early.due, []);
    assert!(early.next.unwrap() <= minute);
    world.test.db.advance(minute);
    assert_eq!(sources(&world.row(workspace).await.freezes), [FreezeSource::Legal], "by the database's time alone");
    assert_eq!(world.store.expired(9).await.unwrap().due, [(account, workspace)]);
    assert!(world.store.expire(workspace, draft(account, Some(workspace), "workspace.freeze_expired")).await.unwrap());
    let row = world.row(workspace).await;
    assert_eq!((row.freeze_revision, world.pending(run).await), (3, vec![Verb::Park]), "one freeze is left");
    let entry = world.store.of_account(account, 0, 99).await.unwrap().pop().unwrap();
    assert_eq!(entry.action, "workspace.freeze_expired");
    assert_eq!(entry.before.unwrap()["freezes"].as_array().unwrap().len(), 2);
    assert_eq!(entry.after.unwrap()["freezes"].as_array().unwrap().len(), 1);
    let carriers = world.carriers(workspace).await;
    assert_eq!((carriers.len(), &carriers[0].input), (2, &carriers[1].input));
    assert_eq!(entry.run_id, Some(carriers[0].id));
    assert!(!world.store.expire(workspace, draft(account, Some(workspace), "again")).await.unwrap());
    assert_eq!(world.row(workspace).await, row);
    world.test.db.advance(minute * 2);
    assert!(world.store.expire(workspace, draft(account, Some(workspace), "workspace.freeze_expired")).await.unwrap());
    assert_eq!(world.pending(run).await, [Verb::Park, Verb::Unpark]);
    let over = world.store.expired(9).await.unwrap();
    assert_eq!((over.due, over.next), (vec![], None));
}
