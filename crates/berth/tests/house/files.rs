//! A file is short enough to be read in one go: 400 lines, 600 at the very most.

use crate::{files_below, none, read};

const AIM: usize = 400;
const END: usize = 600;

/// Files that are longer than the aim, with their length when they were listed. The list may only shrink: a file that
/// grows past its number fails, as does one that is here without need.
const LONGER: &[(&str, usize)] = &[];

fn sources() -> impl Iterator<Item = (String, usize)> {
    let mut paths = files_below("crates", &["rs", "sql"]);
    paths.extend(files_below("migrations", &["sql"]));
    paths.extend(files_below("scripts", &["sh"]));
    paths.extend(files_below("sagas", &["yaml"]));
    paths.into_iter().map(|path| {
        let lines = read(&path).lines().count();
        (path, lines)
    })
}

#[test]
fn no_file_is_longer_than_it_may_be() {
    let findings: Vec<String> = sources()
        .filter_map(|(path, lines)| {
            let most = LONGER.iter().find(|(p, _)| *p == path).map_or(AIM, |(_, n)| *n).min(END);
            (lines > most).then(|| format!("{path}: {lines} lines, {most} at most"))
        })
        .collect();
    none("a file is too long: cut it where a second purpose begins", &findings);
}

#[test]
fn the_list_of_longer_files_only_shrinks() {
    let findings: Vec<String> = LONGER
        .iter()
        .filter(|(path, _)| sources().find(|(p, _)| p == path).is_none_or(|(_, lines)| lines <= AIM))
        .map(|(path, _)| format!("{path} is not longer than {AIM} lines: take it off the list"))
        .collect();
    none("an exception is no longer needed", &findings);
}

#[test]
fn names_of_files_and_folders_say_what_is_in_them() {
    let empty = ["util", "utils", "common", "helper", "helpers", "manager", "misc", "shared", "stuff"];
    let findings: Vec<String> = files_below("crates", &["rs"])
        .into_iter()
        .chain(files_below("scripts", &["sh"]))
        .filter(|path| path.split(['/', '.']).any(|part| empty.contains(&part)))
        .collect();
    none("a name says nothing", &findings);
}

#[test]
fn every_module_begins_with_what_it_is_for() {
    let of_its_own = |path: &String| path.contains("/src/") && !path.ends_with("/tests.rs");
    let findings: Vec<String> =
        files_below("crates", &["rs"]).into_iter().filter(of_its_own).filter(|path| !read(path).starts_with("//! ")).collect();
    none("a module has no `//!` at its top", &findings);
}
