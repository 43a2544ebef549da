//! A backend that misbehaves on purpose, at given rates and from a seed, so that anyone can watch a saga compensate.
//!
//! The fate of the n-th call depends on the seed and n alone: the same calls in the same order meet the same faults.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use domain::ports::{BackendSpec, Backends, CallError, LoginAnswer};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use saga::{CancellationToken, Fault};

/// How often a call meets which fault, each between 0 (never) and 1 (always). A call that fails neither hangs nor loses
/// its reply, one that hangs does not lose it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Fails before its effect.
    pub fail: f64,
    /// Does not answer until it is told to stop; as often before its effect as after it.
    pub hang: f64,
    /// Has its effect, and the reply is lost.
    pub lose_reply: f64,
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("`{name}` is {value}, and must be between 0 and 1")]
pub struct RateError {
    pub name: &'static str,
    pub value: f64,
}

impl Rates {
    /// # Errors
    /// Names the first rate that is not between 0 and 1.
    pub fn check(&self) -> Result<(), RateError> {
        let Self { fail, hang, lose_reply } = *self;
        let wrong = [("fail", fail), ("hang", hang), ("lose_reply", lose_reply)].into_iter().find(|(_, v)| !(0.0..=1.0).contains(v));
        wrong.map_or(Ok(()), |(name, value)| Err(RateError { name, value }))
    }
}

/// `B`, with faults.
pub struct Faulty<B> {
    inner: B,
    rates: Rates,
    seed: u64,
    calls: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Well,
    Fails,
    HangsBefore,
    HangsAfter,
    LosesReply,
}

impl<B: Backends> Faulty<B> {
    /// # Errors
    /// A rate that is not between 0 and 1.
    pub fn new(inner: B, rates: Rates, seed: u64) -> Result<Self, RateError> {
        rates.check()?;
        Ok(Self { inner, rates, seed, calls: AtomicU64::new(0) })
    }

    fn fate(&self) -> Fate {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut dice = StdRng::seed_from_u64(self.seed.wrapping_add(call.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let [fails, hangs, before, loses]: [f64; 4] = std::array::from_fn(|_| dice.random());
        if fails < self.rates.fail {
            Fate::Fails
        } else if hangs < self.rates.hang {
            if before < 0.5 { Fate::HangsBefore } else { Fate::HangsAfter }
        } else if loses < self.rates.lose_reply {
            Fate::LosesReply
        } else {
            Fate::Well
        }
    }

    async fn meet<T>(&self, stop: &CancellationToken, call: impl Future<Output = Result<T, CallError>> + Send) -> Result<T, CallError> {
        match self.fate() {
            Fate::Well => call.await,
            Fate::Fails => Err(CallError::Failed(Fault::new("backend_failed", "The backend failed, as it was told to").retryable())),
            Fate::HangsBefore => hang(stop).await,
            Fate::HangsAfter => {
                call.await?;
                hang(stop).await
            }
            Fate::LosesReply => {
                call.await?;
                Err(CallError::Unknown(Fault::new("backend_reply_lost", "The backend's reply was lost, as it was told to").retryable()))
            }
        }
    }
}

async fn hang<T>(stop: &CancellationToken) -> Result<T, CallError> {
    stop.cancelled().await;
    Err(CallError::Unknown(Fault::new("backend_hung", "The backend did not answer, as it was told to").retryable()))
}

#[async_trait]
impl<B: Backends> Backends for Faulty<B> {
    fn name(&self, region: &str) -> Option<String> {
        self.inner.name(region)
    }

    async fn create(&self, spec: &BackendSpec, stop: &CancellationToken) -> Result<String, CallError> {
        self.meet(stop, self.inner.create(spec, stop)).await
    }

    async fn drop(&self, spec: &BackendSpec, stop: &CancellationToken) -> Result<(), CallError> {
        self.meet(stop, self.inner.drop(spec, stop)).await
    }

    async fn login(&self, spec: &BackendSpec, stop: &CancellationToken) -> Result<(), CallError> {
        self.meet(stop, self.inner.login(spec, stop)).await
    }

    async fn set_login(&self, spec: &BackendSpec, open: bool, revision: i64, stop: &CancellationToken) -> Result<LoginAnswer, CallError> {
        self.meet(stop, self.inner.set_login(spec, open, revision, stop)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use domain::model::EnvironmentName;
    use saga::RunId;
    use uuid::Uuid;

    use super::*;

    /// Counts effects; nothing else.
    #[derive(Default, Clone)]
    struct Counter(Arc<AtomicU64>);

    #[async_trait]
    impl Backends for Counter {
        fn name(&self, _: &str) -> Option<String> {
            Some("local".to_owned())
        }
        async fn create(&self, _: &BackendSpec, _: &CancellationToken) -> Result<String, CallError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok("here".to_owned())
        }
        async fn drop(&self, _: &BackendSpec, _: &CancellationToken) -> Result<(), CallError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        async fn login(&self, _: &BackendSpec, _: &CancellationToken) -> Result<(), CallError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        async fn set_login(&self, _: &BackendSpec, _: bool, _: i64, _: &CancellationToken) -> Result<LoginAnswer, CallError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(LoginAnswer::Set)
        }
    }

    fn spec() -> BackendSpec {
        BackendSpec {
            id: Uuid::nil(),
            workspace_id: Uuid::nil(),
            environment_id: Uuid::nil(),
            environment: EnvironmentName::Dev,
            region: "eu".to_owned(),
            run: RunId(Uuid::nil()),
            key: "run:step".to_owned(),
        }
    }

    /// What `calls` creates came to, and how many of them had their effect. A call that hangs is told to stop.
    async fn play(rates: Rates, seed: u64, calls: usize) -> (String, u64) {
        let counter = Counter::default();
        let faulty = Faulty::new(counter.clone(), rates, seed).unwrap();
        let mut story = String::new();
        for _ in 0..calls {
            let (spec, stop) = (spec(), CancellationToken::new());
            let mut call = faulty.create(&spec, &stop);
            let first = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            story.push(match first {
                Poll::Ready(Ok(_)) => '.',
                Poll::Ready(Err(CallError::Failed(f))) if f.retryable => 'f',
                Poll::Ready(Err(CallError::Unknown(_))) => 'l',
                Poll::Ready(Err(other)) => panic!("{other:?}"),
                Poll::Pending => {
                    stop.cancel();
                    assert!(matches!(call.await, Err(CallError::Unknown(_))), "a call that hung may have happened");
                    'h'
                }
            });
        }
        (story, counter.0.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn each_fault_at_rate_one_meets_every_call_and_at_zero_none() {
        assert_eq!(play(Rates::default(), 7, 20).await, (".".repeat(20), 20));
        assert_eq!(play(Rates { fail: 1.0, hang: 1.0, lose_reply: 1.0 }, 7, 20).await, ("f".repeat(20), 0));
        assert_eq!(play(Rates { lose_reply: 1.0, ..Rates::default() }, 7, 20).await, ("l".repeat(20), 20));
        let (story, effects) = play(Rates { hang: 1.0, ..Rates::default() }, 7, 100).await;
        assert_eq!(story, "h".repeat(100));
        assert!((20..80).contains(&effects), "{effects} of 100 hung after their effect");
    }

    #[tokio::test]
    async fn a_seed_repeats_its_faults_and_another_seed_has_others() {
        let rates = Rates { fail: 0.2, hang: 0.1, lose_reply: 0.2 };
        let (first, _) = play(rates, 1, 200).await;
        assert_eq!(play(rates, 1, 200).await.0, first);
        assert_ne!(play(rates, 2, 200).await.0, first);
        let share = |c| first.chars().filter(|x| *x == c).count();
        // Of 200 calls 40 are to fail and 32 to lose their reply: ten standard deviations either way is no accident.
        assert!((10..100).contains(&share('f')) && share('h') > 0 && (5..90).contains(&share('l')), "{first}");
    }

    #[test]
    fn a_rate_that_is_no_rate_is_refused_by_its_name() {
        for value in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let refused = Faulty::new(Counter::default(), Rates { hang: value, ..Rates::default() }, 0).err().unwrap();
            assert_eq!(refused.name, "hang");
        }
    }
}
