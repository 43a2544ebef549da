//! A worker of a measurement in a process of its own. Its first line of input says what to do; each further line is a hint
//! that something is due; the end of the input ends it. It tells of the runs that have ended.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use saga::worker::{Options, Worker};
use serde::{Deserialize, Serialize};
use store::Store;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::tap::Tap;
use super::{crew, noop, place, refused};
use crate::failure::Failure;

/// What it says when it is at work.
pub const READY: &str = "ready";
/// What a line with ended runs begins with; `+` before an id is success.
pub const ENDED: &str = "ended";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    /// A URL: only PostgreSQL is for several processes.
    pub database: String,
    pub connections: u32,
    pub steps: u32,
    pub concurrency: usize,
    /// How long its claims stand; they are renewed in proportion.
    pub lease: Duration,
    /// No step ends by itself.
    pub lasting: bool,
}

/// As `berth dev` and production work, but for the number of runs at once.
pub fn options(store: &Store, concurrency: usize) -> Options {
    Options { concurrency, commits_at_once: store.commits_at_once(), ..Options::default() }
}

/// How long claims stand, unless it is settled otherwise.
pub fn usual_lease() -> Duration {
    Options::default().lease
}

/// As [`options`], with another lease.
fn leased(store: &Store, concurrency: usize, lease: Duration) -> Options {
    let usual = options(store, concurrency);
    let part = lease.as_secs_f64() / usual.lease.as_secs_f64();
    Options { lease, renew_every: usual.renew_every.mul_f64(part), ..usual }
}

pub async fn run() -> Result<(), Failure> {
    let mut lines = input();
    let first = lines.recv().await.unwrap_or_default();
    let orders: Orders = serde_json::from_str(&first).map_err(|e| Failure::new(format!("the orders are not understood: {e}")))?;
    let store = place::open(&orders.database, true, orders.connections).await?;
    let (sender, mut ended) = crew::ears();
    let options = leased(&store, orders.concurrency, orders.lease);
    let tap = Arc::new(Tap::new(store.clone(), sender));
    let (worker, handle) = Worker::new(tap, noop::registry(orders.steps, orders.lasting)?, options);
    let stop = CancellationToken::new();
    let working = tokio::spawn(worker.run(stop.clone()));
    crate::print(&format!("{READY}\n"))?;
    let mut heard = Vec::new();
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(_) => handle.new_run(),
                None => break,
            },
            count = ended.recv_many(&mut heard, 256) => {
                if count == 0 {
                    break;
                }
                tell(&mut heard)?;
            }
        }
    }
    stop.cancel();
    working.await.map_err(refused)?;
    store.db().close().await;
    Ok(())
}

/// The lines of standard input, until it ends. The thread that reads them is not waited for.
fn input() -> UnboundedReceiver<String> {
    let (lines, received) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { return };
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    received
}

fn tell(heard: &mut Vec<super::tap::Ended>) -> Result<(), Failure> {
    let mut line = ENDED.to_owned();
    for ended in heard.drain(..) {
        let _ = write!(line, " {}{}", if ended.succeeded { '+' } else { '-' }, ended.run.0.simple());
    }
    line.push('\n');
    crate::print(&line)
}
