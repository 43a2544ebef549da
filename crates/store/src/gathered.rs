//! Questions about one key that many ask at once: what was asked while one statement was under way shares the next one, so that a lone
//! question waits for nobody, and many share a round trip and what a statement costs.
//!
//! Every answer is of a statement that began after it was asked for: it is as new as that of a statement of its own. No timer gathers
//! anything, and no task stands in between: whoever finds a place free gives way once, to those who are ready to run, and then asks for all
//! who wait.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::db::Error;

/// Statements of one kind at once at most.
const AT_ONCE: usize = 4;
/// Another statement begins beside those that are under way when that many wait for each of these: fewer are better off together. So one
/// that hangs holds up no more than these.
const ENOUGH: usize = 16;
/// Keys of one statement at most: its first asker waits for its last answer.
const LARGEST: usize = 128;

/// Where questions of one kind come together.
pub(crate) struct Gathered<K, A>(Arc<Mutex<Queue<K, A>>>);

impl<K, A> Default for Gathered<K, A> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Queue { waiting: VecDeque::new(), busy: 0 })))
    }
}

struct Queue<K, A> {
    waiting: VecDeque<Waiting<K, A>>,
    /// How many statements are under way, or about to be.
    busy: usize,
}

struct Waiting<K, A> {
    key: K,
    tell: oneshot::Sender<Told<K, A>>,
}

enum Told<K, A> {
    /// `None`: there is nothing of that key.
    Answer(Result<Option<A>, Error>),
    /// Ask for yourself, and for all who wait.
    Lead(Place<K, A>),
}

impl<K: Clone + Eq + Hash, A: Clone> Gathered<K, A> {
    /// What there is of `key`, as `read` finds it among others' answers; `read` is given each key once.
    ///
    /// # Errors
    /// Those of `read`, whoever called it.
    pub async fn ask<Reading>(&self, key: K, read: impl Fn(Vec<K>) -> Reading) -> Result<Option<A>, Error>
    where
        Reading: Future<Output = Result<HashMap<K, A>, Error>>,
    {
        loop {
            let place = match Place::find(&self.0, &key) {
                Ok(place) => place,
                Err(told) => match told.await {
                    Ok(Told::Answer(answer)) => return answer,
                    Ok(Told::Lead(place)) => place,
                    // Whoever asked for us was dropped in the middle.
                    Err(_) => continue,
                },
            };
            return place.lead(key, read).await;
        }
    }
}

/// The right to ask. Dropped, at whatever await, it goes to the next who waits.
struct Place<K, A>(Option<Arc<Mutex<Queue<K, A>>>>);

impl<K, A> Place<K, A> {
    /// A place, or where the answer about `key` will be told.
    fn find(queue: &Arc<Mutex<Queue<K, A>>>, key: &K) -> Result<Self, oneshot::Receiver<Told<K, A>>>
    where
        K: Clone,
    {
        let mut locked = lock(queue);
        if locked.busy < AT_ONCE && locked.waiting.len() >= ENOUGH * locked.busy {
            locked.busy += 1;
            return Ok(Self(Some(queue.clone())));
        }
        let (tell, told) = oneshot::channel();
        locked.waiting.push_back(Waiting { key: key.clone(), tell });
        Err(told)
    }

    async fn lead<Reading>(self, key: K, read: impl FnOnce(Vec<K>) -> Reading) -> Result<Option<A>, Error>
    where
        K: Clone + Eq + Hash,
        A: Clone,
        Reading: Future<Output = Result<HashMap<K, A>, Error>>,
    {
        // Whoever is about to ask, in tasks that are ready to run by now, comes along; where nobody is, this is over at once.
        tokio::task::yield_now().await;
        let mut others = Vec::new();
        if let Some(queue) = &self.0 {
            let mut queue = lock(queue);
            let many = queue.waiting.len().min(LARGEST - 1);
            others.extend(queue.waiting.drain(..many));
        }
        let keys: HashSet<K> = others.iter().map(|other| other.key.clone()).chain([key.clone()]).collect();
        let is_shared = keys.len() <= others.len();
        // In a box: those who follow need no room for what only a leader does.
        let mut found = Box::pin(read(keys.into_iter().collect())).await;
        drop(self);
        let mut of = |key: &K| match &mut found {
            Ok(found) if is_shared => Ok(found.get(key).cloned()),
            Ok(found) => Ok(found.remove(key)),
            Err(error) => Err(error.clone()),
        };
        for Waiting { key, tell } in others {
            // Nobody listens where a request was dropped.
            let _ = tell.send(Told::Answer(of(&key)));
        }
        of(&key)
    }
}

impl<K, A> Drop for Place<K, A> {
    fn drop(&mut self) {
        let Some(queue) = self.0.take() else { return };
        loop {
            let next = {
                let mut locked = lock(&queue);
                let next = locked.waiting.pop_front();
                if next.is_none() {
                    locked.busy -= 1;
                }
                next
            };
            let Some(Waiting { tell, .. }) = next else { return };
            match tell.send(Told::Lead(Self(Some(queue.clone())))) {
                Ok(()) => return,
                // Who was dropped meanwhile cannot take it.
                Err(Told::Lead(mut refused)) => drop(refused.0.take()),
                Err(Told::Answer(_)) => {}
            }
        }
    }
}

fn lock<K, A>(queue: &Mutex<Queue<K, A>>) -> MutexGuard<'_, Queue<K, A>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;

    use super::*;

    /// Answers when it is let, with ten times the key; knows no odd one.
    #[derive(Clone, Default)]
    struct Source(Arc<Inside>);

    struct Inside {
        gate: Semaphore,
        statements: AtomicUsize,
        keys: Mutex<Vec<Vec<u32>>>,
        fails: bool,
    }

    impl Default for Inside {
        fn default() -> Self {
            Self { gate: Semaphore::new(0), statements: AtomicUsize::new(0), keys: Mutex::default(), fails: false }
        }
    }

    impl Source {
        async fn read(self, mut keys: Vec<u32>) -> Result<HashMap<u32, u32>, Error> {
            self.0.statements.fetch_add(1, Ordering::SeqCst);
            keys.sort_unstable();
            self.0.keys.lock().unwrap().push(keys.clone());
            self.0.gate.acquire().await.unwrap().forget();
            if self.0.fails {
                return Err(Error::Unavailable("away".to_owned()));
            }
            Ok(keys.into_iter().filter(|key| key % 2 == 0).map(|key| (key, key * 10)).collect())
        }

        fn statements(&self) -> usize {
            self.0.statements.load(Ordering::SeqCst)
        }

        fn let_through(&self, statements: usize) {
            self.0.gate.add_permits(statements);
        }
    }

    type Asked = Arc<Gathered<u32, u32>>;

    async fn ask(gathered: Asked, source: Source, key: u32) -> Result<Option<u32>, Error> {
        gathered.ask(key, |keys| source.clone().read(keys)).await
    }

    /// Lets every task that can go on go on.
    async fn settle() {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    }

    async fn within<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(30), what).await.expect("an answer within half a minute")
    }

    #[tokio::test]
    async fn what_is_asked_while_a_statement_is_under_way_shares_the_next_one() {
        let (gathered, source) = (Asked::default(), Source::default());
        let mut tasks = JoinSet::new();
        for key in [2, 4, 5, 4, 6] {
            tasks.spawn(ask(gathered.clone(), source.clone(), key));
            settle().await;
        }
        assert_eq!(source.statements(), 1, "the others wait");
        source.let_through(2);
        let mut answers: Vec<_> = within(tasks.join_all()).await.into_iter().map(Result::unwrap).collect();
        answers.sort_unstable();
        assert_eq!(answers, [None, Some(20), Some(40), Some(40), Some(60)]);
        assert_eq!(*source.0.keys.lock().unwrap(), [vec![2], vec![4, 5, 6]]);
        // Nothing is left that would hold up who comes later.
        source.let_through(1);
        assert_eq!(within(ask(gathered, source.clone(), 8)).await.unwrap(), Some(80));
        assert_eq!(source.statements(), 3);
    }

    #[tokio::test]
    async fn who_is_ready_to_ask_when_the_first_one_asks_comes_along() {
        let (gathered, source) = (Asked::default(), Source::default());
        let mut tasks = JoinSet::new();
        for key in [2, 4, 6] {
            tasks.spawn(ask(gathered.clone(), source.clone(), key));
        }
        settle().await;
        assert_eq!(*source.0.keys.lock().unwrap(), [vec![2, 4, 6]]);
        source.let_through(1);
        within(tasks.join_all()).await;
    }

    #[tokio::test]
    async fn an_answer_is_of_a_statement_that_began_after_it_was_asked_for() {
        let (gathered, source) = (Asked::default(), Source::default());
        let mut tasks = JoinSet::new();
        for _ in 0..2 {
            tasks.spawn(ask(gathered.clone(), source.clone(), 2));
            settle().await;
        }
        source.let_through(2);
        within(tasks.join_all()).await;
        assert_eq!(*source.0.keys.lock().unwrap(), [vec![2], vec![2]], "the second did not take the answer of the first");
    }

    #[tokio::test]
    async fn who_is_dropped_takes_nobody_else_along() {
        let (gathered, source) = (Asked::default(), Source::default());
        let leader = tokio::spawn(ask(gathered.clone(), source.clone(), 2));
        settle().await;
        let dropped = tokio::spawn(ask(gathered.clone(), source.clone(), 4));
        settle().await;
        let follower = tokio::spawn(ask(gathered.clone(), source.clone(), 6));
        let last = tokio::spawn(ask(gathered.clone(), source.clone(), 8));
        settle().await;
        // One who waits, then one who asks for others as well.
        dropped.abort();
        leader.abort();
        settle().await;
        assert_eq!(source.statements(), 2);
        follower.abort();
        settle().await;
        source.let_through(1);
        assert_eq!(within(last).await.unwrap().unwrap(), Some(80));
        assert!(lock(&gathered.0).waiting.is_empty());
        assert_eq!(lock(&gathered.0).busy, 0);
    }

    #[tokio::test]
    async fn one_that_hangs_holds_up_only_a_few() {
        let (gathered, source) = (Asked::default(), Source::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(ask(gathered.clone(), Source::default(), 2)); // Nobody lets it through.
        settle().await;
        for _ in 0..=ENOUGH {
            tasks.spawn(ask(gathered.clone(), source.clone(), 4));
            settle().await;
        }
        assert_eq!(source.statements(), 1, "another begins beside it");
        source.let_through(1);
        for _ in 0..=ENOUGH {
            assert_eq!(within(tasks.join_next()).await.unwrap().unwrap().unwrap(), Some(40));
        }
    }

    #[tokio::test]
    async fn all_who_share_a_statement_are_told_that_it_failed() {
        let (gathered, source) = (Asked::default(), Source(Arc::new(Inside { fails: true, ..Inside::default() })));
        let mut tasks = JoinSet::new();
        for key in [2, 4, 6] {
            tasks.spawn(ask(gathered.clone(), source.clone(), key));
            settle().await;
        }
        source.let_through(2);
        for answer in within(tasks.join_all()).await {
            assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
        }
        assert_eq!(source.statements(), 2);
    }
}
