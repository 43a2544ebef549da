//! `berth members`: who has which role on an account or a workspace.

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::exit::Exit;
use super::most::Most;
use super::names;
use super::session::Ask;
use super::stop::Stop;
use super::table::{plain, printable, rows, time};
use crate::config::Environment;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists the members of an account or a workspace.
    List(List),
    /// Gives somebody a role.
    Add(Add),
    /// Changes a member's role.
    SetRole(SetRole),
    /// Takes a member's role away, at once.
    Remove(Remove),
}

impl Command {
    pub async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        match self {
            Self::List(command) => command.run(environment).await,
            Self::Add(command) => command.run(environment).await,
            Self::SetRole(command) => command.run(environment).await,
            Self::Remove(command) => command.run(environment).await,
        }
    }
}

/// Members of what.
#[derive(Debug, Args)]
#[group(required = true, multiple = true, args = ["account", "workspace"])]
struct Of {
    /// The account, by name or id; with --workspace it is where that is looked up.
    #[arg(long, value_name = "NAME|ID")]
    account: Option<String>,
    /// The workspace, by name or id.
    #[arg(long, value_name = "NAME|ID")]
    workspace: Option<String>,
}

impl Of {
    async fn path(&self, client: &Client) -> Result<String, Stop> {
        path(client, self.workspace.as_deref(), self.account.as_deref()).await
    }
}

/// Where the members of a workspace stand, or of an account.
pub async fn path(client: &Client, workspace: Option<&str>, account: Option<&str>) -> Result<String, Stop> {
    Ok(match workspace {
        Some(workspace) => format!("/v1/workspaces/{}/members", names::workspace(client, workspace, account).await?),
        None => format!("/v1/accounts/{}/members", names::account(client, account).await?),
    })
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    Owner,
    Admin,
    Member,
    Viewer,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
        }
    }
}

#[derive(Debug, Args)]
pub struct List {
    /// Those of an account, by name or id; without it those of `BERTH_ACCOUNT_ID`, or of the only account that you have.
    #[arg(long, value_name = "NAME|ID")]
    account: Option<String>,
    /// Those of a workspace, by name or id, which is looked up in the account.
    #[arg(long, value_name = "NAME|ID")]
    workspace: Option<String>,
    #[command(flatten)]
    most: Most,
    #[command(flatten)]
    ask: Ask,
}

impl List {
    async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let path = path(&session.client, self.workspace.as_deref(), self.account.as_deref()).await?;
        let listed = session.client.get(path).pages(self.most.limit()).await?;
        session.output.list(&listed.items, |members| table(members.iter().map(|m| &**m)))?;
        self.most.tell(&listed, session.output);
        Ok(())
    }
}

fn table<'a>(members: impl IntoIterator<Item = &'a Value>) -> String {
    rows(
        ["NAME", "TYPE", "ROLE", "STATE", "ID", "SINCE"],
        members.into_iter().map(|m| {
            [plain(&m["name"]), plain(&m["type"]), plain(&m["role"]), plain(&m["state"]), plain(&m["id"]), time(&m["created_at"])]
        }),
        "No members.",
    )
}

/// Who.
#[derive(Debug, Args)]
#[group(required = true, multiple = false, args = ["user", "service_account"])]
struct Whom {
    /// The user, by name or id.
    #[arg(long, value_name = "NAME|ID")]
    user: Option<String>,
    /// The service account, by name or id.
    #[arg(long, value_name = "NAME|ID")]
    service_account: Option<String>,
}

impl Whom {
    fn kind(&self) -> &'static str {
        if self.service_account.is_some() { "service_account" } else { "user" }
    }

    fn name(&self) -> &str {
        self.user.as_ref().or(self.service_account.as_ref()).map_or("", String::as_str)
    }

    /// The id of a member.
    async fn id(&self, client: &Client, path: &str) -> Result<String, Stop> {
        if let Some(id) = names::id(self.name()) {
            return Ok(id);
        }
        let members = client.get(path).pages(None).await?.items;
        let found = members.iter().find(|member| member["type"] == self.kind() && member["name"] == *self.name());
        found.map(|member| plain(&member["id"])).ok_or_else(|| {
            Stop::new(
                Exit::NotFound,
                format!("no {} called {} is a member", self.kind().replace('_', " "), printable(self.name())),
                "`berth members list` shows who is.",
            )
        })
    }
}

#[derive(Debug, Args)]
pub struct Add {
    #[command(flatten)]
    whom: Whom,
    /// The role; `viewer` is for workspaces, an owner is a user.
    #[arg(long, value_enum, value_name = "ROLE")]
    role: Role,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    ask: Ask,
}

impl Add {
    async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let path = self.of.path(&session.client).await?;
        let mut body = json!({"type": self.whom.kind(), "role": self.role.word()});
        match names::id(self.whom.name()) {
            Some(id) => body["id"] = json!(id),
            None => body["name"] = json!(self.whom.name()),
        }
        let member = session.client.post(path).body(body).send().await?.body;
        session.output.item(&member, shown)
    }
}

/// One member, and whether the role holds yet.
fn shown(member: &Value) -> String {
    let mut text = table([member]);
    if member["state"] == "pending" {
        text.push_str("\nIt is recorded, and holds in a moment: the permission system is still to be told.\n");
    }
    text
}

#[derive(Debug, Args)]
pub struct SetRole {
    #[command(flatten)]
    whom: Whom,
    /// The new role; `viewer` is for workspaces, an owner is a user.
    #[arg(long, value_enum, value_name = "ROLE")]
    role: Role,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    ask: Ask,
}

impl SetRole {
    async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let path = self.of.path(&session.client).await?;
        let id = self.whom.id(&session.client, &path).await?;
        let body = json!({"role": self.role.word()});
        let member = session.client.request(Method::PATCH, format!("{path}/{id}")).body(body).send().await?.body;
        session.output.item(&member, shown)
    }
}

#[derive(Debug, Args)]
pub struct Remove {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    ask: Ask,
}

impl Remove {
    async fn run(&self, environment: &Environment) -> Result<(), Stop> {
        let session = self.ask.session(environment)?;
        let path = self.of.path(&session.client).await?;
        let id = self.whom.id(&session.client, &path).await?;
        let removed = session.client.request(Method::DELETE, format!("{path}/{id}")).send().await?.body;
        session.output.item(&removed, |removed| {
            let when = if removed["state"] == "pending" { "is no member in a moment: it is recorded" } else { "is no member any more" };
            format!("{} {when}.\n", printable(self.whom.name()))
        })
    }
}
