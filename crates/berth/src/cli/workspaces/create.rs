//! `berth workspaces create`.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::labels::Label;
use crate::cli::names;
use crate::cli::session::{Ask, InAccount};
use crate::cli::stop::Stop;
use crate::cli::table::{card, plain, rows};
use crate::cli::waiting::{Wait, hint};
use crate::config::Environment;

#[derive(Debug, Args)]
pub struct Create {
    /// The workspace's name.
    name: String,
    /// The region; may be left out where there is only one.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// The slug; without it one is made from the name.
    #[arg(long, value_name = "SLUG")]
    slug: Option<String>,
    /// Whether the workspace shares its platforms with others.
    #[arg(long, value_enum, value_name = "MODEL")]
    tenancy_model: Option<TenancyModel>,
    /// What happens when a step fails: everything is taken back, or the run waits for a person.
    #[arg(long, value_enum, value_name = "WHAT")]
    on_failure: Option<OnFailure>,
    /// A label; may be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Label>,
    /// Only checks, and shows the plan.
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Makes the command safe to repeat: with the same key it makes one workspace. Without it a key is made.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    account: InAccount,
    #[command(flatten)]
    ask: Ask,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TenancyModel {
    Shared,
    Dedicated,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnFailure {
    Rollback,
    Hold,
}

impl Create {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let body = self.body(&session.client).await?;
        let mut request = session.client.post("/v1/workspaces").body(body);
        if self.dry_run {
            request = request.query("dry_run", true);
        }
        if let Some(key) = &self.idempotency_key {
            request = request.key(key);
        }
        let answer = request.send().await?.body;
        if self.dry_run {
            return session.output.item(&answer, plan);
        }
        let (workspace, run) = (plain(&answer["workspace_id"]), plain(&answer["provisioning_run_id"]));
        if self.wait.wanted() {
            self.wait.run(&session, &run).await?;
            let workspace = session.client.get(format!("/v1/workspaces/{workspace}")).send().await?.body;
            return session.output.item(&workspace, super::get::shown);
        }
        session.output.item(&answer, |answer| {
            card([("Workspace", workspace), ("Run", run.clone()), ("Status", plain(&answer["status"]))]) + &hint(&run)
        })
    }

    async fn body(&self, client: &Client) -> Result<Value, Stop> {
        let region = match &self.region {
            Some(region) => region.clone(),
            None => only_region(client).await?,
        };
        let mut body = json!({
            "account_id": names::account(client, self.account.account.as_deref()).await?,
            "name": self.name,
            "region": region,
        });
        if let Some(slug) = &self.slug {
            body["slug"] = json!(slug);
        }
        if let Some(model) = self.tenancy_model {
            body["tenancy_model"] = json!(match model {
                TenancyModel::Shared => "shared",
                TenancyModel::Dedicated => "dedicated",
            });
        }
        if let Some(on_failure) = self.on_failure {
            body["on_failure"] = json!(match on_failure {
                OnFailure::Rollback => "rollback",
                OnFailure::Hold => "hold",
            });
        }
        if !self.labels.is_empty() {
            body["labels"] = Label::object(&self.labels);
        }
        Ok(body)
    }
}

async fn only_region(client: &Client) -> Result<String, Stop> {
    let regions = client.get("/v1/regions").send().await?.body;
    let names: Vec<&str> = regions.as_array().into_iter().flatten().filter_map(|region| region["name"].as_str()).collect();
    match &names[..] {
        [one] => Ok((*one).to_owned()),
        several => Err(Stop::usage("there are several regions", format!("Say which: --region with one of {}.", several.join(", ")))),
    }
}

fn plan(plan: &Value) -> String {
    let steps = plan["steps"].as_array().map_or(&[][..], Vec::as_slice);
    let what = format!("Would run {} v{}; the slug would be {}.\n\n", plain(&plan["saga"]), plain(&plan["version"]), plain(&plan["slug"]));
    what + &rows(
        ["STAGE", "STEP", "UNDO"],
        steps.iter().map(|step| {
            let stage = step["stage"].as_u64().map_or_else(|| "-".to_owned(), |stage| (stage + 1).to_string());
            [stage, plain(&step["name"]), plain(&step["undo"])]
        }),
        "No steps.",
    )
}
