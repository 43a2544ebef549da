//! The saga definitions of this binary, and the commands that check and show them.
//!
//! Files are embedded. `sagas/released.lock` pins the digest of each that has been released: such a file is never
//! edited, because runs of it may be alive; the next version goes beside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use domain::steps::DEFINITIONS;
use saga::Definition;
use saga::definition::{diagram, load};

use crate::failure::Failure;

const RELEASED: &str = include_str!("../../../sagas/released.lock");

/// All definitions: those built in and, if given, those of a folder.
///
/// # Errors
/// A file that breaks a rule, with its line and column; a folder that cannot be read.
pub fn definitions(besides: Option<&Path>) -> Result<Vec<Definition>, Failure> {
    let mut all = Vec::new();
    for (file, text) in DEFINITIONS {
        all.push(read(file, text)?);
    }
    if let Some(folder) = besides {
        for path in yaml_files(folder)? {
            let text = std::fs::read_to_string(&path).map_err(|e| {
                Failure::new(format!("the saga file {} cannot be read: {e}. Mend it, or take it out of `dev.sagas`", path.display()))
            })?;
            let definition = read(&path.display().to_string(), &text)?;
            if all
                .iter()
                .any(|d: &Definition| d.id.name == definition.id.name && d.id.version == definition.id.version && d.id != definition.id)
            {
                return Err(Failure::new(format!(
                    "the saga file {} is another text of {} version {}, which is built in. Give it the next version",
                    path.display(),
                    definition.id.name,
                    definition.id.version
                )));
            }
            all.push(definition);
        }
    }
    Ok(all)
}

fn yaml_files(folder: &Path) -> Result<Vec<std::path::PathBuf>, Failure> {
    let unreadable = |e| Failure::new(format!("the folder of saga files {} cannot be read: {e}. Correct `dev.sagas`", folder.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(file: &str, text: &str) -> Result<Definition, Failure> {
    load(file, text).map_err(|e| {
        Failure::new(format!("the saga file {e}. Mend the file, then start again; `berth sagas check FILE` tells whether it is right"))
    })
}

/// Checks the embedded files against their pins, and `files`, if any, against the rules.
///
/// # Errors
/// The first file that breaks a rule; every released file that changed or is gone.
pub fn check(files: &[std::path::PathBuf]) -> Result<String, Failure> {
    let mut report = String::new();
    if files.is_empty() {
        let definitions = definitions(None)?;
        compare(&definitions, RELEASED)?;
        for d in &definitions {
            let _ = writeln!(report, "{} v{}: {} steps, {}", d.id.name, d.id.version, d.steps.len(), &d.id.digest[..12]);
        }
    }
    for path in files {
        let text = std::fs::read_to_string(path).map_err(|e| Failure::new(format!("{} cannot be read: {e}", path.display())))?;
        let d = read(&path.display().to_string(), &text)?;
        let _ = writeln!(report, "{}: {} v{}, {} steps", path.display(), d.id.name, d.id.version, d.steps.len());
    }
    Ok(report)
}

fn compare(definitions: &[Definition], pins: &str) -> Result<(), Failure> {
    let digests: BTreeMap<(String, u32), &str> =
        definitions.iter().map(|d| ((d.id.name.clone(), d.id.version), d.id.digest.as_str())).collect();
    let mut wrong = Vec::new();
    for line in pins.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.split_whitespace();
        let pin = (|| Some(((parts.next()?.to_owned(), parts.next()?.parse::<u32>().ok()?), parts.next()?)))();
        let Some((saga, digest)) = pin else {
            wrong.push(format!("sagas/released.lock: `{line}` is not NAME VERSION SHA256"));
            continue;
        };
        match digests.get(&saga) {
            Some(found) if *found == digest => {}
            Some(found) => wrong.push(format!(
                "{} v{} was released as {digest} and is now {found}: restore the file, and put the change into version {}",
                saga.0,
                saga.1,
                saga.1 + 1
            )),
            None => wrong.push(format!("{} v{} was released and is gone: runs of it may be alive; restore the file", saga.0, saga.1)),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::new(wrong.join("\n       "))) }
}

/// One line a definition, or only the distinct names.
///
/// # Errors
/// A broken file.
pub fn list(names: bool) -> Result<String, Failure> {
    let mut text = String::new();
    for d in definitions(None)? {
        let _ = if names { writeln!(text, "{}", d.id.name) } else { writeln!(text, "{} v{}  {}", d.id.name, d.id.version, d.summary) };
    }
    Ok(text)
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Format {
    Text,
    Mermaid,
    /// A page of the documentation with both in it.
    Markdown,
}

/// The newest version of a saga, drawn.
///
/// # Errors
/// There is no saga of that name.
pub fn show(name: &str, format: Format) -> Result<String, Failure> {
    let all = definitions(None)?;
    let definition = all.iter().filter(|d| d.id.name == name).max_by_key(|d| d.id.version).ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|d| d.id.name.as_str()).collect();
        Failure::new(format!("there is no saga called {name}. There are: {}", known.join(", ")))
    })?;
    Ok(match format {
        Format::Text => diagram::text(definition),
        Format::Mermaid => diagram::mermaid(definition),
        Format::Markdown => format!(
            "<!-- Generated by `berth sagas show`; `make generate` writes it anew. -->\n\n# {} v{}\n\n{}\n\n```mermaid\n{}\n```\n\n```text\n{}\n```\n",
            definition.id.name,
            definition.id.version,
            definition.summary,
            diagram::mermaid(definition).trim_end(),
            diagram::text(definition).trim_end()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_in_the_folder_is_built_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sagas");
        let files: Vec<String> =
            yaml_files(Path::new(folder)).unwrap().iter().map(|p| format!("sagas/{}", p.file_name().unwrap().display())).collect();
        assert_eq!(files, DEFINITIONS.iter().map(|(file, _)| (*file).to_owned()).collect::<Vec<_>>());
    }

    #[test]
    fn released_files_are_as_they_were_released() {
        check(&[]).unwrap();
    }

    #[test]
    fn every_definition_is_pinned() {
        for definition in definitions(None).unwrap() {
            let digest = &definition.id.digest;
            assert!(RELEASED.contains(digest), "{} is not in sagas/released.lock: {digest}", definition.id.name);
        }
    }

    #[test]
    fn a_released_file_that_changed_or_went_is_named() {
        let definitions = definitions(None).unwrap();
        let changed = compare(&definitions, "create-account 1 0000").unwrap_err().to_string();
        assert!(changed.contains("create-account v1 was released as 0000"), "{changed}");
        let gone = compare(&definitions, "create-nothing 3 0000").unwrap_err().to_string();
        assert!(gone.contains("create-nothing v3 was released and is gone"), "{gone}");
    }
}
