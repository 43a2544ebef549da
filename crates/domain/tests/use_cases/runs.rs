use std::sync::Arc;

use domain::berth::{Replay, Reply};
use domain::model::{AccountStatus, ProvisioningRun, RunDetail, WorkspaceStatus};
use domain::permissions::Object;
use domain::ports::{Answer, Page, RetryAnswer, RunFilter};
use domain::runs::{Requested, get, list, request};
use domain::steps::input::{CreateWorkspaceInput, EnvironmentInput};
use domain::{Error, Principal};
use rstest::rstest;
use saga::journal::{Ending, Event, Fault, Record, Turn};
use saga::ports::{OnFailure, State};
use saga::{RunId, Time, Verb};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{ACCOUNT, OTHER, RUN, USER, WORKSPACE, World, caller, ready};

const PAGE: Page = Page { after: None, limit: 10 };
const FIRST: &str = "create-environments";

fn input() -> Value {
    let environment = EnvironmentInput {
        id: Uuid::from_u128(0xe042),
        name: domain::model::EnvironmentName::Prod,
        is_default: true,
        backend_workspace_id: Uuid::from_u128(0xb042),
    };
    let input = CreateWorkspaceInput {
        workspace_id: WORKSPACE,
        account_id: ACCOUNT,
        name: "Sales".to_owned(),
        region: "here".to_owned(),
        tenancy_model: domain::model::TenancyModel::Shared,
        creator: OTHER,
        environments: vec![environment],
    };
    serde_json::to_value(input).unwrap()
}

pub fn run(world: &Arc<World>, saga: &str, workspace_id: Option<Uuid>, input: Value, events: Vec<Event>) -> RunDetail {
    let ending = events.iter().find_map(|event| if let Event::Ended { ending } = event { Some(*ending) } else { None });
    let journal = events.into_iter().zip(1..).map(|(event, seq)| Record { seq, at: Time::from_micros(seq), event }).collect();
    let run = ProvisioningRun {
        id: RUN,
        definition: world.definition(saga),
        account_id: ACCOUNT,
        workspace_id,
        retry_of: None,
        retried_by: None,
        on_failure: OnFailure::Rollback,
        state: if ending.is_some() { State::Failed } else { State::Running },
        waiting_for: None,
        ending,
        turn: None,
        done: 0,
        total: 7,
        deadline_at: None,
        created_at: Time::from_micros(0),
        updated_at: Time::from_micros(0),
        version: 1,
        created_by: OTHER,
        paused_by: Vec::new(),
        input,
    };
    RunDetail { run, journal, pending_verbs: Vec::new() }
}

/// A workspace's run at its first step.
pub fn live_run(world: &Arc<World>) -> RunDetail {
    run(world, "create-workspace", Some(WORKSPACE), input(), vec![Event::RunStarted, started()])
}

fn failed_run(world: &Arc<World>) -> RunDetail {
    run(world, "create-workspace", Some(WORKSPACE), input(), vec![Event::RunStarted, turned(), Event::Ended { ending: Ending::Failed }])
}

fn stuck_run(world: &Arc<World>) -> RunDetail {
    let undo = |fault| Event::UndoFailed { step: FIRST.into(), attempt: 1, fault, retry_at: None };
    let events = vec![
        Event::RunStarted,
        started(),
        Event::StepFailed { step: FIRST.into(), attempt: 1, fault: fault(), retry_at: None },
        turned(),
        Event::UndoStarted { step: FIRST.into(), attempt: 1 },
        undo(fault()),
    ];
    run(world, "create-workspace", Some(WORKSPACE), input(), events)
}

fn fault() -> Fault {
    Fault::new("broken", "It broke")
}

fn started() -> Event {
    // As the journal of a first attempt reads; fields that only later attempts set are left out.
    serde_json::from_value(json!({ "type": "step_started", "step": FIRST, "attempt": 1 })).unwrap()
}

fn turned() -> Event {
    Event::Turned { turn: Turn::Failed { step: FIRST.into(), fault: fault() } }
}

fn ask(world: &Arc<World>, verb: Verb, comment: Option<&str>) -> Result<Reply<Requested>, Error> {
    ready(request(&world.berth(), &caller(USER), RUN, verb, None, comment.map(str::to_owned), None))
}

fn outcome<T>(answer: Result<T, Error>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(Error::NotFound { what: "provisioning run" }) => "not found",
        Err(Error::Forbidden { what: "account", permission: "administer" }) => "no account admin",
        Err(Error::Forbidden { what: "workspace", permission: "administer" }) => "no workspace admin",
        Err(Error::Forbidden { what: "platform", permission: "administer" }) => "no operator",
        Err(Error::VerbConflict { .. }) => "conflict",
        Err(other) => panic!("{other:?}"),
    }
}

const OPERATOR: &[&str] =
    &["platform#read", "platform#administer", "account#read_workspaces", "account#administer", "workspace#read", "workspace#administer"];

fn grant(world: &World, rights: &[&'static str]) {
    world.grant(rights.iter().map(|right| match right.split_once('#').unwrap() {
        ("account", permission) => (Object::account(ACCOUNT), permission),
        ("workspace", permission) => (Object::workspace(WORKSPACE), permission),
        (_, permission) => (Object::platform(), permission),
    }));
}

#[rstest]
#[case::a_stranger(WorkspaceStatus::Provisioning, &[], ["not found", "not found", "not found"])]
#[case::a_workspaces_admin_before_it_is_active(
    WorkspaceStatus::Provisioning, &["workspace#read", "workspace#administer"], ["not found", "not found", "not found"]
)]
#[case::an_accounts_reader(WorkspaceStatus::Provisioning, &["account#read_workspaces"], ["ok", "no account admin", "no operator"])]
#[case::an_accounts_admin(
    WorkspaceStatus::Failed, &["account#read_workspaces", "account#administer"], ["ok", "ok", "no operator"]
)]
#[case::an_operator(WorkspaceStatus::Provisioning, OPERATOR, ["ok", "ok", "ok"])]
#[case::an_accounts_rights_say_nothing_once_it_is_active(
    WorkspaceStatus::Active, &["account#read_workspaces", "account#administer"], ["not found", "not found", "not found"]
)]
#[case::a_workspaces_viewer(WorkspaceStatus::Active, &["workspace#read"], ["ok", "no workspace admin", "no operator"])]
#[case::a_workspaces_admin(WorkspaceStatus::Active, &["workspace#read", "workspace#administer"], ["ok", "ok", "no operator"])]
#[case::an_operator_on_an_active_one(WorkspaceStatus::Active, OPERATOR, ["ok", "ok", "ok"])]
fn a_workspaces_run_is_authorized_where_its_workspace_is(
    #[case] status: WorkspaceStatus,
    #[case] rights: &[&'static str],
    #[case] answers: [&str; 3],
) {
    let [see, cancel, abandon] = answers;
    let world = World::new();
    world.account(AccountStatus::Active);
    world.workspace(status);
    world.run(live_run(&world));
    grant(&world, rights);
    assert_eq!(outcome(ready(get(&world.berth(), &caller(USER), RUN))), see);
    assert_eq!(outcome(ask(&world, Verb::Cancel, None)), cancel);
    assert_eq!(outcome(ask(&world, Verb::Abandon, Some("swept by hand"))), abandon);
    let accepted = [cancel, abandon].iter().filter(|a| **a == "ok").count();
    assert_eq!((world.requests.lock().unwrap().len(), world.wakes()), (accepted, accepted));
}

#[rstest]
#[case::its_creator(AccountStatus::Provisioning, USER, &[], ["ok", "ok", "no operator"])]
#[case::a_stranger(AccountStatus::Provisioning, OTHER, &[], ["not found", "not found", "not found"])]
#[case::whom_its_relationships_name_already(
    AccountStatus::Provisioning, OTHER, &["account#read_workspaces", "account#administer"], ["not found", "not found", "not found"]
)]
#[case::an_auditor(AccountStatus::Failed, OTHER, &["platform#read"], ["ok", "no operator", "no operator"])]
#[case::an_operator(AccountStatus::Failed, OTHER, OPERATOR, ["ok", "ok", "ok"])]
#[case::its_creator_without_rights_once_it_is_active(AccountStatus::Active, USER, &[], ["not found", "not found", "not found"])]
#[case::its_reader_once_it_is_active(
    AccountStatus::Active, OTHER, &["account#read_workspaces"], ["ok", "no account admin", "no operator"]
)]
fn an_accounts_run_is_its_creators_and_the_platforms_until_the_account_is_active(
    #[case] status: AccountStatus,
    #[case] created_by: Principal,
    #[case] rights: &[&'static str],
    #[case] answers: [&str; 3],
) {
    let [see, cancel, abandon] = answers;
    let world = World::new();
    world.account_of(ACCOUNT, status, created_by);
    world.run(run(&world, "create-account", None, json!({}), vec![Event::RunStarted]));
    grant(&world, rights);
    assert_eq!(outcome(ready(get(&world.berth(), &caller(USER), RUN))), see);
    assert_eq!(outcome(ask(&world, Verb::Cancel, None)), cancel);
    assert_eq!(outcome(ask(&world, Verb::Abandon, Some("swept by hand"))), abandon);
}

#[test]
fn a_run_is_shown_with_the_state_that_its_journal_tells() {
    let world = admins_world(live_run);
    let view = ready(get(&world.berth(), &caller(USER), RUN)).unwrap();
    assert_eq!((view.state.unwrap().steps.len(), view.steps[0].as_str()), (view.steps.len(), FIRST));
}

fn admins_world(detail: fn(&Arc<World>) -> RunDetail) -> Arc<World> {
    let world = World::new();
    world.account(AccountStatus::Active);
    world.workspace(WorkspaceStatus::Provisioning);
    world.run(detail(&world));
    grant(&world, OPERATOR);
    world
}

#[rstest]
#[case::skip_needs_a_comment(Verb::Skip, None, None, "/comment")]
#[case::abandon_needs_a_comment(Verb::Abandon, None, None, "/comment")]
#[case::a_blank_one_is_none(Verb::Abandon, None, Some(" \n"), "/comment")]
#[case::one_that_is_given_keeps_the_rules(Verb::Cancel, None, Some("nul\0"), "/comment")]
#[case::cancel_is_about_the_whole_run(Verb::Cancel, Some(FIRST), None, "/step")]
fn a_request_that_is_not_right_says_where(
    #[case] verb: Verb,
    #[case] step: Option<&str>,
    #[case] comment: Option<&str>,
    #[case] pointer: &str,
) {
    let world = admins_world(live_run);
    let own = |text: Option<&str>| text.map(str::to_owned);
    match ready(request(&world.berth(), &caller(USER), RUN, verb, own(step), own(comment), None)) {
        Err(Error::Invalid(invalid)) => assert_eq!(invalid[0].pointer, pointer),
        other => panic!("{other:?}"),
    }
    assert!(world.requests.lock().unwrap().is_empty());
}

#[test]
fn skip_is_handed_over_with_the_only_stuck_step_filled_in() {
    let world = admins_world(stuck_run);
    ask(&world, Verb::Skip, Some(" dropped by hand ")).unwrap();
    let requests = world.requests.lock().unwrap();
    let new = &requests[0];
    assert_eq!((new.step.as_deref(), new.comment.as_deref(), new.actor), (Some(FIRST), Some("dropped by hand"), USER));
    assert_eq!((new.audit.action.as_str(), new.audit.step.as_deref()), ("run.skip", Some(FIRST)));
    let reason = new.audit.reason.as_ref().and_then(|r| r.value.as_deref());
    assert_eq!(reason, Some("dropped by hand"));
}

fn replay() -> Replay<Requested> {
    Replay {
        key: "key".to_owned(),
        method: "POST".to_owned(),
        path: "/v1/provisioning-runs/RUN/cancel".to_owned(),
        fingerprint: vec![1],
        answer: |_| Answer { status: 202, location: None, body: json!({}) },
    }
}

/// Catches a cancel that is repeated with its key after it has worked, and is told that there is nothing to cancel.
#[test]
fn a_verb_that_is_ruled_out_by_its_own_success_is_replayed() {
    let world = admins_world(failed_run);
    let again = |world: &Arc<World>| ready(request(&world.berth(), &caller(USER), RUN, Verb::Cancel, None, None, Some(replay())));
    assert_eq!(outcome(again(&world)), "conflict", "a key that is not known changes nothing");
    let first = Answer { status: 202, location: None, body: json!({"first": true}) };
    *world.remembered.lock().unwrap() = Some(first.clone());
    assert_eq!(again(&world).unwrap(), Reply::Replayed(first));
}

#[test]
fn a_retry_of_a_failed_run_is_a_new_run_with_new_ids_for_all_but_the_workspace() {
    let world = admins_world(failed_run);
    let Reply::Fresh(requested) = ask(&world, Verb::Retry, None).unwrap() else { panic!("replayed") };
    let retries = world.retries.lock().unwrap();
    let new = &retries[0].run;
    assert!(requested.new_run && requested.run_id == new.id && new.id != RUN);
    assert_eq!((new.retry_of, new.workspace_id, new.created_by), (Some(RUN), Some(WORKSPACE), USER));
    let old: CreateWorkspaceInput = serde_json::from_value(input()).unwrap();
    let input: CreateWorkspaceInput = serde_json::from_value(new.input.clone()).unwrap();
    assert_eq!((input.workspace_id, input.creator, input.environments.len()), (WORKSPACE, OTHER, 3));
    let ids = |input: &CreateWorkspaceInput| input.environments.iter().flat_map(|e| [e.id, e.backend_workspace_id]).collect::<Vec<_>>();
    assert!(ids(&input).iter().all(|id| !ids(&old).contains(id)), "the old ids are sealed");
    assert_eq!(world.wakes(), 1);
}

#[rstest]
#[case(RetryAnswer::RetriedAlready { by: RunId(Uuid::from_u128(5)) }, |e: &Error| matches!(e, Error::VerbConflict { .. }))]
#[case(RetryAnswer::RunInProgress { run: RunId(Uuid::from_u128(5)) }, |e: &Error| matches!(e, Error::RunInProgress { .. }))]
#[case(RetryAnswer::NotFailed { status: "active" }, |e: &Error| matches!(e, Error::VerbConflict { detail } if detail.contains("active")))]
#[case(RetryAnswer::SlugTaken { slug: "s".into() }, |e: &Error| matches!(e, Error::SlugTaken { .. }))]
#[case(RetryAnswer::QuotaExceeded { max: 3 }, |e: &Error| matches!(e, Error::QuotaExceeded { max: 3 }))]
#[case(
    RetryAnswer::AccountNotActive { status: Some(AccountStatus::Failed) }, |e: &Error| matches!(e, Error::AccountNotActive { status: "failed" })
)]
fn a_retry_that_the_store_refuses_says_why(#[case] answer: RetryAnswer, #[case] expected: fn(&Error) -> bool) {
    let world = admins_world(failed_run);
    *world.retry_answer.lock().unwrap() = Some(answer);
    let error = ask(&world, Verb::Retry, None).unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert_eq!(world.wakes(), 0);
}

#[test]
fn a_run_of_a_version_that_cannot_be_read_is_a_conflict_and_no_fault() {
    let world = admins_world(|world| {
        let mut detail = failed_run(world);
        detail.run.input = json!({"shape": "of another time"});
        detail
    });
    assert_eq!(outcome(ask(&world, Verb::Retry, None)), "conflict");
}

#[rstest]
#[case::a_stranger_sees_none(&[], &[])]
#[case::an_accounts_reader_sees_its_own(&["account#read_workspaces"], &[Some(vec![ACCOUNT])])]
#[case::the_platforms_reader_sees_all(&["platform#read"], &[None])]
fn without_a_filter_runs_are_listed_of_the_accounts_in_sight(#[case] rights: &[&'static str], #[case] listed: &[Option<Vec<Uuid>>]) {
    let world = World::new();
    world.account(AccountStatus::Active);
    world.run(live_run(&world));
    grant(&world, rights);
    let runs = ready(list(&world.berth(), &caller(USER), &RunFilter::default(), PAGE)).unwrap();
    assert_eq!(runs.items.len(), listed.len());
    assert_eq!(*world.listed_accounts.lock().unwrap(), listed);
}

#[test]
fn without_a_filter_the_creator_sees_the_run_that_makes_his_account() {
    let world = World::new();
    let (mine, others, active) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    world.account_of(mine, AccountStatus::Provisioning, USER);
    world.account_of(others, AccountStatus::Provisioning, OTHER);
    world.account_of(active, AccountStatus::Active, USER);
    ready(list(&world.berth(), &caller(USER), &RunFilter::default(), PAGE)).unwrap();
    assert_eq!(*world.listed_accounts.lock().unwrap(), [Some(vec![mine])]);
}

#[rstest]
#[case::a_stranger(&[], "not found")]
#[case::a_member(&["account#read"], "forbidden")]
#[case::an_admin(&["account#read", "account#read_workspaces"], "ok")]
fn an_accounts_runs_need_read_workspaces(#[case] rights: &[&'static str], #[case] expected: &str) {
    let world = World::new();
    world.account(AccountStatus::Active);
    grant(&world, rights);
    let filter = RunFilter { account_id: Some(ACCOUNT), ..RunFilter::default() };
    let answer = match ready(list(&world.berth(), &caller(USER), &filter, PAGE)) {
        Ok(_) => "ok",
        Err(Error::NotFound { what: "account" }) => "not found",
        Err(Error::Forbidden { what: "account", permission: "read_workspaces" }) => "forbidden",
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(answer, expected);
}

#[test]
fn a_workspaces_runs_are_listed_to_its_viewer() {
    let world = World::new();
    world.account(AccountStatus::Active);
    world.workspace(WorkspaceStatus::Active);
    world.run(live_run(&world));
    let filter = RunFilter { workspace_id: Some(WORKSPACE), ..RunFilter::default() };
    let ask = |world: &Arc<World>| ready(list(&world.berth(), &caller(USER), &filter, PAGE));
    assert!(matches!(ask(&world), Err(Error::NotFound { what: "workspace" })));
    grant(&world, &["workspace#read"]);
    assert_eq!(ask(&world).unwrap().items.len(), 1);
}

#[test]
fn a_page_of_runs_has_a_next_only_if_there_is_more() {
    let world = World::new();
    for id in 1..=3 {
        let mut detail = live_run(&world);
        detail.run.id = RunId(Uuid::from_u128(id));
        world.run(detail);
    }
    grant(&world, &["platform#read"]);
    let page = |after, limit| {
        let page = Page { after, limit };
        let listed = ready(list(&world.berth(), &caller(USER), &RunFilter::default(), page)).unwrap();
        (listed.items.iter().map(|r| r.id.0.as_u128()).collect::<Vec<_>>(), listed.next)
    };
    let (first, next) = page(None, 2);
    assert_eq!((first, next), (vec![3, 2], Some(Uuid::from_u128(2))));
    assert_eq!(page(next, 2), (vec![1], None));
    assert_eq!(page(None, 3).1, None);
}
