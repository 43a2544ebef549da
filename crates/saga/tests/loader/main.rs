//! What a definition file may say.

mod refused;

use std::time::Duration;

use saga::definition::diagram;
use saga::definition::{Backoff, Pivot, Retry, Undo, load};

/// Line 1 is the first comment.
const GOOD: &str = "\
# Makes a thing,
# or leaves nothing behind.
saga: make-thing
version: 2
start_within: 1h
deadline: 30m
hold_for: 7d
defaults:
  timeout: 5s
  undo_timeout: 6s
  undo_for: 24h
  retry: { attempts: 8, first: 200ms, max: 10s }
  undo_retry: { first: 300ms, max: 5m }
stages:
  # the ground
  - do: dig
    undo: fill
  - parallel:
      - { name: wall-a, do: build, with: { side: a, height: 3 }, undo: raze, timeout: 5m, undo_timeout: 4m, undo_for: 2d }
      - { name: wall-b, do: build, with: { side: b, height: 3 }, undo: raze, retry: { attempts: 3 }, undo_retry: { max: 1m } }
  - do: look
    undo: { none: reads only }
  - do: open
    pivot: true
  - do: announce
    retry: { attempts: unlimited }
";

/// `GOOD` with its one `old` replaced.
fn edited(old: &str, new: &str) -> String {
    assert_eq!(GOOD.matches(old).count(), 1, "the case must change one place: {old:?}");
    GOOD.replacen(old, new, 1)
}

#[test]
fn a_good_file_gives_every_value_that_it_says() {
    let d = load("f", GOOD).unwrap();
    assert_eq!((d.id.name.as_str(), d.id.version), ("make-thing", 2));
    assert_eq!(d.summary, "Makes a thing,\nor leaves nothing behind.");
    assert_eq!((d.start_within, d.deadline, d.hold_for), (Duration::from_hours(1), Duration::from_mins(30), Duration::from_hours(7 * 24)));
    assert_eq!(d.pivot, Pivot::Step(4));
    let shape: Vec<_> = d.steps.iter().map(|s| (s.name.as_str(), s.action.as_str(), s.stage)).collect();
    assert_eq!(
        shape,
        [
            ("dig", "dig", 0),
            ("wall-a", "build", 1),
            ("wall-b", "build", 1),
            ("look", "look", 2),
            ("open", "open", 3),
            ("announce", "announce", 4)
        ]
    );
    assert_eq!(d.steps[0].undo, Undo::Action("fill".into()));
    assert_eq!(d.steps[3].undo, Undo::None { reason: "reads only".into() });
    assert_eq!(d.steps[1].with, serde_json::json!({ "side": "a", "height": 3 }));
    assert_eq!(d.steps[0].with, serde_json::Value::Null);
    let (ms, s) = (Duration::from_millis, Duration::from_secs);
    assert_eq!((d.steps[0].timeout, d.steps[0].undo_timeout, d.steps[0].undo_for), (s(5), s(6), s(86_400)));
    assert_eq!((d.steps[1].timeout, d.steps[1].undo_timeout, d.steps[1].undo_for), (s(300), s(240), s(172_800)));
    assert_eq!(d.steps[0].retry, Retry { attempts: Some(8), backoff: Backoff { first: ms(200), max: s(10) } });
    assert_eq!(d.steps[0].undo_retry, Backoff { first: ms(300), max: s(300) });
}

#[test]
fn a_step_overrides_only_the_keys_it_gives() {
    let d = load("f", GOOD).unwrap();
    let (ms, s) = (Duration::from_millis, Duration::from_secs);
    assert_eq!(d.steps[2].retry, Retry { attempts: Some(3), backoff: Backoff { first: ms(200), max: s(10) } });
    assert_eq!(d.steps[2].undo_retry, Backoff { first: ms(300), max: s(60) });
    assert_eq!(d.steps[5].retry, Retry { attempts: None, backoff: Backoff { first: ms(200), max: s(10) } });
}

#[test]
fn the_digest_is_that_of_the_bytes_so_that_any_edit_shows() {
    let d = load("f", GOOD).unwrap();
    // sha256sum of the text above.
    assert_eq!(d.id.digest, "fde41ff5da1e63074561d5f92f6d580d0a3a5e4512244fb2a7423e1b39d05ace");
    assert_ne!(load("f", &edited("# the ground", "# the  ground")).unwrap().id.digest, d.id.digest);
}

#[test]
fn a_saga_can_have_no_pivot_or_be_forward_only() {
    let none = edited("    pivot: true\n  - do: announce\n    retry: { attempts: unlimited }\n", "    undo: { none: nothing }\n");
    assert_eq!(load("f", &none).unwrap().pivot, Pivot::None);
    let forward = "saga: a\nversion: 1\nstart_within: 1h\ndeadline: 1h\nhold_for: 1h\npivot: start\ndefaults: { timeout: 1s, undo_timeout: 1s, undo_for: 1h, \
                   retry: { attempts: unlimited, first: 1ms, max: 1s }, undo_retry: { first: 1ms, max: 1s } }\nstages: [{ do: a }]\n";
    let forward = load("f", forward).unwrap();
    assert_eq!((forward.pivot, &forward.steps[0].undo), (Pivot::Start, &Undo::None { reason: "comes after the pivot".into() }));
    assert_eq!(forward.summary, "");
}

#[test]
fn the_pivot_may_have_an_undo_for_attempts_that_were_lost() {
    let with_undo = edited("    pivot: true", "    undo: close\n    pivot: true");
    assert_eq!(load("f", &with_undo).unwrap().steps[4].undo, Undo::Action("close".into()));
}

#[test]
fn the_diagrams_show_stages_compensations_and_the_pivot() {
    let d = load("f", GOOD).unwrap();
    insta::assert_snapshot!("diagram_text", diagram::text(&d));
    insta::assert_snapshot!("diagram_mermaid", diagram::mermaid(&d));
}
