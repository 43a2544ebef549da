//! From the 20th attempt on a step's records are written over: the journal stays short and tells the same story.

use saga::journal::Turn;
use saga::ports::OnFailure;

use crate::sagas;
use crate::sim::{Answer, Sim};

const PATIENT: &str = "deadline: 90d
stages:
  - { do: a, undo: un-a, retry: { attempts: 300 } }
  - parallel:
      - { name: b1, do: b, undo: un-b, undo_for: 90d, undo_retry: { first: 1s, max: 5m } }
      - { name: b2, do: b, undo: un-b, retry: { attempts: 40 } }
";

/// Whatever is tried without end: twenty pairs stand one after the other, the last of them is written over.
const LONGEST: usize = 60;

#[test]
fn a_step_or_undo_that_is_tried_for_days_does_not_fill_the_journal() {
    let definition = sagas::read("patient", PATIENT);
    let mut sim = Sim::new(&definition, OnFailure::Rollback);
    let mut table = vec![0];
    sim.settle(|sim, step, undo| {
        table.push(sim.table.len());
        match (step, undo) {
            (0, false) if sim.rules.attempts[0] < 290 => Answer::Fail,
            (2, false) => Answer::FailForGood,
            (1, true) if sim.state.steps[1].undo.attempts < 400 => Answer::Fail,
            _ => Answer::Succeed,
        }
    });
    assert_eq!((sim.rules.attempts[0], sim.state.steps[1].undo.attempts), (290, 400));
    let (first, last) = (table[..290].iter().max().unwrap(), table.last().unwrap());
    assert!(*first <= LONGEST && *last <= 2 * LONGEST, "{first} records, then {last}");
}

#[test]
fn mixed_outcomes_keep_it_short_too_and_refusals_never_count() {
    let definition = sagas::read("patient", PATIENT);
    for crashes in [false, true] {
        let mut sim = Sim::new(&definition, OnFailure::Rollback);
        let (mut counted, mut asked) = (0, 0);
        while sim.rules.turned.is_none() {
            let wake = sim.advance();
            match sim.open().first().copied() {
                Some((2, false)) => {
                    asked += 1;
                    if crashes && asked % 3 == 0 {
                        counted += 1;
                        sim.crash();
                        continue;
                    }
                    let answer = match asked % 4 {
                        0 | 2 => Answer::Refuse,
                        1 => Answer::Unknown,
                        _ => Answer::Fail,
                    };
                    counted += u32::from(answer != Answer::Refuse);
                    sim.answer(2, false, answer);
                }
                Some((step, undo)) => sim.answer(step, undo, Answer::Succeed),
                None => sim.now = sim.now.max(wake.expect("it is tried again")),
            }
            assert!(sim.table.len() <= 2 * LONGEST, "{} records", sim.table.len());
        }
        assert!(matches!(&sim.rules.turned, Some(Turn::Failed { step, .. }) if step == "b2"), "{:?}", sim.rules.turned);
        assert_eq!(counted, 40, "asked {asked} times, crashes: {crashes}");
    }
}
