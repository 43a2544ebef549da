//! How much of a list is shown.

use clap::Args;

use super::client::Listed;
use super::output::{Output, say};

/// How many items a list shows.
#[derive(Debug, Args)]
pub struct Most {
    /// The most items that are shown.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..), display_order = 700)]
    limit: u32,
    /// Shows all, however many there are.
    #[arg(long, conflicts_with = "limit", display_order = 701)]
    all: bool,
}

impl Most {
    pub fn limit(&self) -> Option<usize> {
        if self.all { None } else { usize::try_from(self.limit).ok() }
    }

    /// Tells a person that there is more than is shown.
    pub fn tell(&self, listed: &Listed, output: Output) {
        if !self.all && listed.more && output.is_table() {
            say(&format!("berth: there are more than {}; --all shows all of them\n", listed.items.len()));
        }
    }
}
