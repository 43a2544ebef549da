//! What does not stand in our sources. The words are put together here, so that this file does not find itself.

use crate::{files_below, none, read};

/// Lines of all Rust sources, as `(place, line)`.
fn lines() -> Vec<(String, String)> {
    files_below("crates", &["rs"])
        .into_iter()
        .flat_map(|path| {
            read(&path).lines().enumerate().map(|(i, line)| (format!("{path}:{}", i + 1), line.to_owned())).collect::<Vec<_>>()
        })
        .collect()
}

fn findings(of: impl Fn(&str) -> bool) -> Vec<String> {
    lines().into_iter().filter(|(_, line)| of(line)).map(|(place, line)| format!("{place}: {}", line.trim())).collect()
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    let stubs = [concat!("unimple", "mented!("), concat!("to", "do!(")];
    let is_word = |line: &str, word: &str| {
        line.match_indices(word).any(|(at, _)| {
            let outside = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
            outside(line[..at].chars().next_back()) && outside(line[at + word.len()..].chars().next())
        })
    };
    none("something is marked as unfinished", &findings(|l| marks.iter().any(|m| is_word(l, m)) || stubs.iter().any(|s| l.contains(s))));
}

#[test]
fn exceptions_to_lints_carry_a_reason() {
    let (allow, expect) = (concat!("#[al", "low("), concat!("#[ex", "pect("));
    let inner = [concat!("#![al", "low("), concat!("#![ex", "pect(")];
    let sources = files_below("crates", &["rs"]);
    let mut found = Vec::new();
    for path in sources {
        let text = read(&path);
        for start in [allow, inner[0]] {
            found.extend(text.match_indices(start).map(|(at, _)| format!("{path}: {}", line_at(&text, at))));
        }
        for start in [expect, inner[1]] {
            for (at, _) in text.match_indices(start) {
                let attribute = &text[at..text[at..].find(")]").map_or(text.len(), |end| at + end)];
                if !attribute.contains("reason = \"") {
                    found.push(format!("{path}: {}", line_at(&text, at)));
                }
            }
        }
    }
    none("a lint is silenced without a reason (use `expect` with one)", &found);
}

fn line_at(text: &str, at: usize) -> &str {
    text[at..].lines().next().unwrap_or_default()
}

#[test]
fn no_test_is_left_out() {
    let ignored = concat!("#[ig", "nore");
    none("a test does not run", &findings(|l| l.trim_start().starts_with(ignored)));
}

#[test]
fn names_of_tests_are_sentences() {
    let prefix = concat!("fn te", "st_");
    none("a test's name begins with a prefix that says nothing", &findings(|l| l.contains(prefix)));
}

#[test]
fn types_are_not_named_after_nothing() {
    let endings = ["Manager", "Helper", "Helpers", "Util", "Utils"];
    none(
        "a type's name says nothing",
        &findings(|l| {
            let mut words = l.split_whitespace().skip_while(|w| !matches!(*w, "struct" | "enum" | "trait"));
            words.next();
            words.next().is_some_and(|name| {
                let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
                endings.iter().any(|e| name.ends_with(e))
            })
        }),
    );
}

/// The domain gets ids, time and randomness through ports: `clippy.toml` bans the clock everywhere, and this the rest.
#[test]
fn the_domain_makes_no_ids_and_throws_no_dice() {
    let banned = ["Uuid::new_v4", "Uuid::now_v7", "rand::", "tokio::", "std::fs", "std::net::Tcp", "Instant"];
    let found: Vec<String> = lines()
        .into_iter()
        .filter(|(place, line)| place.starts_with("crates/domain/src/") && banned.iter().any(|b| line.contains(b)))
        .map(|(place, line)| format!("{place}: {}", line.trim()))
        .collect();
    none("the domain does what a port is for", &found);
}

/// SQL is written in `store`, and only there; `testkit` makes test databases.
#[test]
fn sql_is_written_in_the_store() {
    let starts = ["select ", "insert into ", "update ", "delete from ", "create table "];
    let found: Vec<String> = lines()
        .into_iter()
        .filter(|(place, _)| !place.starts_with("crates/store/") && !place.starts_with("crates/testkit/") && !place.contains("/tests/"))
        .filter(|(_, line)| {
            line.split('"').skip(1).step_by(2).any(|text| {
                let text = text.to_lowercase();
                starts.iter().any(|s| text.starts_with(s))
                    && (text.contains(" where ") || text.contains(" from ") || text.contains(" values"))
            })
        })
        .map(|(place, line)| format!("{place}: {}", line.trim()))
        .collect();
    none("a statement stands outside the store", &found);
}
