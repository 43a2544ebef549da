//! The workers of a measurement: one in this process, or several in processes of their own, as an installation has them.

use std::process::Stdio;
use std::time::Duration;

use saga::RunId;
use saga::worker::{Handle, Worker};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::tap::{Ended, Tap};
use super::worker::{ENDED, Orders, READY, options};
use super::{noop, refused};
use crate::failure::Failure;
use store::Store;

/// What a worker's process has to start, and to end once it is told to.
const PATIENCE: Duration = Duration::from_secs(40);

/// Workers that execute what is due until they are dismissed.
pub enum Crew {
    Here { handle: Handle, stop: CancellationToken, working: JoinHandle<()> },
    Processes(Vec<Hand>),
}

/// A worker's process.
pub struct Hand {
    child: Child,
    orders: ChildStdin,
    listening: JoinHandle<()>,
}

impl Crew {
    /// One worker in this process.
    ///
    /// # Errors
    /// The saga cannot be made.
    pub fn here(store: Store, steps: u32, concurrency: usize, ended: UnboundedSender<Ended>) -> Result<Self, Failure> {
        let options = options(&store, concurrency);
        let tap = std::sync::Arc::new(Tap::new(store, ended));
        let (worker, handle) = Worker::new(tap, noop::registry(steps, false)?, options);
        let stop = CancellationToken::new();
        let working = tokio::spawn(worker.run(stop.clone()));
        Ok(Self::Here { handle, stop, working })
    }

    /// `count` processes of this binary, each with a worker.
    ///
    /// # Errors
    /// One does not start.
    pub async fn processes(count: u32, orders: &Orders, ended: &UnboundedSender<Ended>) -> Result<Self, Failure> {
        let mut hands = Vec::new();
        for _ in 0..count {
            hands.push(Hand::hire(orders, ended.clone()).await?);
        }
        Ok(Self::Processes(hands))
    }

    /// Tells the workers that something is due.
    pub async fn wake(&mut self) {
        match self {
            Self::Here { handle, .. } => handle.new_run(),
            Self::Processes(hands) => {
                for hand in hands {
                    // One that is gone is heard of when the runs do not end.
                    let _ = hand.orders.write_all(b"wake\n").await;
                }
            }
        }
    }

    /// Ends the workers' processes as a crash would, at once and without a farewell.
    ///
    /// # Errors
    /// One was gone already.
    pub fn kill(&mut self) -> Result<(), Failure> {
        if let Self::Processes(hands) = self {
            for hand in hands {
                hand.child.start_kill().map_err(|e| Failure::new(format!("a worker's process cannot be killed: {e}")))?;
            }
        }
        Ok(())
    }

    /// Lets the workers drain, and waits for them.
    pub async fn dismiss(self) -> Result<(), Failure> {
        match self {
            Self::Here { stop, working, .. } => {
                stop.cancel();
                working.await.map_err(refused)
            }
            Self::Processes(hands) => {
                let mut children = Vec::new();
                // All are told before any is waited for.
                for Hand { child, orders, listening } in hands {
                    drop(orders);
                    children.push((child, listening));
                }
                for (mut child, listening) in children {
                    let status = timeout(PATIENCE, child.wait()).await;
                    let status = status.map_err(|_| Failure::new("a worker's process does not end"))?.map_err(refused)?;
                    listening.await.map_err(refused)?;
                    if !status.success() {
                        return Err(Failure::new(format!("a worker's process failed: {status}. Its message is above")));
                    }
                }
                Ok(())
            }
        }
    }
}

impl Hand {
    async fn hire(orders: &Orders, ended: UnboundedSender<Ended>) -> Result<Self, Failure> {
        let binary = std::env::current_exe().map_err(|e| Failure::new(format!("this program does not know where it is: {e}")))?;
        let mut child = Command::new(binary)
            .args(["bench", "worker"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| Failure::new(format!("a worker's process cannot be started: {e}")))?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::new("a worker's process has no pipes"));
        };
        let mut line = serde_json::to_vec(orders).map_err(refused)?;
        line.push(b'\n');
        stdin.write_all(&line).await.map_err(refused)?;
        let mut lines = BufReader::new(stdout).lines();
        let first = timeout(PATIENCE, lines.next_line()).await.map_err(|_| Failure::new("a worker's process does not start"))?;
        if first.map_err(refused)?.as_deref() != Some(READY) {
            return Err(Failure::new("a worker's process did not start. Its message is above"));
        }
        let listening = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let at = Instant::now();
                for word in line.strip_prefix(ENDED).unwrap_or_default().split_whitespace() {
                    let (succeeded, id) = word.split_at(1);
                    if let Ok(run) = Uuid::try_parse(id) {
                        let _ = ended.send(Ended { run: RunId(run), at, succeeded: succeeded == "+" });
                    }
                }
            }
        });
        Ok(Self { child, orders: stdin, listening })
    }
}

/// Where ends are heard: for [`Crew`] and whoever counts them.
pub fn ears() -> (UnboundedSender<Ended>, tokio::sync::mpsc::UnboundedReceiver<Ended>) {
    unbounded_channel()
}
