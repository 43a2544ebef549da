//! Every cause to leave the forward path, at every position of a journal, with each sibling of a stage in every state.

use std::sync::Arc;
use std::time::Duration;

use saga::definition::Pivot;
use saga::journal::{Ending, Turn, Verb};
use saga::ports::OnFailure;
use saga::{Definition, Event, Record};

use crate::rules::Part;
use crate::sagas;
use crate::sim::{Answer, Pause, Sim};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The next forward attempt fails for good.
    Budget,
    Cancel,
    Deadline,
    /// Parked for ten deadlines, then unparked.
    Freeze,
    Abandon,
    /// Paused, where it gets to, for ten deadlines: as a whole, or only its second step and its third.
    Pause {
        whole: bool,
        undo: bool,
    },
}

const CAUSES: [Cause; 8] = [
    Cause::Budget,
    Cause::Cancel,
    Cause::Deadline,
    Cause::Freeze,
    Cause::Abandon,
    Cause::Pause { whole: true, undo: false },
    Cause::Pause { whole: true, undo: true },
    Cause::Pause { whole: false, undo: true },
];

/// What becomes of the attempts that are open when the cause strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Return(Answer),
    Crash,
}

const OPEN: [Open; 4] = [Open::Return(Answer::Succeed), Open::Return(Answer::Unknown), Open::Return(Answer::FailForGood), Open::Crash];

/// Lets `cause` strike and goes on to the end; answers how the run must end, as far as the rules do not say it already.
fn strike(sim: &mut Sim, cause: Cause, open: Open) {
    let before = sim.rules.clone();
    let (mut budget_spent, deadline) = (false, sim.definition.deadline);
    match cause {
        Cause::Budget => {}
        Cause::Cancel => sim.request(Verb::Cancel),
        Cause::Abandon => sim.request(Verb::Abandon),
        Cause::Deadline => sim.now = sim.now + deadline + Duration::from_secs(1),
        Cause::Freeze => {
            sim.request(Verb::Park);
            sim.advance();
            sim.now = sim.now + deadline * 10;
            sim.advance();
        }
        Cause::Pause { whole, undo } => {
            let steps = if whole { vec![None] } else { vec![Some(1), Some(2)] };
            sim.pauses = steps.into_iter().map(|step| Pause { step, undo }).collect();
            let wake = sim.advance();
            if let Some(at) = wake.filter(|_| sim.open().is_empty()) {
                // What waits for its next try finds the pause when it is due.
                sim.now = sim.now.max(at);
                sim.advance();
            }
            if sim.rules.paused() {
                sim.now = sim.now + deadline * 10;
                sim.advance();
            }
        }
    }
    let paused = sim.rules.paused();
    let was_open = sim.open();
    if open == Open::Crash {
        sim.crash();
    } else if !matches!(cause, Cause::Freeze | Cause::Pause { .. }) {
        sim.advance();
    }
    let mut unparked = cause != Cause::Freeze;
    let ending = sim.settle(|sim, step, undo| {
        if undo {
            // Each undo fails once before it works.
            return if sim.state.steps[step].undo.attempts == 1 { Answer::Fail } else { Answer::Succeed };
        }
        unparked |= !sim.rules.parked;
        if let Open::Return(answer) = open
            && was_open.contains(&(step, false))
            && sim.rules.attempts[step] == before.attempts[step]
        {
            budget_spent |= answer == Answer::FailForGood;
            return answer;
        }
        if cause == Cause::Budget && !budget_spent {
            budget_spent = true;
            return Answer::FailForGood;
        }
        Answer::Succeed
    });
    let story = || format!("{cause:?} {open:?} on {}\n{}", sim.definition.id.name, sim.rules.story());
    let expected = expected(sim, &before, cause, budget_spent);
    assert!(expected.contains(&ending), "ends {ending:?}, not {expected:?}: {}", story());
    if (cause == Cause::Freeze || paused) && before.turned.is_none() {
        assert_ne!(sim.rules.turned, Some(Turn::Deadline), "the deadline stands still while parked or paused: {}", story());
    }
}

/// The first cause names the outcome.
fn expected(sim: &Sim, before: &crate::rules::Rules, cause: Cause, budget_spent: bool) -> Vec<Ending> {
    if cause == Cause::Abandon {
        return vec![Ending::Abandoned];
    }
    match &before.turned {
        Some(Turn::Cancelled) => return vec![Ending::Cancelled],
        Some(_) => return vec![Ending::Failed],
        None => {}
    }
    if before.pivot_decided() {
        return vec![Ending::Succeeded];
    }
    if !before.failed.is_empty() {
        // Two causes in one commit: a request is read first.
        return vec![if cause == Cause::Cancel { Ending::Cancelled } else { Ending::Failed }];
    }
    // A pivot that is asked once more decides: by its success, or by its definite failure.
    let pivot_succeeded = matches!(sim.definition.pivot, Pivot::Step(i) if sim.rules.forward[i] == Part::Done);
    let by_failure = if budget_spent { Ending::Failed } else { Ending::Succeeded };
    match cause {
        _ if pivot_succeeded => vec![Ending::Succeeded],
        Cause::Cancel => vec![Ending::Cancelled],
        // It counts from the first claim.
        Cause::Deadline if !before.history.is_empty() => vec![Ending::Failed],
        Cause::Budget | Cause::Freeze | Cause::Deadline | Cause::Pause { .. } => vec![by_failure],
        Cause::Abandon => unreachable!("answered above"),
    }
}

/// Journals of runs that go well, that stumble, and that turn.
fn journals(definition: &Arc<Definition>) -> Vec<Vec<Record>> {
    let stumbles: [fn(&Sim, usize, bool) -> Answer; 4] = [
        |_, _, _| Answer::Succeed,
        |sim, step, undo| {
            let attempts = if undo { sim.state.steps[step].undo.attempts } else { sim.state.steps[step].attempts };
            if attempts == 1 { Answer::Unknown } else { Answer::Succeed }
        },
        |sim, step, undo| match (undo, sim.state.steps[step].attempts) {
            (false, 1) => Answer::Fail,
            (false, 2) => Answer::Refuse,
            _ => Answer::Succeed,
        },
        |sim, step, undo| if !undo && step + 1 == sim.definition.steps.len() / 2 + 2 { Answer::FailForGood } else { Answer::Succeed },
    ];
    // The last one turns before a pivot, and is retried by an operator after it.
    let stumbles = stumbles.into_iter().map(|answers| {
        let mut sim = Sim::new(definition, OnFailure::Rollback);
        let mut failed_once = false;
        sim.settle(|sim, step, undo| match answers(sim, step, undo) {
            Answer::FailForGood if failed_once => Answer::Succeed,
            Answer::FailForGood => {
                failed_once = true;
                Answer::FailForGood
            }
            other => other,
        });
        sim.journal()
    });
    stumbles.collect()
}

#[test]
fn every_cause_at_every_journal_position_ends_as_the_first_cause_says() {
    let mut cases = 0;
    for definition in sagas::all() {
        for journal in journals(&definition) {
            for n in 0..journal.len() {
                for cause in CAUSES {
                    for open in OPEN {
                        let mut sim = Sim::from_journal(&definition, OnFailure::Rollback, &journal[..n]);
                        if sim.rules.all_done() {
                            continue; // Its end stands in the same commit.
                        }
                        strike(&mut sim, cause, open);
                        cases += 1;
                    }
                }
            }
        }
    }
    println!("cases: {cases}");
    assert!(cases > 4_000, "the enumeration has shrunk to {cases} cases");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sibling {
    NotStarted,
    Open,
    Waiting,
    Succeeded,
    Failed,
    Unknown,
}

const SIBLINGS: [Sibling; 6] =
    [Sibling::NotStarted, Sibling::Open, Sibling::Waiting, Sibling::Succeeded, Sibling::Failed, Sibling::Unknown];

/// Brings every earlier stage to its end and each step of `stage` into the state that `siblings` gives it.
fn with_siblings(definition: &Arc<Definition>, stage: usize, siblings: &[Sibling]) -> Sim {
    let mut sim = Sim::new(definition, OnFailure::Rollback);
    sim.record(Event::RunStarted);
    let start = |sim: &mut Sim, step: usize| {
        let event = Event::StepStarted { step: definition.steps[step].name.clone(), attempt: 1, forgiven: 0, unsure: false };
        sim.record(event);
    };
    for step in (0..definition.steps.len()).filter(|s| definition.steps[*s].stage < stage) {
        start(&mut sim, step);
        sim.answer(step, false, Answer::Succeed);
    }
    let members = (0..definition.steps.len()).filter(|s| definition.steps[*s].stage == stage);
    for (step, sibling) in members.zip(siblings) {
        let answer = match sibling {
            Sibling::NotStarted => continue,
            Sibling::Open => None,
            Sibling::Waiting => Some(Answer::Fail),
            Sibling::Succeeded => Some(Answer::Succeed),
            Sibling::Failed => Some(Answer::FailForGood),
            Sibling::Unknown => Some(Answer::Unknown),
        };
        start(&mut sim, step);
        if let Some(answer) = answer {
            sim.answer(step, false, answer);
        }
    }
    sim
}

#[test]
fn every_cause_with_each_sibling_in_every_state_keeps_the_rules() {
    let mut cases = 0;
    for definition in sagas::all() {
        let last = definition.steps.last().map_or(0, |s| s.stage);
        for stage in 0..=last {
            let width = u32::try_from(definition.steps.iter().filter(|s| s.stage == stage).count()).unwrap();
            for n in 0..6_usize.pow(width) {
                let siblings: Vec<Sibling> = (0..width).map(|w| SIBLINGS[n / 6_usize.pow(w) % 6]).collect();
                if stage == last && siblings.iter().all(|s| *s == Sibling::Succeeded) {
                    continue; // Its end stands in the same commit.
                }
                for cause in CAUSES {
                    for open in OPEN {
                        let mut sim = with_siblings(&definition, stage, &siblings);
                        // A sibling that has failed for good is the first cause, before any other.
                        if siblings.contains(&Sibling::Failed) {
                            sim.advance();
                        }
                        strike(&mut sim, cause, open);
                        cases += 1;
                    }
                }
            }
        }
    }
    println!("cases: {cases}");
    assert!(cases > 10_000, "the enumeration has shrunk to {cases} cases");
}

#[test]
fn a_pivot_that_may_have_happened_is_asked_again_until_it_is_decided() {
    for between in [Answer::Unknown, Answer::Refuse, Answer::Fail] {
        for cause in [Verb::Cancel, Verb::Retry] {
            let definition = sagas::named("after-pivot");
            let mut sim = Sim::new(&definition, OnFailure::Rollback);
            let mut asked = 0;
            let mut requested = false;
            let ending = loop {
                let wake = sim.advance();
                if let Some(ending) = sim.rules.ended {
                    break ending;
                }
                match sim.open().first().copied() {
                    Some((2, false)) => {
                        asked += 1;
                        let answer = match asked {
                            1 => Answer::Unknown,
                            // Ten times is more than its three attempts, and more than its deadline.
                            2..=10 => between,
                            _ => Answer::Succeed,
                        };
                        sim.answer(2, false, answer);
                        sim.now = sim.now + definition.deadline / 4;
                        if asked == 2 && !requested {
                            requested = true;
                            sim.request(cause);
                        }
                    }
                    Some((step, undo)) => sim.answer(step, undo, Answer::Succeed),
                    None => sim.now = sim.now.max(wake.unwrap_or_else(|| panic!("silent\n{}", sim.rules.story()))),
                }
            };
            assert_eq!((ending, asked), (Ending::Succeeded, 11), "{between:?} {cause:?}\n{}", sim.rules.story());
        }
    }
}

#[test]
fn a_run_that_nobody_claimed_in_time_fails_without_having_started() {
    for definition in sagas::all() {
        let mut sim = Sim::new(&definition, OnFailure::Rollback);
        sim.now = sim.now + definition.start_within;
        let ending = sim.settle(|_, _, _| Answer::Succeed);
        if definition.pivot == Pivot::Start {
            assert_eq!(ending, Ending::Succeeded, "forward-only");
        } else {
            assert_eq!((ending, sim.rules.turned.clone(), sim.journal().len()), (Ending::Failed, Some(Turn::NotStarted), 2));
        }
    }
}
