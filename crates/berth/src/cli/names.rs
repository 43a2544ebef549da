//! Names or ids, everywhere: what is written as a uuid is an id, anything else a name that is looked up through the API.

use serde_json::Value;
use uuid::Uuid;

use super::client::{Client, segment};
use super::document::Document;
use super::exit::Exit;
use super::stop::Stop;
use super::table::{plain, printable};

/// The id that a text is.
pub fn id(text: &str) -> Option<String> {
    Uuid::try_parse(text).ok().map(|id| id.to_string())
}

/// The id of an account: the one named, that of the environment, or the caller's only one.
///
/// # Errors
/// There is none of that name, or several.
pub async fn account(client: &Client, given: Option<&str>) -> Result<String, Stop> {
    if let Some(found) = account_if_clear(client, given).await? {
        return Ok(found);
    }
    let known = accounts(client).await?;
    if known.is_empty() {
        return Err(Stop::new(
            Exit::NotFound,
            "you have no account",
            "Create one with `berth accounts create NAME`, or name one by its id: --account ID.",
        ));
    }
    Err(Stop::usage("you have several accounts", format!("Say which: --account with one of {}.", listed(&known))))
}

/// The account that is meant, unless the caller has none or several and names none.
async fn account_if_clear(client: &Client, given: Option<&str>) -> Result<Option<String>, Stop> {
    let Some(name) = given.or(client.account()) else {
        return Ok(match &client.get("/v1/accounts").pages(Some(2)).await?.items[..] {
            [one] => one["id"].as_str().map(str::to_owned),
            _ => None,
        });
    };
    if let Some(id) = id(name) {
        return Ok(Some(id));
    }
    let named: Vec<Document> = accounts(client).await?.into_iter().filter(|a| same(&a["name"], name) || a["slug"] == name).collect();
    one(&named, "account", name).map(Some)
}

async fn accounts(client: &Client) -> Result<Vec<Document>, Stop> {
    Ok(client.get("/v1/accounts").pages(None).await?.items)
}

/// The id of a workspace: the text itself, or what the name stands for in the account.
///
/// # Errors
/// There is none of that name, or several, whose ids are told.
pub async fn workspace(client: &Client, name: &str, account: Option<&str>) -> Result<String, Stop> {
    if let Some(id) = id(name) {
        return Ok(id);
    }
    if name.trim().is_empty() {
        return Err(Stop::usage("the workspace's name is empty", "Name it, or give its id."));
    }
    match account_if_clear(client, account).await? {
        Some(account) => {
            let found = client.get(format!("/v1/accounts/{account}/workspaces/by-name/{}", segment(name))).send().await;
            match found {
                Ok(answer) => Ok(text(&answer.body["id"])),
                // A workspace that was never whole has no claim to its name, but is in the lists.
                Err(stop) if stop.code() == Some("not_found") => {
                    let mut named = memberships(client, name).await?;
                    named.retain(|workspace| workspace["account_id"] == *account);
                    one(&named, "workspace", name)
                }
                Err(stop) => Err(stop),
            }
        }
        // Who has no account may be a member of workspaces.
        None => one(&memberships(client, name).await?, "workspace", name),
    }
}

/// The same for a workspace that may have been deleted: a name of which only one workspace is left over is that one's.
///
/// # Errors
/// As `workspace`.
pub async fn gone_workspace(client: &Client, name: &str, account: Option<&str>) -> Result<String, Stop> {
    match workspace(client, name, account).await {
        Err(Stop::Problem { problem, .. }) if problem["code"] == "name_retired" && problem["workspace_ids"][1].is_null() => {
            problem["workspace_ids"][0].as_str().map(str::to_owned).ok_or_else(|| none("workspace", name))
        }
        found => found,
    }
}

/// The workspaces of this name that the caller is a member of.
async fn memberships(client: &Client, name: &str) -> Result<Vec<Document>, Stop> {
    let found = client.get("/v1/workspaces").query("name_contains", name).pages(None).await?.items;
    Ok(found.into_iter().filter(|workspace| same(&workspace["name"], name)).collect())
}

/// The id of a run: the text itself, or the latest run of the workspace of that name.
///
/// # Errors
/// There is no such workspace, or it has no run that the caller may see.
pub async fn run(client: &Client, name: &str, account: Option<&str>) -> Result<String, Stop> {
    if let Some(id) = id(name) {
        return Ok(id);
    }
    let workspace = workspace(client, name, account).await?;
    // The one that `workspaces get` shows: carrying a freeze to the backends is no run that somebody means.
    let found = client.get(format!("/v1/workspaces/{workspace}")).send().await?.body;
    found["run"]["id"].as_str().map(str::to_owned).ok_or_else(|| {
        Stop::new(
            Exit::NotFound,
            format!("the latest run of {} is kept no longer", printable(name)),
            format!("`berth runs list --workspace {workspace}` shows those that are."),
        )
    })
}

/// The one thing of that name.
fn one(named: &[Document], kind: &str, name: &str) -> Result<String, Stop> {
    match named {
        [one] => Ok(text(&one["id"])),
        [] => Err(none(kind, name)),
        several => Err(Stop::new(
            Exit::Conflict,
            format!("{} {kind}s are called {}", several.len(), printable(name)),
            format!("Name one by its id: {}.", listed(several)),
        )),
    }
}

fn none(kind: &str, name: &str) -> Stop {
    Stop::new(
        Exit::NotFound,
        format!("there is no {kind} called {}, or you may not see it", printable(name)),
        format!(
            "`berth {kind}s list` shows those that you may see{}.",
            if kind == "workspace" { "; --account says where to look" } else { "" }
        ),
    )
}

fn listed(things: &[Document]) -> String {
    things.iter().map(|thing| format!("{} ({})", plain(&thing["id"]), plain(&thing["name"]))).collect::<Vec<_>>().join(", ")
}

/// Names are compared as the API folds them: whatever the case, blanks around them apart.
fn same(value: &Value, name: &str) -> bool {
    value.as_str().is_some_and(|text| text.trim().to_lowercase() == name.trim().to_lowercase())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
