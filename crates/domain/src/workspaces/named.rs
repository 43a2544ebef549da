//! Looks a workspace up by name. A name that it has once had stays its own: whoever uses an old name learns what became of
//! it, and is never led to another workspace that has the name by now.

use uuid::Uuid;

use super::read::{View, readable, view};
use crate::access::{Right, ask};
use crate::model::Workspace;
use crate::names::Name;
use crate::permissions::Consistency;
use crate::ports::Named;
use crate::{Berth, Caller, Error};

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
enum Meaning {
    Nothing,
    One(Box<Workspace>),
    /// Several have it.
    Ambiguous(Vec<Workspace>),
    /// The first has another name by now, or is deleted; the others have it now.
    Retired(Vec<Workspace>),
}

impl Meaning {
    fn of(named: Named) -> Self {
        let Named { alias, mut live } = named;
        match alias {
            Some(holder) if live.iter().all(|workspace| workspace.id != holder.id) => {
                live.insert(0, holder);
                Self::Retired(live)
            }
            _ if live.len() > 1 => Self::Ambiguous(live),
            _ => live.pop().map_or(Self::Nothing, |one| Self::One(Box::new(one))),
        }
    }
}

/// The workspace as a read by id shows it. Case and white space of `name` do not matter.
///
/// # Errors
/// `NotFound`, where the name means nothing that the caller may read; [`Error::NameAmbiguous`] and [`Error::NameRetired`] with
/// the ids that the caller may read; [`Error::Invalid`] for what is no name; as a read by id.
pub async fn by_name(berth: &Berth, caller: &Caller, account: Uuid, name: &str) -> Result<View, Error> {
    let name = Name::parse("{name}", name).map_err(Error::Invalid)?;
    match find(berth, caller, account, &name).await? {
        Found::One(workspace) => view(berth, caller, *workspace).await,
        Found::Nothing => {
            // An outage is told whether or not there is something: nobody learns from it.
            ask(berth, caller, &Consistency::MinimizeLatency, &[&Right::on_account(account, "read")]).await?;
            Err(not_found())
        }
    }
}

/// What a name stands for, where that is not ruled out.
pub(super) enum Found {
    /// Whether or not the caller may see it.
    One(Box<Workspace>),
    Nothing,
}

/// # Errors
/// As [`by_name`], but for what is only one.
pub(super) async fn find(berth: &Berth, caller: &Caller, account: Uuid, name: &Name) -> Result<Found, Error> {
    let meaning = Meaning::of(berth.edits.by_name(account, &name.folded()).await?);
    let meant = match &meaning {
        Meaning::One(workspace) => return Ok(Found::One(workspace.clone())),
        Meaning::Nothing => return Ok(Found::Nothing),
        Meaning::Ambiguous(all) | Meaning::Retired(all) => all,
    };
    let seen = readable(berth, caller, meant).await?;
    let workspaces: Vec<Uuid> = meant.iter().zip(seen).filter(|(_, seen)| *seen).map(|(workspace, _)| workspace.id).collect();
    Err(match meaning {
        _ if workspaces.is_empty() => not_found(),
        Meaning::Ambiguous(_) => Error::NameAmbiguous { workspaces },
        _ => Error::NameRetired { workspaces },
    })
}

fn not_found() -> Error {
    Error::NotFound { what: "workspace" }
}
