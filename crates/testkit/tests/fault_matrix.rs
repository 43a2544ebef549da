//! Every saga × every step × {run, undo} × every fault, on both databases.

use std::collections::BTreeMap;
use std::sync::Arc;

use testkit::Backend;
use testkit::drill::{Stage, definitions, drills, expected_drills};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Drills that share a database: the world that each of them is compared in grows with those before.
const TOGETHER: usize = 20;
/// Databases at work at once.
const AT_ONCE: usize = 4;

async fn matrix(backend: Backend) {
    let started = tokio::time::Instant::now();
    let (mut stages, room) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    let mut expected = BTreeMap::new();
    for definition in definitions() {
        let name = format!("{}.v{}", definition.id.name, definition.id.version);
        expected.insert(name.clone(), expected_drills(definition));
        for drills in drills(definition).chunks(TOGETHER) {
            let (drills, name, room) = (drills.to_vec(), name.clone(), room.clone());
            stages.spawn(async move {
                let _room = room.acquire().await.expect("the semaphore is never closed");
                let stage = Stage::new(backend, definition).await.expect("a saga that runs when nothing goes wrong");
                let mut failures = Vec::new();
                for drill in &drills {
                    if let Err(failure) = stage.drill(*drill).await {
                        eprintln!("{failure}\n");
                        failures.push(failure);
                    }
                }
                (name, drills.len(), failures)
            });
        }
    }
    let (mut done, mut failures) = (BTreeMap::new(), Vec::new());
    while let Some(stage) = stages.join_next().await {
        let (name, drilled, failed) = stage.expect("drills do not panic");
        *done.entry(name).or_insert(0) += drilled;
        failures.extend(failed);
    }
    let cases: usize = done.values().sum();
    println!("fault matrix, {backend:?}: {cases} cases in {:.1?}: {done:?}", started.elapsed());
    assert!(failures.is_empty(), "{} of {cases} cases failed:\n{}", failures.len(), failures.join("\n\n"));
    assert_eq!(done, expected, "sagas × steps × faults, counted from the definitions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_saga_survives_every_fault_on_sqlite() {
    matrix(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_saga_survives_every_fault_on_postgres() {
    matrix(Backend::Postgres).await;
}
