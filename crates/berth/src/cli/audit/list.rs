//! `berth audit list`.

use clap::Args;

use super::{Filters, entries};
use crate::cli::moment::Moment;
use crate::cli::most::Most;
use crate::cli::session::Ask;
use crate::cli::stop::Stop;
use crate::config::Environment;

#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    filters: Filters,
    /// Only what happened before: a time such as 2026-11-22T18:00:00Z, or as long ago as a span such as 2h.
    #[arg(long, value_name = "T")]
    before: Option<Moment>,
    #[command(flatten)]
    most: Most,
    #[command(flatten)]
    ask: Ask,
}

impl List {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let log = self.filters.log(&session.client, session.output.is_table()).await?;
        let request = log.request().maybe("occurred_before", self.before.map(Moment::ago));
        let listed = request.pages(self.most.limit()).await?;
        session.output.list(&listed.items, |entries| entries::table(entries, &log.actors))?;
        self.most.tell(&listed, session.output);
        Ok(())
    }
}
