use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use serde_json::json;

use super::*;

/// A provider that answers as it is told, and counts.
#[derive(Default)]
struct Scripted {
    answer: Mutex<Option<Vec<&'static str>>>,
    asked: AtomicUsize,
}

#[async_trait]
impl Source for Arc<Scripted> {
    async fn fetch(&self) -> Result<Vec<Value>, String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // Whoever else wants to know comes by meanwhile.
        tokio::task::yield_now().await;
        let answer = self.answer.lock().unwrap().clone();
        answer.map(|ids| ids.into_iter().map(|id| json!({"kid": id})).collect()).ok_or_else(|| "nobody answers".to_owned())
    }
}

struct Fixture {
    cache: Cache<Arc<Scripted>>,
    provider: Arc<Scripted>,
    now: Arc<AtomicI64>,
}

impl Fixture {
    fn new() -> Self {
        let (provider, now) = (Arc::new(Scripted::default()), Arc::new(AtomicI64::new(1_800_000_000_000_000)));
        let ticking = now.clone();
        let times = Times { fresh_for: Duration::from_mins(10), kept_for: Duration::from_hours(6), ask_every: Duration::from_secs(5) };
        let clock: Clock = Arc::new(move || Time::from_micros(ticking.load(Ordering::SeqCst)));
        Self { cache: Cache::new("https://id.test", provider.clone(), times, clock), provider, now }
    }

    fn publishes(&self, ids: &[&'static str]) {
        *self.provider.answer.lock().unwrap() = Some(ids.to_vec());
    }

    fn is_away(&self) {
        *self.provider.answer.lock().unwrap() = None;
    }

    fn pass(&self, time: Duration) {
        self.now.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }

    fn asked(&self) -> usize {
        self.provider.asked.load(Ordering::SeqCst)
    }

    /// How many keys there are of the id; `None`: nobody can tell.
    async fn of(&self, id: &str) -> Option<usize> {
        self.cache.keys(Some(id)).await.ok().map(|keys| keys.len())
    }
}

#[tokio::test]
async fn keys_are_asked_for_once_whoever_wants_them() {
    let f = Fixture::new();
    f.publishes(&["a", "b"]);
    let (first, second, all) = tokio::join!(f.of("a"), f.of("b"), f.cache.keys(None));
    assert_eq!((first, second, all.unwrap().len(), f.asked()), (Some(1), Some(1), 2, 1));
}

#[tokio::test]
async fn a_new_key_is_found_when_a_token_names_it() {
    let f = Fixture::new();
    f.publishes(&["a"]);
    assert_eq!(f.of("a").await, Some(1));
    f.publishes(&["a", "b"]);
    f.pass(Duration::from_secs(5));
    assert_eq!((f.of("b").await, f.asked()), (Some(1), 2));
}

#[tokio::test]
async fn strangers_key_ids_do_not_make_it_ask_more_often_and_what_is_not_known_is_not_denied() {
    let f = Fixture::new();
    f.publishes(&["a"]);
    assert_eq!(f.of("x").await, Some(0), "asked for, and not published");
    assert_eq!(f.of("x").await, Some(0), "known not to be published");
    for n in 0..200 {
        assert_eq!(f.of(&format!("stranger-{n}")).await, None, "not asked for, so that nobody can tell");
    }
    assert_eq!((f.of("a").await, f.asked()), (Some(1), 1), "who has a known key is not held up");
    f.publishes(&["a", "x"]);
    f.pass(Duration::from_secs(5));
    assert_eq!((f.of("x").await, f.asked()), (Some(1), 2), "what was not published may be by now");
}

#[tokio::test]
async fn old_keys_are_good_for_a_bounded_time_while_the_provider_is_away() {
    let f = Fixture::new();
    f.publishes(&["a"]);
    assert_eq!(f.of("a").await, Some(1));
    f.is_away();
    f.pass(Duration::from_mins(10));
    assert_eq!((f.of("a").await, f.asked()), (Some(1), 2));
    assert_eq!((f.of("b").await, f.asked()), (None, 2), "it may have been published since");
    f.pass(Duration::from_mins(349));
    assert_eq!(f.of("a").await, Some(1));
    f.pass(Duration::from_mins(1));
    assert_eq!(f.of("a").await, None);
    f.pass(Duration::from_mins(1));
    f.publishes(&["a"]);
    assert_eq!(f.of("a").await, Some(1));
}

#[tokio::test]
async fn a_key_that_was_withdrawn_is_good_for_nothing_once_that_is_heard() {
    let f = Fixture::new();
    f.publishes(&["a"]);
    assert_eq!(f.of("a").await, Some(1));
    f.publishes(&["b"]);
    f.pass(Duration::from_mins(10));
    assert_eq!((f.of("a").await, f.asked()), (Some(0), 2));
}

#[tokio::test]
async fn a_provider_that_is_away_is_asked_less_and_less() {
    let f = Fixture::new();
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        let before = f.asked();
        assert_eq!((f.of("a").await, f.asked()), (None, before + 1));
        f.pass(Duration::from_micros(wait * 1_000_000 - 1));
        assert_eq!((f.of("a").await, f.asked()), (None, before + 1), "not before {wait} s");
        f.pass(Duration::from_micros(1));
    }
    f.publishes(&["a"]);
    assert_eq!(f.of("a").await, Some(1));
}
