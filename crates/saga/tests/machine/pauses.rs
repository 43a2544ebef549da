//! Pauses: what waits, what goes on, and which clocks stand still.

use std::time::Duration;

use saga::journal::{Ending, Turn, Verb};
use saga::machine::fold;
use saga::ports::{OnFailure, State, WaitingFor};

use crate::sagas;
use crate::sim::{Answer, Pause, Sim, T0};

const RUN: Pause = Pause { step: None, undo: false };

fn shown(sim: &Sim) -> (State, Option<WaitingFor>, Vec<String>) {
    let head = sim.state.head(&sim.definition, sim.now);
    (head.state, head.waiting_for, head.paused_by)
}

fn start(saga: &str, on_failure: OnFailure) -> Sim {
    let mut sim = Sim::new(&sagas::named(saga), on_failure);
    sim.advance();
    sim
}

fn wait(sim: &mut Sim, time: Duration) {
    sim.now = sim.now + time;
    sim.advance();
}

#[test]
fn a_paused_run_waits_for_its_operator_and_its_deadline_stands_still() {
    let mut sim = start("no-pivot", OnFailure::Rollback);
    sim.pauses.insert(RUN);
    sim.advance();
    assert_eq!(shown(&sim), (State::Running, None, vec![]), "an attempt that is open finishes, and its time counts");
    wait(&mut sim, Duration::from_mins(10));
    sim.answer(0, false, Answer::Succeed);
    assert_eq!(sim.advance(), None, "there is nothing to do before it is resumed");
    assert_eq!(shown(&sim), (State::Waiting, Some(WaitingFor::Operator), vec!["run".to_owned()]));
    let written = sim.journal().len();
    for _ in 0..3 {
        wait(&mut sim, Duration::from_hours(24));
    }
    assert_eq!(sim.journal().len(), written, "a pause is told of once");
    sim.pauses.clear();
    wait(&mut sim, Duration::ZERO);
    assert_eq!(shown(&sim), (State::Running, None, vec![]));
    assert_eq!(sim.state.deadline_at(&sim.definition), Some(T0 + sim.definition.deadline + Duration::from_hours(72)));
    // 20 of its 30 minutes are left, and no more.
    sim.now = sim.now + Duration::from_mins(20);
    assert_eq!(sim.settle(|_, _, _| Answer::Succeed), Ending::Failed);
    assert_eq!(sim.rules.turned, Some(Turn::Deadline));
}

#[test]
fn only_the_steps_that_draw_on_what_is_paused_wait() {
    let mut sim = start("no-pivot", OnFailure::Rollback);
    sim.pauses.insert(Pause { step: Some(2), undo: false });
    sim.answer(0, false, Answer::Succeed);
    sim.advance();
    assert_eq!(sim.open(), [(1, false), (3, false)], "its siblings start");
    assert_eq!(shown(&sim), (State::Running, None, vec!["step 2".to_owned()]));
    sim.answer(1, false, Answer::Fail);
    sim.answer(3, false, Answer::Succeed);
    let retry = sim.advance().expect("its sibling's next try");
    assert_eq!(shown(&sim).1, Some(WaitingFor::Backend));
    sim.now = retry;
    sim.advance();
    assert_eq!(sim.open(), [(1, false)], "they are tried again, too");
    sim.answer(1, false, Answer::Succeed);
    assert_eq!(sim.advance(), None, "the next stage waits for all of them");
    sim.pauses.clear();
    assert_eq!(sim.settle(|_, _, _| Answer::Succeed), Ending::Succeeded);
}

#[test]
fn a_paused_run_can_be_cancelled_and_its_undo_goes_on_unless_the_pause_says_so() {
    for undo in [false, true] {
        let mut sim = start("no-pivot", OnFailure::Rollback);
        sim.pauses.insert(Pause { step: None, undo });
        sim.answer(0, false, Answer::Succeed);
        sim.advance();
        sim.request(Verb::Cancel);
        let wake = sim.advance();
        if undo {
            assert_eq!((sim.open(), wake), (vec![], None));
            assert_eq!(shown(&sim), (State::Compensating, None, vec!["undo of run".to_owned()]));
            wait(&mut sim, Duration::from_hours(24 * 30));
            sim.pauses.clear();
            sim.advance();
        }
        assert_eq!(sim.open(), [(0, true)]);
        assert_eq!(shown(&sim), (State::Compensating, None, vec![]));
        assert_eq!(sim.settle(|_, _, _| Answer::Succeed), Ending::Cancelled);
    }
}

#[test]
fn an_undo_has_its_whole_time_however_long_it_was_paused() {
    let mut sim = start("no-pivot", OnFailure::Rollback);
    sim.request(Verb::Cancel);
    sim.answer(0, false, Answer::Succeed);
    sim.advance();
    sim.pauses.insert(Pause { step: Some(0), undo: true });
    sim.answer(0, true, Answer::Fail);
    wait(&mut sim, Duration::from_mins(10));
    assert_eq!(shown(&sim).2, ["undo of step 0"]);
    wait(&mut sim, Duration::from_hours(48));
    sim.pauses.clear();
    sim.advance();
    sim.answer(0, true, Answer::Fail);
    assert!(sim.advance().is_some(), "a day of tries is left to it");
    assert_eq!(shown(&sim).0, State::Compensating);
    sim.now = sim.now + Duration::from_hours(24);
    sim.advance();
    sim.answer(0, true, Answer::Fail);
    sim.advance();
    assert_eq!(shown(&sim).0, State::Stuck);
}

#[test]
fn an_operator_has_his_whole_time_for_a_held_run_however_long_it_was_paused_before() {
    let mut sim = start("no-pivot", OnFailure::Hold);
    sim.answer(0, false, Answer::Succeed);
    sim.pauses.insert(Pause { step: Some(2), undo: false });
    sim.advance();
    wait(&mut sim, Duration::from_hours(24 * 30));
    sim.answer(1, false, Answer::FailForGood);
    sim.answer(3, false, Answer::Succeed);
    let wake = sim.advance();
    assert_eq!(shown(&sim), (State::Waiting, Some(WaitingFor::Operator), vec![]));
    assert_eq!(wake, Some(sim.now + sim.definition.hold_for));
}

#[test]
fn a_paused_run_that_is_abandoned_ends_and_nothing_is_said_of_the_pause() {
    let mut sim = start("no-pivot", OnFailure::Rollback);
    sim.answer(0, false, Answer::Succeed);
    sim.pauses.insert(Pause { step: None, undo: true });
    sim.advance();
    sim.request(Verb::Abandon);
    assert_eq!(sim.settle(|_, _, _| Answer::Succeed), Ending::Abandoned);
    assert_eq!(shown(&sim).2, Vec::<String>::new());
    let folded = fold(&sim.definition, T0, OnFailure::Rollback, &sim.journal());
    assert_eq!(folded.head(&sim.definition, sim.now).paused_by, Vec::<String>::new());
}
