//! `berth man`: a page for each command, made from the commands themselves.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};

use super::exit::Exit;
use super::output::put;
use super::stop::Stop;

#[derive(Debug, Args)]
pub struct Man {
    /// The folder that the pages are written to; it is made if need be.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

impl Man {
    pub fn run(&self) -> Result<(), Stop> {
        let cannot = |e: std::io::Error| {
            Stop::new(Exit::Failed, format!("cannot write into {}: {e}", self.dir.display()), "Choose another folder: --dir DIR.")
        };
        std::fs::create_dir_all(&self.dir).map_err(cannot)?;
        clap_mangen::generate_to(crate::Cli::command(), &self.dir).map_err(cannot)?;
        put(&format!("The man pages are in {0}: man -l {0}/berth.1\n", self.dir.display()))
    }
}
