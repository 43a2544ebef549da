use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::Principal;

const T0: Time = Time::from_micros(1_800_000_000_000_000);

fn denial(who: u128, action: &str, what: u128) -> Denial {
    let caller = Caller {
        principal: Principal { kind: PrincipalKind::User, id: Uuid::from_u128(who) },
        on_behalf_of: None,
        workspace: None,
        credential_id: None,
        source_ip: None,
        user_agent: None,
        request_id: "r".to_owned(),
        traceparent: None,
    };
    let targets = vec![Target { kind: "workspace".to_owned(), id: Uuid::from_u128(what) }];
    Denial { caller, action: action.to_owned(), targets, problem_type: "/problems/not_found".to_owned() }
}

fn at(seconds: u64) -> Time {
    T0 + Duration::from_secs(seconds)
}

fn counts(told: &[Told]) -> Vec<(u64, bool)> {
    told.iter().map(|t| (t.counted.count, t.counted.at_once)).collect()
}

#[test]
fn the_first_is_told_at_once_and_equal_ones_of_a_minute_as_one() {
    let mut book = Book::default();
    assert_eq!(counts(&book.note(denial(1, "workspace.read", 1), at(0))), [(1, true)]);
    for second in [1, 30, 59] {
        assert_eq!(counts(&book.note(denial(1, "workspace.read", 1), at(second))), []);
    }
    assert_eq!(counts(&book.due(at(59))), []);
    let told = book.due(at(60));
    assert_eq!((told[0].counted, told.len()), (Counted { count: 3, from: at(1), to: at(59), at_once: false }, 1));
    assert_eq!(book.size(), (0, 0, 0), "nothing is kept of what was told");
    assert_eq!(counts(&book.note(denial(1, "workspace.read", 1), at(61))), [(1, true)], "after it, the next is a first again");
    assert_eq!(counts(&book.due(at(121))), [], "a minute without another is told nothing of");
}

#[test]
fn denials_of_another_caller_action_or_target_are_other_denials() {
    let mut book = Book::default();
    for (who, action, what) in [(1, "workspace.read", 1), (2, "workspace.read", 1), (1, "run.cancel", 1), (1, "workspace.read", 2)] {
        assert_eq!(counts(&book.note(denial(who, action, what), at(0))), [(1, true)]);
    }
}

/// Catches a count that waits for the loop: a denial after the minute's end is a first, and what was counted comes before.
#[test]
fn a_minute_that_has_ended_is_told_by_the_next_denial_of_its_kind() {
    let mut book = Book::default();
    let _ = book.note(denial(1, "workspace.read", 1), at(0));
    let _ = book.note(denial(1, "workspace.read", 1), at(10));
    assert_eq!(counts(&book.note(denial(1, "workspace.read", 1), at(70))), [(1, false), (1, true)]);
    let _ = book.note(denial(1, "workspace.read", 1), at(80));
    assert_eq!(counts(&book.due(at(100))), [], "the new minute has its own end");
    assert_eq!(counts(&book.due(at(130))), [(1, false)]);
}

#[test]
fn a_process_that_stops_tells_what_it_counted() {
    let mut book = Book::default();
    for what in [1, 1, 1, 2] {
        let _ = book.note(denial(1, "workspace.read", what), at(0));
    }
    assert_eq!(counts(&book.all()), [(2, false)]);
    assert_eq!(book.size(), (0, 0, 0));
}

#[test]
fn what_could_not_be_written_is_counted_with_the_next() {
    let mut book = Book::default();
    let first = book.note(denial(1, "workspace.read", 1), at(0)).remove(0);
    book.put_back(first, at(0));
    let _ = book.note(denial(1, "workspace.read", 1), at(5));
    let summary = book.due(at(60)).remove(0);
    assert_eq!(summary.counted, Counted { count: 2, from: at(0), to: at(5), at_once: false });
    book.put_back(summary, at(61));
    assert_eq!(counts(&book.due(at(121))), [(2, false)], "and tried again a minute later");
}

/// A caller who names a thousand things is told of a hundred times, and then as one number.
#[test]
fn one_caller_cannot_fill_the_log() {
    let mut book = Book::default();
    let told: usize = (0..1000).map(|what| book.note(denial(1, "workspace.read", what), at(0)).len()).sum();
    assert_eq!(told, 100);
    assert_eq!(counts(&book.note(denial(2, "workspace.read", 1), at(0))), [(1, true)], "another caller is not affected");
    let rest = book.due(at(60));
    assert_eq!(counts(&rest), [(900, false)]);
    let many = rest[0].denial.as_ref().unwrap();
    assert_eq!((many.action.as_str(), many.targets.len(), many.caller.principal.id), (MANY, 0, Uuid::from_u128(1)));
}

#[test]
fn many_callers_cannot_fill_the_memory() {
    let mut book = Book::default();
    for who in 0..50_000 {
        let _ = book.note(denial(who, "workspace.read", 1), at(0));
        let _ = book.note(denial(who, "workspace.read", 2), at(0));
    }
    let (open, ends, kinds) = book.size();
    assert!(open <= 20_001 && ends <= 20_001 && kinds <= 10_000, "{open} {ends} {kinds}");
    let told = book.due(at(60));
    assert_eq!(told.iter().map(|t| t.counted.count).sum::<u64>() + 10_000, 100_000, "every one is counted");
    assert_eq!(told.iter().filter(|t| t.denial.is_none()).count(), 1);
    assert_eq!(book.size(), (0, 0, 0));
}
