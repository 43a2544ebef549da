//! Real time, for worlds that wait for something.

use std::pin::Pin;
use std::time::Duration;

use domain::ports::Timer;

pub struct RealTimer;

impl Timer for RealTimer {
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(time))
    }
}
