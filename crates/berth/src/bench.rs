//! `berth bench`: what an installation can do, measured for whoever sizes one, and to compare.
//!
//! Every measurement makes a database of its own, with data of its own, and drops it afterwards. A report says in words what
//! was measured and how; its figures depend on the machine, and mean something beside the machine's own limits only.

mod assembly;
mod check;
mod claim;
mod crew;
mod driver;
mod ends;
mod export;
mod freeze;
mod house;
mod http;
mod idle;
mod installation;
mod instant;
mod limits;
mod load;
mod memory;
mod noop;
mod place;
mod real;
mod report;
mod requests;
mod saga;
mod sample;
mod start;
mod takeover;
mod tap;
mod worker;

use clap::Subcommand;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs sagas of steps that do nothing, each durable before the next begins: runs a second, and how long one takes.
    Saga(saga::Arguments),
    /// Asks for workspaces over HTTP: how long until one is accepted, and how many are a second.
    Accept(requests::Accept),
    /// Reads workspaces over HTTP.
    Get(requests::Get),
    /// Lists workspaces over HTTP.
    List(requests::List),
    /// Reads a long audit log over HTTP.
    Audit(requests::Audit),
    /// Exports a long audit log as CSV over HTTP.
    Export(export::Arguments),
    /// Asks the permission system what each request asks it: the embedded one, and a SpiceDB beside it.
    Check(check::Arguments),
    /// Claims runs with and without finished ones in the tables.
    Claim(claim::Arguments),
    /// Watches workers that have nothing to do.
    Idle(idle::Arguments),
    /// Starts a Berth on a database that is there already: how long until it is ready.
    Start(start::Arguments),
    /// Looks at what memory a Berth keeps, idle or with many runs that wait.
    Memory(memory::Arguments),
    /// Kills one of two workers: how long until the other has claimed all that it had in flight.
    Takeover(takeover::Arguments),
    /// Freezes workspaces over HTTP: how long until their backend lets nobody in.
    Freeze(freeze::Arguments),
    /// Measures what the database does without Berth, for figures to be compared with.
    Limits(limits::Arguments),
    /// Executes runs for a measurement in another process; told what to do on standard input.
    #[command(hide = true)]
    Worker,
}

/// Measures, and prints the report.
///
/// # Errors
/// The database is away, refuses to make another one, or something that was to be measured failed.
pub fn run(command: &Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("the runtime cannot start: {e}. Free some memory or threads, then start again")))?;
    runtime.block_on(async {
        match command {
            Command::Saga(arguments) => arguments.run().await,
            Command::Accept(arguments) => arguments.run().await,
            Command::Get(arguments) => arguments.run().await,
            Command::List(arguments) => arguments.run().await,
            Command::Audit(arguments) => arguments.run().await,
            Command::Export(arguments) => arguments.run().await,
            Command::Check(arguments) => arguments.run().await,
            Command::Claim(arguments) => arguments.run().await,
            Command::Idle(arguments) => arguments.run().await,
            Command::Start(arguments) => arguments.run().await,
            Command::Memory(arguments) => arguments.run().await,
            Command::Takeover(arguments) => arguments.run().await,
            Command::Freeze(arguments) => arguments.run().await,
            Command::Limits(arguments) => arguments.run().await,
            Command::Worker => worker::run().await,
        }
    })
}

/// SIGTERM and SIGINT, from when this is made on.
struct Interruption {
    terminate: Signal,
    interrupt: Signal,
}

impl Interruption {
    fn new() -> Result<Self, Failure> {
        let make = |kind| signal(kind).map_err(|e| Failure::new(format!("signals cannot be received: {e}")));
        Ok(Self { terminate: make(SignalKind::terminate())?, interrupt: make(SignalKind::interrupt())? })
    }

    /// Does `work`, unless a signal comes first: what was made for it can be cleared away either way.
    async fn unless<T>(&mut self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            result = work => result,
            _ = self.terminate.recv() => Err(Failure::new("stopped by SIGTERM; nothing was measured")),
            _ = self.interrupt.recv() => Err(Failure::new("stopped by SIGINT; nothing was measured")),
        }
    }
}

/// The store gave up: its sentence, as the reason why nothing was measured.
fn refused(cause: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the measurement failed: {cause}"))
}
