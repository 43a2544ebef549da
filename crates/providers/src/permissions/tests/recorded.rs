//! Answers of a real SpiceDB, kept in a file: the evaluator is held to them where there is none.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::generated::{Size, script};
use super::memory::Memory;
use super::script::{Act, Answer, difference, play};
use super::spicedb;
use crate::permissions::Embedded;
use crate::permissions::spicedb::SCHEMA;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/permissions/tests/recorded.json");
const SCRIPTS: u64 = 6;
const SIZE: Size = Size { rounds: 3, writes: 8, checks: 90, lookups: 20 };

#[derive(Serialize, Deserialize)]
pub struct Recording {
    /// What the answers are about; a changed schema asks for new ones.
    schema: String,
    pub scripts: Vec<Recorded>,
}

#[derive(Serialize, Deserialize)]
pub struct Recorded {
    pub acts: Vec<Act>,
    pub answers: Vec<Answer>,
}

pub fn recording() -> Recording {
    serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap()
}

/// A schema without its comments: one line each.
fn schema() -> String {
    let lines = SCHEMA.lines().map(|line| line.split("//").next().unwrap_or_default().trim()).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_evaluator_answers_as_spicedb_did() {
    let recording = recording();
    assert_eq!(recording.schema, schema(), "record again: scripts/record-permissions.sh");
    assert!(recording.scripts.len() >= 6);
    for (n, Recorded { acts, answers }) in recording.scripts.iter().enumerate() {
        let embedded = Embedded::new(Arc::new(Memory::default()));
        assert_eq!(difference(acts, answers, &embedded).await, None, "recorded script {n}");
    }
}

/// The recording itself: made by `scripts/record-permissions.sh`, and otherwise found to be what SpiceDB still says.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the script that records says so in the environment")]
async fn the_recorded_answers_are_spicedbs() {
    let mut scripts = Vec::new();
    for seed in 1..=SCRIPTS {
        let acts = script(1_000 + seed, SIZE);
        let answers = play(&acts, &spicedb().await).await;
        scripts.push(Recorded { acts, answers });
    }
    let recording = serde_json::to_string(&Recording { schema: schema(), scripts }).unwrap();
    if std::env::var_os("BERTH_TEST_RECORD").is_some() {
        std::fs::write(FILE, recording + "\n").unwrap();
        return;
    }
    assert!(recording == std::fs::read_to_string(FILE).unwrap().trim(), "record again: scripts/record-permissions.sh");
}
