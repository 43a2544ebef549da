//! Asks before something that cannot be taken back, or that touches many.

use std::io::{BufRead as _, IsTerminal as _};

use clap::Args;

use super::output::say;
use super::stop::Stop;

#[derive(Debug, Args)]
pub struct Confirm {
    /// Does not ask; scripts need this.
    #[arg(long, short, display_order = 650)]
    yes: bool,
}

impl Confirm {
    /// Goes on if a person says so, or `--yes` was given.
    ///
    /// # Errors
    /// He says no, or there is nobody to ask.
    pub async fn ask(&self, question: &str) -> Result<(), Stop> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Stop::usage("this wants to be confirmed, and there is no terminal to ask on", "Add --yes if you mean it."));
        }
        say(&format!("{question} [y/N] "));
        let answer = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|_| line)
        });
        match answer.await {
            Ok(Ok(line)) if matches!(line.trim().to_lowercase().as_str(), "y" | "yes") => Ok(()),
            _ => Err(Stop::new(super::exit::Exit::Failed, "nothing was done", "")),
        }
    }
}
