//! What those who stand in a log are called: entries know them by their ids only, which never change.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::exit::Exit;
use crate::cli::names;
use crate::cli::stop::Stop;
use crate::cli::table::{plain, printable};

/// The members of an account or a workspace, by id.
#[derive(Default)]
pub struct Actors(BTreeMap<String, String>);

impl Actors {
    /// Who may read the log but not the members sees ids.
    pub async fn of(client: &Client, scope: &str) -> Self {
        let members = client.get(format!("{scope}/members")).pages(None).await.map(|listed| listed.items).unwrap_or_default();
        Self(members.iter().filter(|m| m["name"].is_string()).map(|m| (plain(&m["id"]), plain(&m["name"]))).collect())
    }

    /// The id that is one, or the one of the member of that name.
    pub fn id(&self, name: &str) -> Result<String, Stop> {
        names::id(name).or_else(|| self.0.iter().find(|(_, known)| *known == name).map(|(id, _)| id.clone())).ok_or_else(|| {
            let advice = "`berth members list` shows who is. Who is none any more is named by his id.";
            Stop::new(Exit::NotFound, format!("no member is called {}", printable(name)), advice)
        })
    }

    /// Who did what an entry tells.
    pub fn who(&self, entry: &Value) -> String {
        let called = |actor: &Value| {
            let id = plain(&actor["id"]);
            self.0.get(&id).cloned().unwrap_or(id)
        };
        let actor = &entry["actor"];
        if actor.is_null() {
            return "berth".to_owned();
        }
        let mut who = format!("{} {}", plain(&actor["type"]), called(actor));
        if actor["on_behalf_of"].is_object() {
            who.push_str(" for ");
            who.push_str(&called(&actor["on_behalf_of"]));
        }
        who
    }
}
