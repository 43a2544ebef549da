//! Every saga × every step × {run, undo} × every fault, on both databases.

use testkit::Backend;
use testkit::drill::{Stage, definitions, drills, expected_drills};
use tokio::task::JoinSet;

async fn matrix(backend: Backend) {
    let started = tokio::time::Instant::now();
    let mut sagas = JoinSet::new();
    let mut expected = 0;
    for definition in definitions() {
        expected += expected_drills(&definition);
        sagas.spawn(async move {
            let stage = Stage::new(backend, &definition).await.expect("a saga that runs when nothing goes wrong");
            let (mut done, mut failures) = (0, Vec::new());
            for drill in drills(&definition) {
                match stage.drill(drill).await {
                    Ok(()) => done += 1,
                    Err(failure) => {
                        eprintln!("{failure}\n");
                        failures.push(failure);
                    }
                }
            }
            (definition.id.name, done, failures)
        });
    }
    let (mut done, mut failures) = (0, Vec::new());
    while let Some(saga) = sagas.join_next().await {
        let (name, passed, failed) = saga.expect("a saga's drills do not panic");
        println!("fault matrix, {backend:?}, {name}: {passed} cases passed, {} failed", failed.len());
        done += passed + failed.len();
        failures.extend(failed);
    }
    println!("fault matrix, {backend:?}: {done} cases in {:.1?}", started.elapsed());
    assert!(failures.is_empty(), "{} of {done} cases failed:\n{}", failures.len(), failures.join("\n\n"));
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
