//! `berth accounts`: create them, and look at them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::names;
use super::session::Ask;
use super::stop::Stop;
use super::table::{card, plain, rows, time};
use super::waiting::{Wait, hint};
use crate::config::Environment;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Creates an account; you become its owner.
    Create(Create),
    /// Lists the accounts that you created or are a member of.
    List(List),
    /// Shows an account.
    Get(Get),
}

impl Command {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        match self {
            Self::Create(create) => create.run(environment).await,
            Self::List(list) => list.run(environment).await,
            Self::Get(get) => get.run(environment).await,
        }
    }
}

#[derive(Debug, Args)]
pub struct Create {
    /// The account's name.
    name: String,
    /// Makes the command safe to repeat: with the same key it makes one account. Without it a key is made.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    ask: Ask,
}

impl Create {
    async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let mut request = session.client.post("/v1/accounts").body(json!({"name": self.name}));
        if let Some(key) = &self.idempotency_key {
            request = request.key(key);
        }
        let accepted = request.send().await?.body;
        let (account, run) = (plain(&accepted["account_id"]), plain(&accepted["provisioning_run_id"]));
        if self.wait.wanted() {
            self.wait.run(&session, &run).await?;
            let account = session.client.get(format!("/v1/accounts/{account}")).send().await?.body;
            return session.output.item(&account, shown);
        }
        session.output.item(&accepted, |accepted| {
            card([("Account", account), ("Run", run.clone()), ("Status", plain(&accepted["status"]))]) + &hint(&run)
        })
    }
}

#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    most: super::most::Most,
    #[command(flatten)]
    ask: Ask,
}

impl List {
    async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let listed = session.client.get("/v1/accounts").pages(self.most.limit()).await?;
        session.output.list(&listed.items, |accounts| {
            rows(
                ["NAME", "STATUS", "ID", "CREATED"],
                accounts.iter().map(|a| [plain(&a["name"]), plain(&a["status"]), plain(&a["id"]), time(&a["created_at"])]),
                "No accounts. `berth accounts create NAME` makes one.",
            )
        })?;
        self.most.tell(&listed, session.output);
        Ok(())
    }
}

#[derive(Debug, Args)]
pub struct Get {
    /// The account's name or id; without it the only one that you have.
    #[arg(value_name = "NAME|ID")]
    account: Option<String>,
    #[command(flatten)]
    ask: Ask,
}

impl Get {
    async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let id = names::account(&session.client, self.account.as_deref()).await?;
        let account = session.client.get(format!("/v1/accounts/{id}")).send().await?.body;
        session.output.item(&account, shown)
    }
}

fn shown(account: &Value) -> String {
    card([
        ("Name", plain(&account["name"])),
        ("Id", plain(&account["id"])),
        ("Status", plain(&account["status"])),
        ("Slug", plain(&account["slug"])),
        ("Created", time(&account["created_at"])),
        ("Created by", format!("{} {}", plain(&account["created_by"]["type"]), plain(&account["created_by"]["id"]))),
    ])
}
