//! `berth completions`: scripts for shells, made from the commands themselves.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::output::put;
use super::stop::Stop;

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell. For bash: `berth completions bash > ~/.local/share/bash-completion/completions/berth`.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub fn run(&self) -> Result<(), Stop> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "berth", &mut script);
        put(&String::from_utf8_lossy(&script))
    }
}
