//! `--wait`: stays until a run that a command started has ended, and shows how it goes.

use clap::Args;

use super::runs::watch;
use super::session::Session;
use super::stop::Stop;
use crate::config::Period;

#[derive(Debug, Args)]
pub struct Wait {
    /// Stays until the run has ended, and shows its steps.
    #[arg(long, display_order = 600)]
    wait: bool,
    /// Waits no longer than this: `30s`, `10m`, `1h`. The run goes on.
    #[arg(long, value_name = "SPAN", requires = "wait", display_order = 601)]
    timeout: Option<Period>,
}

impl Wait {
    pub fn wanted(&self) -> bool {
        self.wait
    }

    /// # Errors
    /// The run did not succeed, or not in time.
    pub async fn run(&self, session: &Session, run: &str) -> Result<(), Stop> {
        self.run_to(session, run, "succeeded").await
    }

    /// The same for a run that is to end in another way.
    ///
    /// # Errors
    /// It ended differently, or not in time.
    pub async fn run_to(&self, session: &Session, run: &str, outcome: &str) -> Result<(), Stop> {
        let ended = watch::to_its_end(session, run, self.timeout).await?;
        watch::verdict(&ended, outcome)
    }
}

/// What to type next, for a person who does not wait.
pub fn hint(run: &str) -> String {
    format!("\nFollow it: berth runs watch {run}\n")
}
