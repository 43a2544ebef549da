//! Golden journals: recorded from real runs of every released saga, replayed against today's engine.
//!
//! A run may be in flight while the binary is replaced, so a journal that one version wrote must fold to the same state in
//! the next, and its events must be read and written as they stand. To add one, record it from a real run.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use saga::definition::load;
use saga::machine::{fold, next};
use saga::ports::OnFailure;
use saga::{Definition, Record, RunState, Time};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Golden {
    saga: String,
    version: u32,
    digest: String,
    on_failure: OnFailure,
    created_at: Time,
    /// What the journal folds to, in words.
    state: Vec<String>,
    journal: Vec<Value>,
}

fn goldens() -> Vec<(String, Golden)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sagas/golden");
    let files = fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
    files.map(|f| (f.file_name().unwrap().display().to_string(), serde_json::from_slice(&fs::read(f).unwrap()).unwrap())).collect()
}

fn definition(of: &Golden) -> Definition {
    let all = domain::steps::DEFINITIONS.iter().map(|(file, text)| load(file, text).unwrap());
    all.into_iter().find(|d| (&d.id.name, d.id.version, &d.id.digest) == (&of.saga, of.version, &of.digest)).unwrap()
}

/// The state in lines that a person can compare.
fn words(definition: &Definition, state: &RunState) -> Vec<String> {
    let at = state.updated_at;
    let mut lines = vec![format!(
        "{:?}, ended {:?}, turned {:?}, left {:?}",
        state.state(definition, at),
        state.ended.map(|(e, _)| e),
        state.turned.as_ref().map(|(t, _)| (t.why(), t.step())),
        state.leftovers
    )];
    lines.extend(
        definition
            .steps
            .iter()
            .zip(&state.steps)
            .map(|(of, s)| format!("{}: {:?} after {}, undo {:?} after {}", of.name, s.phase, s.attempts, s.undo.phase, s.undo.attempts)),
    );
    lines
}

#[test]
fn every_recorded_journal_folds_to_the_state_it_had() {
    for (file, golden) in goldens() {
        let definition = definition(&golden);
        let records: Vec<Record> = golden.journal.iter().map(|r| Record::deserialize(r).unwrap()).collect();
        let state = fold(&definition, golden.created_at, golden.on_failure, &records);
        assert_eq!(words(&definition, &state), golden.state, "{file}");
        assert_eq!(next(&definition, &state, state.updated_at), [], "{file}: a run that has ended does nothing");
    }
}

#[test]
fn every_recorded_event_is_written_as_it_was() {
    for (file, golden) in goldens() {
        for recorded in &golden.journal {
            let record = Record::deserialize(recorded).unwrap();
            assert_eq!(&serde_json::to_value(&record).unwrap(), recorded, "{file}");
        }
    }
}

#[test]
fn every_released_saga_has_a_recorded_journal() {
    let recorded: BTreeSet<(String, u32)> = goldens().into_iter().map(|(_, g)| (g.saga, g.version)).collect();
    for (file, text) in domain::steps::DEFINITIONS {
        let id = load(file, text).unwrap().id;
        assert!(recorded.contains(&(id.name, id.version)), "{file} has none in sagas/golden");
    }
}
