//! What a definition file may not say, and how it is told: line, column, and what is right.

use rstest::rstest;
use saga::definition::load_checked;

use crate::{GOOD, edited};

const CODE: &[(&str, Option<&str>)] = &[("dig", Some("fill")), ("build", Some("raze")), ("look", None), ("open", None), ("announce", None)];

fn complaint(text: &str) -> String {
    match load_checked("f", text, CODE) {
        Ok(_) => "accepted".to_owned(),
        Err(e) => e.to_string(),
    }
}

#[rstest]
// Keys.
#[case::unknown_top_key(
    "version: 2",
    "version: 2\nretries: 1",
    "f:5:1: unknown key `retries`: a saga definition has `saga`, `version`, `start_within`, `deadline`, `hold_for`, `pivot`, `defaults`, `stages`"
)]
#[case::unknown_defaults_key(
    "  timeout: 5s\n",
    "  timeout: 5s\n  time: 5s\n",
    "f:10:3: unknown key `time`: `defaults` has `timeout`, `undo_timeout`, `undo_for`, `retry`, `undo_retry`"
)]
#[case::unknown_retry_key("attempts: 8,", "attempts: 8, tries: 3,", "f:12:25: unknown key `tries`: `retry` has `attempts`, `first`, `max`")]
#[case::unknown_step_key(
    "    undo: fill",
    "    undo: fill\n    undone: fill",
    "f:18:5: unknown key `undone`: a step has `name`, `do`, `with`, `undo`, `timeout`, `undo_timeout`, `undo_for`, `retry`, `undo_retry`, `pivot`"
)]
#[case::unknown_key_beside_parallel(
    "  - parallel:",
    "  - timeout: 5s\n    parallel:",
    "f:18:5: unknown key `timeout`: a parallel stage has `parallel`"
)]
#[case::unknown_undo_key(
    "{ none: reads only }",
    "{ because: reads only }",
    "f:22:13: unknown key `because`: an `undo` without code has `none`"
)]
#[case::repeated_top_key(
    "deadline: 30m",
    "deadline: 30m\ndeadline: 31m",
    "f:7:1: the key `deadline` stands here a second time: remove one"
)]
#[case::repeated_step_key(
    "    undo: fill",
    "    undo: fill\n    undo: fill",
    "f:18:5: the key `undo` stands here a second time: remove one"
)]
#[case::repeated_key_in_with("side: a,", "side: a, side: b,", "f:19:53: the key `side` stands here a second time: remove one")]
#[case::missing_saga("saga: make-thing\n", "", "f:3:1: the key `saga` is missing: write for example `saga: create-workspace`")]
#[case::missing_version("version: 2\n", "", "f:3:1: the key `version` is missing: write for example `version: 1`")]
#[case::missing_start_within("start_within: 1h\n", "", "f:3:1: the key `start_within` is missing: write for example `start_within: 1h`")]
#[case::missing_deadline("deadline: 30m\n", "", "f:3:1: the key `deadline` is missing: write for example `deadline: 30m`")]
#[case::missing_hold_for("hold_for: 7d\n", "", "f:3:1: the key `hold_for` is missing: write for example `hold_for: 7d`")]
#[case::missing_default_timeout("  timeout: 5s\n", "", "f:9:3: the key `timeout` is missing: write for example `timeout: 5s`")]
#[case::missing_default_undo_timeout(
    "  undo_timeout: 6s\n",
    "",
    "f:9:3: the key `undo_timeout` is missing: write for example `undo_timeout: 5s`"
)]
#[case::missing_default_undo_for("  undo_for: 24h\n", "", "f:9:3: the key `undo_for` is missing: write for example `undo_for: 24h`")]
#[case::missing_default_retry(
    "  retry: { attempts: 8, first: 200ms, max: 10s }\n",
    "",
    "f:9:3: the key `retry` is missing: write for example `retry: { attempts: 8, first: 200ms, max: 10s }`"
)]
#[case::missing_default_attempts("attempts: 8, ", "", "f:12:10: the key `attempts` is missing: write for example `attempts: 8`")]
#[case::missing_default_first("first: 200ms, ", "", "f:12:10: the key `first` is missing: write for example `first: 200ms`")]
#[case::missing_default_max(", max: 10s", "", "f:12:10: the key `max` is missing: write for example `max: 10s`")]
#[case::missing_default_undo_retry(
    "  undo_retry: { first: 300ms, max: 5m }\n",
    "",
    "f:9:3: the key `undo_retry` is missing: write for example `undo_retry: { first: 200ms, max: 5m }`"
)]
#[case::missing_default_undo_first("first: 300ms, ", "", "f:13:15: the key `first` is missing: write for example `first: 200ms`")]
#[case::missing_do(
    "  - do: dig\n    undo: fill\n",
    "  - undo: fill\n",
    "f:16:5: the key `do` is missing: write for example `do: create-environments`"
)]
// Values.
#[case::duration_without_unit(
    "timeout: 5m,",
    "timeout: 5,",
    "f:19:87: `timeout` must be a duration longer than nothing such as `200ms`, `5s`, `30m`, `24h` or `7d`, but `5` stands here"
)]
#[case::duration_of_nothing(
    "deadline: 30m",
    "deadline: 0s",
    "f:6:11: `deadline` must be a duration longer than nothing such as `200ms`, `5s`, `30m`, `24h` or `7d`, but `0s` stands here"
)]
#[case::duration_with_a_fraction(
    "deadline: 30m",
    "deadline: 1.5h",
    "f:6:11: `deadline` must be a duration longer than nothing such as `200ms`, `5s`, `30m`, `24h` or `7d`, but `1.5h` stands here"
)]
#[case::duration_with_a_space(
    "deadline: 30m",
    "deadline: 30 m",
    "f:6:11: `deadline` must be a duration longer than nothing such as `200ms`, `5s`, `30m`, `24h` or `7d`, but `30 m` stands here"
)]
#[case::duration_beyond_counting(
    "deadline: 30m",
    "deadline: 99999999999999999999d",
    "f:6:11: `deadline` must be a duration longer than nothing such as `200ms`, `5s`, `30m`, `24h` or `7d`, but `99999999999999999999d` stands here"
)]
#[case::duration_left_out(
    "deadline: 30m",
    "deadline:",
    "f:6:9: `deadline` must be a duration longer than nothing such as `200ms`, `5s`, `30m`, `24h` or `7d`, but nothing stands here"
)]
#[case::version_zero("version: 2", "version: 0", "f:4:10: `version` must be a whole number from 1, but `0` stands here")]
#[case::version_as_text("version: 2", "version: two", "f:4:10: `version` must be a whole number from 1, but `two` stands here")]
#[case::no_attempts("attempts: 3", "attempts: 0", "f:20:97: `attempts` must be a whole number from 1 or `unlimited`, but `0` stands here")]
#[case::endless_misspelt(
    "attempts: unlimited",
    "attempts: forever",
    "f:26:24: `attempts` must be a whole number from 1 or `unlimited`, but `forever` stands here"
)]
#[case::backoff_falling(
    "undo_retry: { max: 1m }",
    "undo_retry: { max: 1ms }",
    "f:20:121: `first` (300ms) is longer than `max` (1ms): the back-off grows from `first` to `max`"
)]
#[case::saga_name(
    "saga: make-thing",
    "saga: Make-Thing",
    "f:3:7: `saga` must be a name of lower-case letters, digits and hyphens that begins with a letter, but `Make-Thing` stands here"
)]
#[case::step_name(
    "name: wall-a",
    "name: wall_a",
    "f:19:17: `name` must be a name of lower-case letters, digits and hyphens that begins with a letter, but `wall_a` stands here"
)]
#[case::do_name(
    "do: dig",
    "do: 2dig",
    "f:16:9: `do` must be a name of lower-case letters, digits and hyphens that begins with a letter, but `2dig` stands here"
)]
#[case::undo_name(
    "undo: fill",
    "undo: Fill",
    "f:17:11: `undo` must be a name of lower-case letters, digits and hyphens that begins with a letter, but `Fill` stands here"
)]
#[case::undo_of_nothing(
    "undo: fill",
    "undo:",
    "f:17:9: `undo` must be a name of lower-case letters, digits and hyphens that begins with a letter, but nothing stands here"
)]
#[case::undo_without_reason(
    "{ none: reads only }",
    "{ none: '' }",
    "f:22:19: `none` must say in words why there is nothing to undo, but `` stands here"
)]
#[case::pivot_false(
    "    pivot: true",
    "    pivot: false\n    undo: { none: x }",
    "f:24:12: a step's `pivot` can only be `true`, but `false` stands here: leave it out otherwise"
)]
#[case::top_pivot_of_another_kind(
    "hold_for: 7d",
    "hold_for: 7d\npivot: open",
    "f:8:8: the saga's own `pivot` can only be `start`, but `open` stands here: a step is the pivot with `pivot: true`"
)]
#[case::defaults_not_a_map(
    "  retry: { attempts: 8, first: 200ms, max: 10s }",
    "  retry: 8",
    "f:12:10: `retry` is a map with `attempts`, `first`, `max`, but `8` stands here"
)]
// Shape.
#[case::step_that_is_a_word(
    "  - do: dig\n    undo: fill\n",
    "  - dig\n",
    "f:16:5: a step is a map with `name`, `do`, `with`, `undo`, `timeout`, `undo_timeout`, `undo_for`, `retry`, `undo_retry`, `pivot`, but `dig` stands here"
)]
#[case::step_that_is_empty(
    "  - do: dig\n    undo: fill\n",
    "  -\n",
    "f:16:4: a step is a map with `name`, `do`, `with`, `undo`, `timeout`, `undo_timeout`, `undo_for`, `retry`, `undo_retry`, `pivot`, but nothing stands here"
)]
#[case::parallel_that_is_empty(
    "  - do: dig\n    undo: fill\n",
    "  - parallel: []\n",
    "f:16:15: `parallel` must be a list of at least one step, but an empty list stands here"
)]
#[case::duplicate_name(
    "name: wall-b",
    "name: wall-a",
    "f:20:17: the step of line 19 is named `wall-a` too: give this one a `name` of its own"
)]
#[case::duplicate_name_by_action(
    "do: look",
    "do: dig",
    "f:21:9: the step of line 16 is named `dig` too: give this one a `name` of its own"
)]
#[case::no_undo_before_the_pivot(
    "    undo: fill\n",
    "",
    "f:16:5: `dig` can be taken back and has no `undo`: write `undo: NAME`, or `undo: { none: REASON }`"
)]
#[case::no_undo_in_parallel(
    ", undo: raze, timeout: 5m",
    ", timeout: 5m",
    "f:19:9: `wall-a` can be taken back and has no `undo`: write `undo: NAME`, or `undo: { none: REASON }`"
)]
#[case::two_pivots(
    "    undo: fill",
    "    undo: fill\n    pivot: true",
    "f:25:12: a saga has one pivot, and `dig` is it already: remove one of the two"
)]
#[case::pivot_in_parallel(
    ", timeout: 5m,",
    ", pivot: true, timeout: 5m,",
    "f:19:85: the pivot cannot be inside a parallel stage: give it a stage of its own"
)]
#[case::pivot_start_and_a_pivot(
    "hold_for: 7d",
    "hold_for: 7d\npivot: start",
    "f:25:12: line 8 says `pivot: start`, so that no step can be the pivot: remove one of the two"
)]
#[case::finite_after_the_pivot(
    "attempts: unlimited",
    "attempts: 5",
    "f:26:24: `announce` comes after the pivot, where a run only goes forward, and its attempts are finite: write `retry: {attempts: unlimited}`"
)]
#[case::inherited_finite_after_the_pivot(
    "  - do: announce\n    retry: { attempts: unlimited }\n",
    "  - do: announce\n",
    "f:25:5: `announce` comes after the pivot, where a run only goes forward, and its attempts, inherited from `defaults`, are finite: write `retry: {attempts: unlimited}`"
)]
#[case::undo_after_the_pivot(
    "  - do: announce\n",
    "  - do: announce\n    undo: withdraw\n",
    "f:26:5: `announce` comes after the pivot, so that its `undo` would never run: remove it"
)]
#[case::reasoned_undo_after_the_pivot(
    "  - do: announce\n",
    "  - do: announce\n    undo: { none: x }\n",
    "f:26:5: `announce` comes after the pivot, so that its `undo` would never run: remove it"
)]
#[case::undo_policy_without_undo(
    "{ none: reads only }",
    "{ none: reads only }\n    undo_timeout: 5s",
    "f:23:5: `undo_timeout` has no effect here, the step has no undo: remove it"
)]
#[case::unregistered_do("do: dig", "do: drill", "f:16:9: no code is registered for `do: drill`; known: dig, build, look, open, announce")]
#[case::wrong_undo("undo: fill", "undo: raze", "f:17:11: `dig` is undone by `fill`, not by `raze`: write `undo: fill`")]
#[case::undo_of_code_without_undo(
    "{ none: reads only }",
    "unlook",
    "f:22:11: `look` has no undo, and none is called `unlook`: write `undo: { none: REASON }`"
)]
#[case::alias(
    "undo_for: 2d }",
    "undo_for: &x 2d }\n      - *x",
    "f:20:9: an alias stands here: write the value out, nothing in a definition is computed"
)]
#[case::merge_key(
    "    undo: fill",
    "    undo: fill\n    <<: { timeout: 1s }",
    "f:18:5: unknown key `<<`: a step has `name`, `do`, `with`, `undo`, `timeout`, `undo_timeout`, `undo_for`, `retry`, `undo_retry`, `pivot`"
)]
#[case::tag("    undo: fill", "    undo: !mine fill", "f:17:17: unsupported tag `!mine`")]
#[case::broken_yaml("    undo: fill", "    undo: [fill", "f:18:13: illegal placement of ':' indicator")]
#[case::tab("    undo: fill", "\tundo: fill", "f:16:9: while scanning a plain scalar, found a tab")]
#[case::second_document(
    "deadline: 30m",
    "deadline: 30m\n---\na: b",
    "f:8:1: a definition file holds one document: remove this `---` and what follows"
)]
fn a_broken_rule_is_named_with_its_place_and_what_is_right(#[case] old: &str, #[case] new: &str, #[case] expected: &str) {
    assert_eq!(complaint(&edited(old, new)), expected);
}

#[rstest]
#[case::nothing(
    "",
    "f:1:1: a saga definition is a map with `saga`, `version`, `start_within`, `deadline`, `hold_for`, `pivot`, `defaults`, `stages`, but nothing stands here"
)]
#[case::comments_only(
    "# nothing\n",
    "f:2:1: a saga definition is a map with `saga`, `version`, `start_within`, `deadline`, `hold_for`, `pivot`, `defaults`, `stages`, but nothing stands here"
)]
#[case::a_list(
    "- a\n",
    "f:1:1: a saga definition is a map with `saga`, `version`, `start_within`, `deadline`, `hold_for`, `pivot`, `defaults`, `stages`, but a list stands here"
)]
#[case::nul("a\0b: c\n", "f:1:2: unexpected character: `\\u{0}'")]
fn a_file_that_is_no_definition_is_refused(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(complaint(text), expected);
}

#[test]
fn stages_must_hold_something() {
    let head = GOOD.split("stages:").next().unwrap();
    assert_eq!(
        complaint(&format!("{head}stages: []\n")),
        "f:14:9: `stages` must be a list of at least one step, but an empty list stands here"
    );
    assert_eq!(complaint(head), "f:3:1: the key `stages` is missing: write for example `stages: [{ do: … }]`");
}
