//! `berth workspaces list`.

use clap::Args;

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
    /// Only those of this status: provisioning, active, frozen, failed or deleted.
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
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

impl List {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let path = match &self.account {
            None => "/v1/workspaces".to_owned(),
            Some(account) => format!("/v1/workspaces/by-account/{}", names::account(&session.client, Some(account)).await?),
        };
        let request = session
            .client
            .get(path)
            .maybe("status", self.status.as_ref())
            .maybe("region", self.region.as_ref())
            .maybe("name_contains", self.name_contains.as_ref());
        // On the wire a colon parts key and value.
        let request = self.labels.iter().fold(request, |request, label| request.query("label", label.replacen('=', ":", 1)));
        let listed = request.pages(self.most.limit()).await?;
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
                "No workspaces. `berth workspaces create NAME` makes one.",
            )
        })?;
        self.most.tell(&listed, session.output);
        Ok(())
    }
}
