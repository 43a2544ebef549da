//! The evaluator against a real SpiceDB: the same is asked of both, and the answers are the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::generated::{Size, script};
use super::memory::Memory;
use super::script::{Act, difference, play};
use super::spicedb;
use crate::permissions::Embedded;

const SCRIPTS: u64 = 26;
const SIZE: Size = Size { rounds: 5, writes: 8, checks: 800, lookups: 80 };

/// What was compared, by what it came to.
#[derive(Default)]
struct Compared {
    checks: AtomicUsize,
    allowed: AtomicUsize,
    lookups: AtomicUsize,
    found: AtomicUsize,
    writes: AtomicUsize,
    preconditions: AtomicUsize,
    existing: AtomicUsize,
    invalid: AtomicUsize,
}

impl Compared {
    fn count(&self, act: &Act, answer: &str) {
        let add = |counter: &AtomicUsize, n: usize| {
            counter.fetch_add(n, Ordering::Relaxed);
        };
        match act {
            Act::Check(checks) => {
                add(&self.checks, checks.len());
                add(&self.allowed, answer.matches('1').count());
            }
            Act::Lookup(_) => {
                add(&self.lookups, 1);
                add(&self.found, usize::from(!answer.is_empty() && answer != "invalid"));
            }
            Act::Write(..) => add(&self.writes, usize::from(answer == "written")),
            Act::Read(_) => {}
        }
        add(&self.invalid, usize::from(answer == "invalid"));
        add(&self.preconditions, usize::from(answer.starts_with("precondition ")));
        add(&self.existing, usize::from(answer == "exists"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_evaluator_answers_as_spicedb_does() {
    let compared = Arc::new(Compared::default());
    let mut worlds = JoinSet::new();
    // A few at a time: all at once would only make each of them slow.
    let places = Arc::new(Semaphore::new(4));
    for seed in 1..=SCRIPTS {
        let (compared, places) = (compared.clone(), places.clone());
        worlds.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let script = script(seed, SIZE);
            let answers = play(&script, &spicedb().await).await;
            script.iter().zip(&answers).for_each(|(act, answer)| compared.count(act, answer));
            let embedded = Embedded::new(Arc::new(Memory::default()));
            difference(&script, &answers, &embedded).await.map(|found| format!("script {seed}: {found}"))
        });
    }
    let differences: Vec<_> = worlds.join_all().await.into_iter().flatten().collect();
    assert!(differences.is_empty(), "the evaluator differs from SpiceDB:\n{}", differences.join("\n"));

    // That there was something to differ in.
    let n = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    assert!(n(&compared.checks) >= 100_000, "{} checks", n(&compared.checks));
    assert!(n(&compared.lookups) >= 10_000, "{} lookups", n(&compared.lookups));
    assert!(n(&compared.allowed) > n(&compared.checks) / 20, "{} were allowed", n(&compared.allowed));
    assert!(n(&compared.allowed) < n(&compared.checks) / 2, "{} were allowed", n(&compared.allowed));
    assert!(n(&compared.found) > 2_000, "{} lookups found something", n(&compared.found));
    assert!(n(&compared.writes) > 300, "{} writes were made", n(&compared.writes));
    assert!(n(&compared.preconditions) > 100, "{} preconditions did not hold", n(&compared.preconditions));
    assert!(n(&compared.existing) > 20, "{} tuples existed", n(&compared.existing));
    assert!(n(&compared.invalid) > 200, "{} requests were invalid", n(&compared.invalid));
}
