use rstest::rstest;
use saga::definition::load;
use saga::journal::{Event, Fault, Record, Turn};
use saga::ports::OnFailure;
use saga::{RunId, Time};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{Principal, PrincipalKind};

const SAGA: &str = "\
# Makes a thing.
saga: make-thing
version: 1
start_within: 1h
deadline: 30m
hold_for: 7d
defaults:
  timeout: 5s
  undo_timeout: 5s
  undo_for: 24h
  retry: { attempts: 8, first: 200ms, max: 10s }
  undo_retry: { first: 200ms, max: 5m }
stages:
  - parallel:
      - { name: left, do: dig, undo: fill }
      - { name: right, do: dig, undo: fill }
  - do: open
    pivot: true
  - do: announce
    retry: { attempts: unlimited }
";

fn at(seconds: i64) -> Time {
    Time::from_micros(seconds * 1_000_000)
}

fn started(step: &str) -> Event {
    // As the journal of a first attempt reads; fields that only later attempts set are left out.
    serde_json::from_value(json!({ "type": "step_started", "step": step, "attempt": 1 })).unwrap()
}

fn succeeded(step: &str) -> Event {
    Event::StepSucceeded { step: step.into(), attempt: 1, output: Value::Null }
}

fn failed(step: &str, retry_at: Option<Time>) -> Event {
    Event::StepFailed { step: step.into(), attempt: 1, fault: Fault::new("broken", "It broke"), retry_at }
}

fn unknown(step: &str, retry_at: Option<Time>) -> Event {
    Event::StepUnknown { step: step.into(), attempt: 1, fault: Fault::new("lost", "No reply came"), retry_at }
}

fn undo_started(step: &str) -> Event {
    Event::UndoStarted { step: step.into(), attempt: 1 }
}

fn undo_failed(step: &str, retry_at: Option<Time>) -> Event {
    Event::UndoFailed { step: step.into(), attempt: 1, fault: Fault::new("broken", "It broke"), retry_at }
}

fn requested(verb: Verb) -> Event {
    Event::Requested { verb, step: None, actor: json!({}), comment: None }
}

fn turned() -> Event {
    Event::Turned { turn: Turn::Failed { step: "right".into(), fault: Fault::new("broken", "It broke") } }
}

/// `left` and `right` done, the pivot next.
fn before_the_pivot() -> Vec<Event> {
    vec![Event::RunStarted, started("left"), started("right"), succeeded("left"), succeeded("right")]
}

/// `right` failed for good, both to be undone.
fn compensating() -> Vec<Event> {
    vec![Event::RunStarted, started("left"), started("right"), succeeded("left"), failed("right", None), turned()]
}

fn and(mut journal: Vec<Event>, more: impl IntoIterator<Item = Event>) -> Vec<Event> {
    journal.extend(more);
    journal
}

fn detail(definition: &Definition, on_failure: OnFailure, journal: Vec<Event>) -> RunDetail {
    let journal: Vec<Record> = journal.into_iter().zip(1..).map(|(event, seq)| Record { seq, at: at(seq), event }).collect();
    let head = fold(definition, at(0), on_failure, &journal).head(definition, at(100));
    let id = RunId(Uuid::from_u128(1));
    let run = ProvisioningRun {
        id,
        definition: definition.id.clone(),
        account_id: Uuid::from_u128(2),
        workspace_id: None,
        retry_of: None,
        retried_by: None,
        on_failure,
        state: head.state,
        waiting_for: head.waiting_for,
        ending: head.ending,
        turn: head.turn,
        done: head.done,
        total: head.total,
        deadline_at: head.deadline_at,
        created_at: at(0),
        updated_at: at(0),
        version: 1,
        created_by: Principal { kind: PrincipalKind::User, id: Uuid::from_u128(3) },
        paused_by: Vec::new(),
        input: Value::Null,
    };
    RunDetail { run, journal, pending_verbs: Vec::new() }
}

/// The table of verbs and states: what each situation takes.
#[rstest]
#[case::pending(vec![], "cancel abandon")]
#[case::running(vec![Event::RunStarted, started("left"), started("right")], "cancel abandon")]
#[case::between_steps(before_the_pivot(), "cancel abandon")]
#[case::waiting_for_a_retry(vec![Event::RunStarted, started("left"), failed("left", Some(at(900)))], "cancel retry abandon")]
#[case::waiting_for_a_backend(
    vec![Event::RunStarted, started("left"), Event::StepRefused { step: "left".into(), attempt: 1, forgiven: 1, retry_at: at(900) }],
    "cancel retry abandon"
)]
#[case::a_sibling_waits_while_one_runs(
    vec![Event::RunStarted, started("left"), started("right"), unknown("left", Some(at(900)))], "cancel retry abandon"
)]
#[case::parked(and(before_the_pivot(), [requested(Verb::Park)]), "cancel abandon")]
#[case::a_cancel_is_journaled_already(and(before_the_pivot(), [requested(Verb::Cancel)]), "abandon")]
#[case::the_pivot_is_open(and(before_the_pivot(), [started("open")]), "abandon")]
#[case::the_pivot_may_have_happened(and(before_the_pivot(), [started("open"), unknown("open", Some(at(900)))]), "retry abandon")]
#[case::an_earlier_attempt_of_the_pivot_may_have_happened(
    and(before_the_pivot(), [
        started("open"),
        unknown("open", Some(at(900))),
        Event::StepStarted { step: "open".into(), attempt: 2, forgiven: 0, unsure: true },
        Event::StepFailed { step: "open".into(), attempt: 2, fault: Fault::new("broken", "It broke"), retry_at: Some(at(901)) },
    ]),
    "retry abandon"
)]
#[case::the_pivot_failed_and_will_be_tried_again(
    and(before_the_pivot(), [started("open"), failed("open", Some(at(900)))]), "cancel retry abandon"
)]
#[case::past_the_pivot(and(before_the_pivot(), [started("open"), succeeded("open")]), "abandon")]
#[case::past_the_pivot_waiting(
    and(before_the_pivot(), [started("open"), succeeded("open"), started("announce"), failed("announce", Some(at(900)))]),
    "retry abandon"
)]
#[case::past_the_pivot_stuck(
    and(before_the_pivot(), [started("open"), succeeded("open"), started("announce"), failed("announce", None)]),
    "retry skip abandon"
)]
#[case::turned(compensating(), "abandon")]
#[case::an_undo_runs(and(compensating(), [undo_started("left")]), "abandon")]
#[case::an_undo_waits(and(compensating(), [undo_started("left"), undo_failed("left", Some(at(900)))]), "retry abandon")]
#[case::an_undo_is_stuck(and(compensating(), [undo_started("left"), undo_failed("left", None)]), "retry skip abandon")]
#[case::a_task_has_not_returned(and(compensating(), [Event::TaskNotReturned { step: "left".into() }]), "skip abandon")]
#[case::being_abandoned(and(before_the_pivot(), [requested(Verb::Abandon)]), "")]
#[case::succeeded(and(before_the_pivot(), [Event::Ended { ending: Ending::Succeeded }]), "")]
#[case::failed(and(compensating(), [Event::Ended { ending: Ending::Failed }]), "retry")]
#[case::cancelled(vec![Event::Turned { turn: Turn::Cancelled }, Event::Ended { ending: Ending::Cancelled }], "retry")]
#[case::abandoned(and(compensating(), [Event::Ended { ending: Ending::Abandoned }]), "")]
fn a_run_takes_the_verbs_that_its_journal_does_not_rule_out(#[case] journal: Vec<Event>, #[case] possible: &str) {
    let definition = load("f", SAGA).unwrap();
    let detail = detail(&definition, OnFailure::Rollback, journal);
    let folded = Folded::with(&detail, Some(&definition));
    assert_eq!(folded.possible().into_iter().map(word).collect::<Vec<_>>().join(" "), possible);
    for verb in VERBS {
        match folded.permit(verb, None) {
            Ok(_) => assert!(possible.contains(word(verb)), "{verb:?} was let through"),
            Err(Error::VerbConflict { detail: sentence }) => {
                assert!(!possible.contains(word(verb)), "{verb:?}: {sentence}");
                let expected = format!("Its state is `{}`; possible now: ", state_word(detail.run.state));
                assert!(sentence.contains(&expected), "{sentence}");
            }
            Err(other) => panic!("{verb:?}: {other:?}"),
        }
    }
}

#[test]
fn a_held_run_takes_retry_and_cancel_but_no_skip() {
    let definition = load("f", SAGA).unwrap();
    let detail = detail(&definition, OnFailure::Hold, vec![Event::RunStarted, started("left"), failed("left", None)]);
    let possible = Folded::with(&detail, Some(&definition)).possible();
    assert_eq!(possible, [Verb::Cancel, Verb::Retry, Verb::Abandon]);
}

#[test]
fn a_forward_only_run_is_never_cancelled() {
    let text = SAGA
        .replace("stages:", "pivot: start\nstages:")
        .replace("    pivot: true\n", "")
        .replace(", undo: fill", "")
        .replace("attempts: 8", "attempts: unlimited");
    let definition = load("f", &text).unwrap();
    let detail = detail(&definition, OnFailure::Rollback, vec![]);
    assert_eq!(Folded::with(&detail, Some(&definition)).possible(), [Verb::Abandon]);
}

#[test]
fn a_retried_run_is_not_retried_twice_and_says_where_to_look() {
    let definition = load("f", SAGA).unwrap();
    let mut detail = detail(&definition, OnFailure::Rollback, and(compensating(), [Event::Ended { ending: Ending::Failed }]));
    assert_eq!(Folded::with(&detail, Some(&definition)).permit(Verb::Retry, None).unwrap(), Permitted::NewRun);
    let by = RunId(Uuid::from_u128(77));
    detail.run.retried_by = Some(by);
    let refusal = Folded::with(&detail, Some(&definition)).permit(Verb::Retry, None).unwrap_err();
    assert!(matches!(&refusal, Error::VerbConflict { detail } if detail.contains(&by.to_string())), "{refusal:?}");
}

fn both_stuck() -> Vec<Event> {
    let stuck = |step| [undo_started(step), undo_failed(step, None)];
    and(and(compensating(), stuck("left")), stuck("right"))
}

fn left_stuck() -> Vec<Event> {
    and(compensating(), [undo_started("left"), undo_failed("left", None)])
}

#[rstest]
#[case::the_only_one_is_meant(left_stuck(), None, Ok(Some("left")))]
#[case::the_only_one_named(left_stuck(), Some("left"), Ok(Some("left")))]
#[case::one_of_two_named(both_stuck(), Some("right"), Ok(Some("right")))]
#[case::one_of_two_must_be_named(both_stuck(), None, Err("/step"))]
#[case::one_that_is_not_stuck(left_stuck(), Some("right"), Err("conflict"))]
#[case::one_that_does_not_exist(left_stuck(), Some("middle"), Err("/step"))]
fn skip_needs_to_know_which_stuck_step_is_meant(
    #[case] journal: Vec<Event>,
    #[case] step: Option<&str>,
    #[case] expected: Result<Option<&str>, &str>,
) {
    let definition = load("f", SAGA).unwrap();
    let detail = detail(&definition, OnFailure::Rollback, journal);
    let answer = Folded::with(&detail, Some(&definition)).permit(Verb::Skip, step);
    match (answer, expected) {
        (Ok(Permitted::Request { step }), Ok(expected)) => assert_eq!(step.as_deref(), expected),
        (Err(Error::Invalid(invalid)), Err(pointer)) => assert_eq!(invalid[0].pointer, pointer),
        (Err(Error::VerbConflict { .. }), Err(expected)) => assert_eq!(expected, "conflict"),
        (answer, _) => panic!("{answer:?}"),
    }
}

#[rstest]
#[case::it_waits(Some("left"), true)]
#[case::it_runs(Some("right"), false)]
#[case::it_has_not_begun(Some("open"), false)]
#[case::whatever_waits(None, true)]
fn retry_of_a_step_is_for_one_that_waits(#[case] step: Option<&str>, #[case] permitted: bool) {
    let definition = load("f", SAGA).unwrap();
    let journal = vec![Event::RunStarted, started("left"), started("right"), failed("left", Some(at(900)))];
    let detail = detail(&definition, OnFailure::Rollback, journal);
    assert_eq!(Folded::with(&detail, Some(&definition)).permit(Verb::Retry, step).is_ok(), permitted);
}

#[test]
fn a_new_run_begins_at_its_first_step_whatever_step_is_named() {
    let definition = load("f", SAGA).unwrap();
    let detail = detail(&definition, OnFailure::Rollback, and(compensating(), [Event::Ended { ending: Ending::Failed }]));
    let refusal = Folded::with(&detail, Some(&definition)).permit(Verb::Retry, Some("left")).unwrap_err();
    assert!(matches!(&refusal, Error::Invalid(invalid) if invalid[0].pointer == "/step"), "{refusal:?}");
}

/// A roll-back of the fleet must not take its runs out of reach.
#[test]
fn a_run_whose_definition_is_not_known_here_takes_what_its_row_does_not_rule_out() {
    let definition = load("f", SAGA).unwrap();
    let live = detail(&definition, OnFailure::Rollback, compensating());
    let folded = Folded::with(&live, None);
    assert_eq!(folded.possible(), VERBS);
    assert!(matches!(folded.permit(Verb::Skip, None), Err(Error::Invalid(_))));
    assert_eq!(folded.permit(Verb::Skip, Some("left")).unwrap(), Permitted::Request { step: Some("left".into()) });
    let ended = detail(&definition, OnFailure::Rollback, and(compensating(), [Event::Ended { ending: Ending::Failed }]));
    assert_eq!(Folded::with(&ended, None).possible(), [Verb::Retry]);
}
