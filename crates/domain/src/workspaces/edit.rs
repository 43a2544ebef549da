//! Changes a workspace's name, labels and termination protection. Its slug stays, and so does every name that it had: by
//! those it is still known, and nobody else is.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::read::{View, find, view_with};
use crate::access::Ground;
use crate::audit::Draft;
use crate::labels::{self, LabelsPatch};
use crate::model::Workspace;
use crate::names::Name;
use crate::ports::{EditAnswer, EditWorkspace, IfMatch};
use crate::{Berth, Caller, Error, Invalid};

/// As the caller asked; nothing is checked yet. `None`: stays.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub name: Option<String>,
    pub labels: Option<LabelsPatch>,
    pub termination_protection: Option<bool>,
}

/// What is to be changed, once it is known to be right by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub name: Option<Name>,
    pub labels: Option<LabelsPatch>,
    pub termination_protection: Option<bool>,
}

/// A workspace after an edit; `before` and `after` tell what differs, and are empty if nothing does.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    pub workspace: Workspace,
    pub before: Map<String, Value>,
    pub after: Map<String, Value>,
}

impl Edit {
    fn parse(request: Request) -> Result<Self, Error> {
        if request.name.is_none() && request.labels.is_none() && request.termination_protection.is_none() {
            return Err(Error::invalid("", "Give at least one of `name`, `labels` and `termination_protection`."));
        }
        let name = request.name.map(|name| Name::parse("/name", &name)).transpose();
        let labels = request.labels.map(|labels| labels::parse_patch("/labels", labels)).transpose();
        match (name, labels) {
            (Ok(name), Ok(labels)) => Ok(Self { name, labels, termination_protection: request.termination_protection }),
            (name, labels) => Err(Error::Invalid([name.err(), labels.err()].into_iter().flatten().flatten().collect())),
        }
    }

    /// What the edit makes of `workspace`. Pure: the store decides by it under the workspace's lock.
    ///
    /// # Errors
    /// Too many labels.
    pub fn of(&self, workspace: &Workspace) -> Result<Edited, Vec<Invalid>> {
        let mut edited = Edited { workspace: workspace.clone(), before: Map::new(), after: Map::new() };
        let mut note = |field: &str, before: Value, after: Value| {
            if before != after {
                edited.before.insert(field.to_owned(), before);
                edited.after.insert(field.to_owned(), after);
            }
        };
        if let Some(name) = &self.name {
            note("name", json!(workspace.name), json!(name.as_str()));
            name.as_str().clone_into(&mut edited.workspace.name);
        }
        if let Some(patch) = &self.labels {
            let labels = labels::patched("/labels", &workspace.labels, patch)?;
            note("labels", json!(workspace.labels), json!(labels));
            edited.workspace.labels = labels;
        }
        if let Some(protection) = self.termination_protection {
            note("termination_protection", json!(workspace.termination_protection), json!(protection));
            edited.workspace.termination_protection = protection;
        }
        Ok(edited)
    }
}

/// # Errors
/// `NotFound`, `Forbidden` (`administer`), [`Error::Invalid`], [`Error::PreconditionFailed`], [`Error::Frozen`], an outage.
pub async fn edit(berth: &Berth, caller: &Caller, id: Uuid, request: Request, if_match: Option<IfMatch>) -> Result<View, Error> {
    let workspace = find(berth, id).await?;
    let ground = Ground::workspace(berth, &workspace).await?;
    let rights = ground.rights_to_act(berth, caller).await?;
    let edit = Edit::parse(request)?;
    let audit =
        Draft::of(caller, &*berth.ids, workspace.account_id, Some(id), "workspace.update").target("workspace", id).outcome("succeeded");
    match berth.edits.edit(EditWorkspace { workspace_id: id, edit, if_match, audit }).await? {
        EditAnswer::Done(workspace) => view_with(berth, *workspace, rights).await,
        EditAnswer::Gone => Err(ground.not_found()),
        EditAnswer::OtherRevision { revision } => Err(Error::PreconditionFailed { revision }),
        EditAnswer::Frozen(freezes) => Err(Error::Frozen { freezes }),
        EditAnswer::Invalid(invalid) => Err(Error::Invalid(invalid)),
    }
}
