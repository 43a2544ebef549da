use rstest::rstest;
use saga::Time;
use serde_json::json;
use uuid::uuid;

use super::*;
use crate::audit::chain::tests::{chain, draft};
use crate::audit::{Link, Personal, seal};

const ELSEWHERE: Uuid = uuid!("0f1c9a52-0b1d-4c7e-9d58-3a2b1c0d9e42");

/// The lines of a workspace's export: entries 2 and 5 are another workspace's, and only their links are told.
fn export() -> Vec<String> {
    let entries = chain(6);
    let account = entries[0].account_id;
    let mut lines = vec![json!({"type": "workspace", "record": {"id": Uuid::nil(), "account_id": account}}).to_string()];
    for entry in entries {
        let (kind, record) = match entry.seq {
            2 | 5 => ("audit_link", json!(Link::of(&entry))),
            _ => ("audit_entry", json!(entry)),
        };
        lines.push(json!({"type": kind, "record": record}).to_string());
    }
    lines.push(json!({"type": "end", "rows": 7, "sha256": "0".repeat(64)}).to_string());
    lines
}

fn proven(mut verifier: Verifier, lines: &[String]) -> Result<Verified, FirstBad> {
    let mut accounts: Vec<Uuid> = lines.iter().filter_map(|line| account_in(line.as_bytes())).collect();
    accounts.dedup();
    verifier = verifier.among(accounts);
    for line in lines {
        verifier.line(line.as_bytes())?;
    }
    verifier.finish()
}

/// A record with another field.
fn within(line: &str, field: &str) -> String {
    line.replacen("\"record\":{", &format!("\"record\":{{{field}"), 1)
}

fn first_bad(lines: &[String]) -> u64 {
    proven(Verifier::new(), lines).unwrap_err().seq
}

#[test]
fn a_workspaces_export_is_proven_with_the_links_of_what_it_does_not_hold() {
    let verified = proven(Verifier::new(), &export()).unwrap();
    assert_eq!((verified.entries, verified.links, verified.first, verified.is_ended), (4, 2, Some(1), true));
    assert_eq!(verified.last.unwrap().to_string(), format!("6:{}", chain(6)[5].hash));
}

#[test]
fn entries_prove_themselves_without_a_word_of_what_they_are() {
    let lines: Vec<String> = chain(3).iter().map(|e| serde_json::to_string(e).unwrap()).collect();
    assert_eq!(proven(Verifier::new(), &lines).unwrap().entries, 3);
    assert_eq!(verify(&chain(5)), Ok(()));
    assert_eq!(verify(&chain(5)[2..]), Ok(()), "an excerpt verifies from where it begins");
    assert_eq!(proven(Verifier::of_excerpt(), &export()[5..]).unwrap().entries, 1, "so does one that begins with a link");
}

/// Every byte of an entry's line and of a link's, one bit at a time: whatever it does to what the line says, it is named.
#[test]
fn no_bit_can_be_flipped_unnoticed() {
    let says = |line: &[u8]| serde_json::from_slice::<Value>(line).ok().map(|mut line| line["record"].take());
    let lines = export();
    let (mut verifier, mut flips) = (Verifier::new().among(vec![chain(1)[0].account_id]), 0);
    for (number, line) in lines.iter().enumerate().take(4) {
        for (at, bit) in (0..line.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))).filter(|_| number >= 2) {
            let mut bytes = line.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let mut flipped = verifier.clone();
            let found = flipped.line(&bytes).and_then(|()| flipped.line(lines[number + 1].as_bytes()));
            match found {
                // A flip of `seq` names the entry that it pretends to be, which stands in the wrong place.
                Err(bad) => assert!(bad.seq == u64::try_from(number).unwrap() || says(&bytes).is_some_and(|r| r["seq"] == bad.seq)),
                // `1E21` is `1e21`.
                Ok(()) => assert_eq!(says(&bytes), says(line.as_bytes()), "line {number}, byte {at}, bit {bit}"),
            }
            flips += 1;
        }
        verifier.line(line.as_bytes()).unwrap();
    }
    assert!(flips > 10_000, "{flips}");
}

#[rstest]
#[case::a_row_removed(|l: &mut Vec<String>| { l.remove(3); }, 3)]
#[case::a_link_removed(|l: &mut Vec<String>| { l.remove(2); }, 2)]
#[case::the_head_cut_off(|l: &mut Vec<String>| { l.drain(1..=3); }, 1)]
#[case::a_pair_swapped(|l: &mut Vec<String>| l.swap(3, 4), 3)]
#[case::a_row_repeated(|l: &mut Vec<String>| { let again = l[3].clone(); l.insert(4, again); }, 3)]
#[case::an_entry_told_as_a_link_of_another(|l: &mut Vec<String>| l[3] = l[2].replace("\"seq\":2", "\"seq\":3"), 3)]
#[case::a_line_cut_short(|l: &mut Vec<String>| l[3].truncate(40), 3)]
#[case::a_field_slipped_in(|l: &mut Vec<String>| l[3] = within(&l[3], "\"note\":\"harmless\","), 3)]
#[case::a_field_given_twice(|l: &mut Vec<String>| l[3] = within(&l[3], "\"action\":\"workspace.read\","), 3)]
#[case::a_field_taken_away(|l: &mut Vec<String>| l[3] = l[3].replace("\"step\":null,", ""), 3)]
#[case::a_word_beside_a_personal_value(|l: &mut Vec<String>| l[3] = l[3].replace("\"reason\":{", "\"reason\":{\"by\":1,"), 3)]
#[case::a_word_in_a_link(|l: &mut Vec<String>| l[2] = within(&l[2], "\"by\":1,"), 2)]
#[case::an_entry_disguised_as_another_section(|l: &mut Vec<String>| l[3] = l[3].replace("audit_entry", "membership"), 3)]
fn the_first_bad_entry_of_an_export_is_named(#[case] change: fn(&mut Vec<String>), #[case] seq: u64) {
    let mut lines = export();
    let whole = lines.clone();
    change(&mut lines);
    assert_ne!(lines, whole, "the case changes something");
    assert_eq!(first_bad(&lines), seq);
}

#[rstest]
#[case::content(|e: &mut Vec<Entry>| e[2].action = "workspace.delete".to_owned(), 3)]
#[case::nested_content(|e: &mut Vec<Entry>| e[2].after = Some(json!({"a": 2.5})), 3)]
#[case::a_personal_value(|e: &mut Vec<Entry>| e[2].reason.as_mut().unwrap().value = Some("another note".to_owned()), 3)]
#[case::a_personal_value_half_erased(|e: &mut Vec<Entry>| e[2].reason.as_mut().unwrap().key = None, 3)]
#[case::a_personal_value_taken_away(|e: &mut Vec<Entry>| e[2].reason = None, 3)]
#[case::a_hash(|e: &mut Vec<Entry>| e[2].hash = "0".repeat(64), 3)]
#[case::an_entry_lost(|e: &mut Vec<Entry>| { e.remove(2); }, 3)]
#[case::two_entries_swapped(|e: &mut Vec<Entry>| e.swap(1, 2), 2)]
#[case::the_first_one_replaced(|e: &mut Vec<Entry>| e[0] = seal(&draft(), 1, Time::from_micros(1), &[7; 32]).0, 1)]
#[case::one_resealed_without_its_followers(
    |e: &mut Vec<Entry>| e[2] = seal(&draft(), 3, Time::from_micros(1), &unhex(&e[1].hash).unwrap()).0, 4
)]
#[case::another_accounts_entry(|e: &mut Vec<Entry>| {
    let draft = crate::audit::Draft { account_id: ELSEWHERE, ..draft() };
    e[2] = seal(&draft, 3, Time::from_micros(1), &unhex(&e[1].hash).unwrap()).0;
}, 3)]
fn a_changed_chain_is_bad_from_the_change_on(#[case] change: fn(&mut Vec<Entry>), #[case] seq: u64) {
    let mut entries = chain(5);
    change(&mut entries);
    assert_eq!(verify(&entries).unwrap_err().seq, seq);
}

#[test]
fn erased_personal_values_break_no_chain() {
    let mut entries = chain(3);
    entries[1].source_ip = entries[1].source_ip.as_ref().map(Personal::erased);
    entries[1].reason = entries[1].reason.as_ref().map(Personal::erased);
    assert!(!serde_json::to_string(&entries[1]).unwrap().contains("192.0.2.7"));
    assert_eq!(verify(&entries), Ok(()));
}

/// What a chain cannot tell by itself: that its end was cut off, or that all of it was written anew.
#[test]
fn who_remembers_a_place_sees_a_tail_cut_off_and_a_history_rewritten() {
    let lines: Vec<String> = chain(5).iter().map(|e| serde_json::to_string(e).unwrap()).collect();
    let known: Place = format!("5:{}", chain(5)[4].hash).parse().unwrap();
    assert!(proven(Verifier::new().expecting(known), &lines).is_ok());
    assert_eq!(proven(Verifier::new().expecting(known), &lines[..3]).unwrap_err().seq, 4);
    assert!(proven(Verifier::new(), &lines[..3]).is_ok(), "without it, nothing is missing");

    let mut previous = [0; 32];
    let rewritten = (1..=5).map(|seq| {
        let (entry, hash) = seal(&crate::audit::Draft { step: Some("x".to_owned()), ..draft() }, seq, Time::from_micros(1), &previous);
        previous = hash;
        serde_json::to_string(&entry).unwrap()
    });
    let rewritten: Vec<String> = rewritten.collect();
    assert!(proven(Verifier::new(), &rewritten).is_ok());
    assert_eq!(proven(Verifier::new().expecting(known), &rewritten).unwrap_err().seq, 5);

    let second: Place = format!("2:{}", chain(5)[1].hash).parse().unwrap();
    assert_eq!(proven(Verifier::after(second), &lines[2..]).unwrap().first, Some(3), "and goes on from there");
    assert_eq!(proven(Verifier::after(second), &lines[3..]).unwrap_err().seq, 3);
    assert!("2".parse::<Place>().is_err() && "2:AB".parse::<Place>().is_err());
}
