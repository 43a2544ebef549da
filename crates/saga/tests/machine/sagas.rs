//! Sagas of every shape: with and without a pivot, with steps after it, forward-only, wide and narrow.

use std::sync::Arc;

use saga::Definition;
use saga::definition::load;

const HEAD: &str = "version: 1
start_within: 1h
hold_for: 7d
defaults: { timeout: 5s, undo_timeout: 5s, undo_for: 24h, retry: { attempts: 3, first: 1s, max: 10s }, undo_retry: { first: 1s, max: 5m } }
";

const BODIES: &[(&str, &str)] = &[
    (
        "no-pivot",
        "stages:
  - { do: a, undo: un-a }
  - parallel:
      - { name: b1, do: b, undo: un-b }
      - { name: b2, do: b, undo: un-b }
      - { name: b3, do: b, undo: { none: reads only } }
  - { do: c, undo: un-c }
",
    ),
    (
        "pivot-last",
        "stages:
  - { do: a, undo: un-a }
  - parallel:
      - { name: b1, do: b, undo: un-b }
      - { name: b2, do: b, undo: un-b }
      - { name: b3, do: b, undo: un-b }
  - { do: c, undo: { none: reads only } }
  - { do: d, pivot: true }
",
    ),
    (
        "after-pivot",
        "stages:
  - parallel:
      - { name: a1, do: a, undo: un-a }
      - { name: a2, do: a, undo: un-a }
  - { do: b, undo: un-b, pivot: true }
  - parallel:
      - { name: c1, do: c, retry: { attempts: unlimited } }
      - { name: c2, do: c, retry: { attempts: unlimited } }
  - { do: d, retry: { attempts: unlimited } }
",
    ),
    (
        "forward-only",
        "pivot: start
stages:
  - { do: a, retry: { attempts: unlimited } }
  - parallel:
      - { name: b1, do: b, retry: { attempts: unlimited } }
      - { name: b2, do: b, retry: { attempts: unlimited } }
",
    ),
];

pub fn all() -> Vec<Arc<Definition>> {
    BODIES.iter().map(|(name, body)| read(name, body)).collect()
}

pub fn named(name: &str) -> Arc<Definition> {
    let (name, body) = BODIES.iter().find(|(n, _)| *n == name).expect("a saga of this table");
    read(name, body)
}

pub fn read(name: &str, body: &str) -> Arc<Definition> {
    let deadline = if body.contains("deadline:") { "" } else { "deadline: 30m\n" };
    Arc::new(load(name, &format!("saga: {name}\n{HEAD}{deadline}{body}")).expect("a definition that loads"))
}
