//! Holding, skipping, retrying, and being stuck.

use std::time::Duration;

use saga::journal::{Ending, Turn, Verb};
use saga::ports::{OnFailure, State, WaitingFor};
use saga::{Event, Time};

use crate::sagas;
use crate::sim::{Answer, Sim};

/// Answers as `answers` says until nothing is open and nothing is due before `until`.
fn quiet(sim: &mut Sim, until: Time, answers: impl Fn(&Sim, usize, bool) -> Answer) {
    for _ in 0..1_000 {
        let wake = sim.advance();
        match (sim.open().first().copied(), wake) {
            (Some((step, undo)), _) => {
                let answer = answers(sim, step, undo);
                sim.answer(step, undo, answer);
            }
            (None, Some(at)) if at <= until => sim.now = sim.now.max(at),
            _ => return,
        }
    }
    panic!("never quiet\n{}", sim.rules.story());
}

fn show(sim: &Sim) -> (State, Option<WaitingFor>) {
    let head = sim.state.head(&sim.definition, sim.now);
    (head.state, head.waiting_for)
}

/// `c` of `pivot-last` has failed for good, and the run is held.
fn held() -> Sim {
    let mut sim = Sim::new(&sagas::named("pivot-last"), OnFailure::Hold);
    let soon = sim.now + Duration::from_mins(5);
    quiet(&mut sim, soon, |_, step, _| if step == 4 { Answer::FailForGood } else { Answer::Succeed });
    assert_eq!(show(&sim), (State::Waiting, Some(WaitingFor::Operator)));
    sim
}

#[test]
fn a_held_run_waits_for_an_operator_while_its_deadline_stands_still() {
    let mut sim = held();
    let left = sim.definition.deadline.checked_sub(sim.rules.counted(sim.now)).unwrap();
    sim.now = sim.now + sim.definition.deadline * 5;
    sim.advance();
    assert_eq!(show(&sim), (State::Waiting, Some(WaitingFor::Operator)));
    sim.request(Verb::Retry);
    assert_eq!(sim.state.deadline_at(&sim.definition), Some(sim.now + left));
    assert_eq!(sim.settle(|_, _, _| Answer::Succeed), Ending::Succeeded);
}

#[test]
fn retry_gives_a_held_step_its_whole_budget_again() {
    let mut sim = held();
    for _ in 0..3 {
        let before = sim.rules.attempts[4];
        sim.request(Verb::Retry);
        let soon = sim.now + Duration::from_mins(5);
        quiet(&mut sim, soon, |_, step, _| if step == 4 { Answer::Fail } else { Answer::Succeed });
        assert_eq!(sim.rules.attempts[4] - before, 3, "{}", sim.rules.story());
        assert_eq!(show(&sim), (State::Waiting, Some(WaitingFor::Operator)));
    }
}

#[test]
fn a_held_run_turns_by_cancel_or_when_nobody_comes() {
    let mut sim = held();
    sim.request(Verb::Cancel);
    assert_eq!(sim.settle(|_, _, _| Answer::Succeed), Ending::Cancelled);
    let mut sim = held();
    let since = sim.now;
    let wake = sim.advance().expect("it does not wait for ever");
    assert_eq!(wake, since + sim.definition.hold_for);
    sim.now = wake;
    assert_eq!(sim.settle(|_, _, _| Answer::Succeed), Ending::Failed);
    assert!(matches!(&sim.rules.turned, Some(Turn::HeldTooLong { step, .. }) if step == "c"), "{:?}", sim.rules.turned);
}

#[test]
fn siblings_of_a_held_step_finish_but_do_not_start_again() {
    let mut sim = Sim::new(&sagas::named("pivot-last"), OnFailure::Hold);
    sim.advance();
    sim.answer(0, false, Answer::Succeed);
    sim.advance();
    sim.answer(1, false, Answer::FailForGood);
    sim.answer(2, false, Answer::Fail);
    sim.now = sim.now + Duration::from_secs(30);
    sim.advance();
    assert_eq!((sim.open(), show(&sim)), (vec![(3, false)], (State::Running, None)));
    sim.answer(3, false, Answer::Succeed);
    sim.request(Verb::Retry);
    sim.advance();
    assert_eq!(sim.open(), [(1, false), (2, false)]);
    assert_eq!(sim.settle(|_, _, _| Answer::Succeed), Ending::Succeeded);
}

#[test]
fn a_step_after_the_pivot_that_fails_for_good_is_stuck_until_retried_or_skipped() {
    for verb in [Verb::Retry, Verb::Skip] {
        let mut sim = Sim::new(&sagas::named("after-pivot"), OnFailure::Rollback);
        let soon = sim.now + Duration::from_mins(5);
        quiet(&mut sim, soon, |_, step, _| if step == 3 { Answer::FailForGood } else { Answer::Succeed });
        assert_eq!((show(&sim).0, sim.state.stuck_steps(&sim.definition)), (State::Stuck, vec![3]));
        assert!(sim.is_done(4) && !sim.is_done(5), "its sibling went on, the next stage waits");
        sim.request(verb);
        if verb == Verb::Skip {
            sim.record(Event::Skipped { step: "c1".into() });
        }
        assert_eq!(sim.settle(|_, _, _| Answer::Succeed), Ending::Succeeded);
    }
}

#[test]
fn past_the_pivot_and_the_deadline_a_run_shows_stuck_and_goes_on() {
    let mut sim = Sim::new(&sagas::named("after-pivot"), OnFailure::Rollback);
    let late = sim.now + sim.definition.deadline + Duration::from_mins(1);
    quiet(&mut sim, late, |_, step, _| if step == 5 { Answer::Fail } else { Answer::Succeed });
    assert_eq!(show(&sim).0, State::Stuck);
    assert!(sim.rules.attempts[5] > 100, "no budget after the pivot");
    assert_eq!(sim.settle(|_, _, _| Answer::Succeed), Ending::Succeeded);
}

/// `c` fails for good, and so does the undo of `b2`.
fn stuck_undo() -> Sim {
    let mut sim = Sim::new(&sagas::named("pivot-last"), OnFailure::Rollback);
    let soon = sim.now + Duration::from_mins(5);
    quiet(
        &mut sim,
        soon,
        |_, step, undo| if (step, undo) == (4, false) || (step, undo) == (2, true) { Answer::FailForGood } else { Answer::Succeed },
    );
    assert_eq!((show(&sim).0, sim.state.stuck_steps(&sim.definition)), (State::Stuck, vec![2]));
    assert_eq!(sim.rules.owed(), [0, 2], "its siblings went on, the stage before it waits");
    sim
}

#[test]
fn an_undo_that_fails_for_good_is_stuck_until_retried_or_skipped_or_abandoned() {
    let mut retried = stuck_undo();
    retried.request(Verb::Retry);
    assert_eq!(retried.settle(|_, _, _| Answer::Succeed), Ending::Failed);
    assert_eq!(retried.state.steps[2].undo.attempts, 2);

    let mut skipped = stuck_undo();
    skipped.request(Verb::Skip);
    skipped.record(Event::Skipped { step: "b2".into() });
    assert_eq!(skipped.settle(|_, _, _| Answer::Succeed), Ending::Failed);
    assert_eq!(skipped.state.steps[2].undo.attempts, 1);

    let mut abandoned = stuck_undo();
    abandoned.request(Verb::Abandon);
    assert_eq!(abandoned.settle(|_, _, _| Answer::Succeed), Ending::Abandoned);
    assert_eq!(abandoned.state.leftovers, ["a", "b2"]);
}

#[test]
fn an_undo_has_a_budget_of_time_and_a_retry_gives_it_anew() {
    let mut sim = Sim::new(&sagas::named("pivot-last"), OnFailure::Rollback);
    let later = sim.now + Duration::from_hours(72);
    quiet(&mut sim, later, |_, step, undo| {
        if (step, undo) == (4, false) {
            Answer::FailForGood
        } else if (step, undo) == (2, true) {
            Answer::Fail
        } else {
            Answer::Succeed
        }
    });
    assert_eq!(show(&sim).0, State::Stuck);
    let day = Duration::from_hours(24);
    let since = sim.state.steps[2].undo.since.unwrap();
    assert!(sim.now <= since + day && sim.now + Duration::from_mins(5) >= since + day, "after 24 h, give or take a back-off");
    let before = sim.state.steps[2].undo.attempts;
    sim.request(Verb::Retry);
    let again = sim.now + Duration::from_hours(72);
    quiet(&mut sim, again, |_, _, _| Answer::Fail);
    assert!(sim.state.steps[2].undo.attempts > before + 100, "a fresh budget is 24 h again");
}

#[test]
fn a_cancel_that_loses_against_the_pivot_is_superseded() {
    let mut sim = Sim::new(&sagas::named("pivot-last"), OnFailure::Rollback);
    let soon = sim.now + Duration::from_mins(1);
    while !sim.open().contains(&(5, false)) {
        let (step, undo) = sim.open().first().copied().unwrap_or((0, false));
        if sim.open().is_empty() {
            sim.advance();
        } else {
            sim.answer(step, undo, Answer::Succeed);
        }
        sim.advance();
        assert!(sim.now < soon);
    }
    sim.request(Verb::Cancel);
    assert_eq!(sim.settle(|_, _, _| Answer::Succeed), Ending::Succeeded);
    assert!(sim.journal().iter().any(|r| r.event == Event::Superseded { verb: Verb::Cancel }), "{}", sim.rules.story());
}

#[test]
fn a_task_that_does_not_return_makes_the_run_stuck_and_its_undo_wait() {
    let mut sim = Sim::new(&sagas::named("pivot-last"), OnFailure::Rollback);
    sim.advance();
    sim.answer(0, false, Answer::Succeed);
    sim.advance();
    sim.answer(1, false, Answer::FailForGood);
    sim.answer(2, false, Answer::Unknown);
    sim.answer(3, false, Answer::Succeed);
    sim.busy.insert(2);
    sim.record(Event::TaskNotReturned { step: "b2".into() });
    sim.advance();
    assert_eq!((show(&sim).0, sim.open()), (State::Stuck, vec![(1, true), (3, true)]), "siblings go on");
    sim.answer(1, true, Answer::Succeed);
    sim.answer(3, true, Answer::Succeed);
    sim.advance();
    assert_eq!(sim.open(), [], "the barrier holds");
    sim.busy.clear();
    sim.record(Event::Resumed { epoch: 2 });
    assert_eq!(sim.settle(|_, _, _| Answer::Succeed), Ending::Failed);
}
