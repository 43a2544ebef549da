//! `berth workspaces list`.

use clap::{Args, ValueEnum};

use crate::cli::most::Most;
use crate::cli::names;
use crate::cli::session::Ask;
use crate::cli::stop::Stop;
use crate::cli::table::{plain, rows, time};
use crate::config::Environment;

#[derive(Debug, Args)]
pub struct List {
    /// Those of an account, by name or id, instead of those that you are a member of.
    #[arg(long, value_name = "NAME|ID")]
    account: Option<String>,
    /// Only those of this status; those that are deleted are listed by account.
    #[arg(long, value_enum, value_name = "STATUS")]
    status: Option<Status>,
    /// Only those of this region.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Only those whose name holds this text, whatever the case.
    #[arg(long, value_name = "TEXT")]
    name_contains: Option<String>,
    /// Only those with this label, whatever its value, or with this value; given several times, with all of them.
    #[arg(long = "label", value_name = "KEY[=VALUE]")]
    labels: Vec<String>,
    #[command(flatten)]
    most: Most,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Status {
    Provisioning,
    Active,
    Frozen,
    Failed,
    Deleted,
}

impl List {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        // Nobody is a member of what is deleted.
        let is_gone = self.status == Some(Status::Deleted);
        let path = match &self.account {
            None if !is_gone => "/v1/workspaces".to_owned(),
            account => format!("/v1/workspaces/by-account/{}", names::account(&session.client, account.as_deref()).await?),
        };
        let request = session
            .client
            .get(path)
            .maybe("status", self.status.and_then(|status| Some(status.to_possible_value()?.get_name().to_owned())))
            .maybe("region", self.region.as_ref())
            .maybe("name_contains", self.name_contains.as_ref());
        // On the wire a colon parts key and value.
        let request = self.labels.iter().fold(request, |request, label| request.query("label", label.replacen('=', ":", 1)));
        let listed = request.pages(self.most.limit()).await?;
        let is_part = self.status.is_some() || self.region.is_some() || self.name_contains.is_some() || !self.labels.is_empty();
        let none = if is_part { "No workspace fits." } else { "No workspaces. `berth workspaces create NAME` makes one." };
        session.output.list(&listed.items, |workspaces| {
            rows(
                ["NAME", "STATUS", "REGION", "SLUG", "ID", "CREATED"],
                workspaces.iter().map(|w| {
                    [
                        plain(&w["name"]),
                        plain(&w["status"]),
                        plain(&w["region"]),
                        plain(&w["slug"]),
                        plain(&w["id"]),
                        time(&w["created_at"]),
                    ]
                }),
                none,
            )
        })?;
        self.most.tell(&listed, session.output);
        Ok(())
    }
}
