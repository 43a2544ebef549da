//! Makes ids and keys, and waits: where the process's randomness and clock enter the domain.

use std::pin::Pin;
use std::time::Duration;

use domain::ids::within;
use domain::ports::{Ids, Timer};
use saga::Time;
use uuid::Uuid;

pub struct RandomIds;

impl Ids for RandomIds {
    fn account(&self) -> Uuid {
        Uuid::new_v4()
    }

    fn within(&self, account: Uuid) -> Uuid {
        within(account, Uuid::now_v7())
    }

    fn free(&self) -> Uuid {
        Uuid::now_v7()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the port that randomness comes in through")]
    fn key(&self) -> [u8; 32] {
        rand::random()
    }
}

pub struct RealTimer;

impl Timer for RealTimer {
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// The time by the system's clock, for tokens: they are read on machines that do not see our database.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is passed in from")]
pub fn system_time() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
