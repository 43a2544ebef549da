//! Random schedules: outcomes in any order, requests and crashes at any time, tasks that do not return. Seeded, so that
//! a failure can be repeated; another seed or more cases are one edit away.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use saga::Event;
use saga::journal::Verb;
use saga::ports::OnFailure;

use crate::sagas;
use crate::sim::{Answer, Pause, Sim};

#[derive(Clone, Debug)]
enum Move {
    /// An open attempt, the n-th of those there are, comes to this.
    Ends(usize, Answer),
    Requests(Verb),
    /// Skips a stuck step, the n-th of those there are.
    Skips(usize),
    /// Sets a pause, of the run or of a step, or lifts it if it is there.
    Pauses(Pause),
    Passes(Duration),
    Crashes,
    /// An open attempt is given up, and its task stays.
    Lingers(usize),
    Returns,
}

fn moves() -> impl Strategy<Value = Move> {
    let answer = prop_oneof![
        6 => Just(Answer::Succeed),
        2 => Just(Answer::Fail),
        1 => Just(Answer::FailForGood),
        2 => Just(Answer::Unknown),
        1 => Just(Answer::Refuse),
    ];
    let verb = prop_oneof![
        1 => Just(Verb::Cancel),
        2 => Just(Verb::Retry),
        2 => Just(Verb::Park),
        3 => Just(Verb::Unpark),
    ];
    prop_oneof![
        20 => (0..4_usize, answer).prop_map(|(n, a)| Move::Ends(n, a)),
        3 => verb.prop_map(Move::Requests),
        1 => (0..4_usize).prop_map(Move::Skips),
        3 => (prop::option::of(0..4_usize), any::<bool>()).prop_map(|(step, undo)| Move::Pauses(Pause { step, undo })),
        6 => (0..2_000_u64).prop_map(|s| Move::Passes(Duration::from_secs(s))),
        2 => Just(Move::Crashes),
        1 => (0..4_usize).prop_map(Move::Lingers),
        2 => Just(Move::Returns),
    ]
}

fn play(sim: &mut Sim, next: &Move) {
    let open = sim.open();
    match next {
        Move::Ends(n, answer) if !open.is_empty() => {
            let (step, undo) = open[n % open.len()];
            sim.answer(step, undo, *answer);
        }
        Move::Requests(verb) => sim.request(*verb),
        Move::Skips(n) => {
            let stuck = sim.state.stuck_steps(&sim.definition);
            // A step whose own attempt is open is not done by hand meanwhile.
            let stuck: Vec<usize> = stuck.into_iter().filter(|s| !open.contains(&(*s, false)) && !open.contains(&(*s, true))).collect();
            if !stuck.is_empty() {
                let step = stuck[n % stuck.len()];
                if sim.rules.turned.is_some() == sim.rules.owed().contains(&step) {
                    sim.request(Verb::Skip);
                    sim.record(Event::Skipped { step: sim.definition.steps[step].name.clone() });
                    sim.busy.remove(&step);
                }
            }
        }
        Move::Pauses(pause) => sim.pauses = &sim.pauses ^ &BTreeSet::from([*pause]),
        Move::Passes(time) => sim.now = sim.now + *time,
        Move::Crashes => sim.crash(),
        Move::Lingers(n) if !open.is_empty() => {
            let (step, undo) = open[n % open.len()];
            sim.answer(step, undo, if undo { Answer::Fail } else { Answer::Unknown });
            sim.busy.insert(step);
            sim.record(Event::TaskNotReturned { step: sim.definition.steps[step].name.clone() });
        }
        Move::Returns if !sim.busy.is_empty() => {
            sim.busy.clear();
            sim.record(Event::Resumed { epoch: 2 });
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, rng_seed: RngSeed::Fixed(0xbe47), ..ProptestConfig::default() })]

    #[test]
    fn any_schedule_keeps_the_rules_and_ends(
        saga in 0..4_usize,
        hold in any::<bool>(),
        schedule in prop::collection::vec((moves(), any::<bool>()), 0..60),
    ) {
        let definition = sagas::all().swap_remove(saga);
        let mut sim = Sim::new(&definition, if hold { OnFailure::Hold } else { OnFailure::Rollback });
        for (next, commits) in &schedule {
            if sim.rules.ended.is_some() {
                break;
            }
            play(&mut sim, next);
            if *commits {
                sim.advance();
            }
        }
        if !sim.busy.is_empty() && sim.rules.ended.is_none() {
            sim.busy.clear();
            sim.record(Event::Resumed { epoch: 2 });
        }
        if sim.rules.ended.is_none() {
            sim.settle(|_, _, _| Answer::Succeed);
        }
    }
}
