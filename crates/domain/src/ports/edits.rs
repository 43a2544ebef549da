//! A workspace's name, labels and termination protection: changed by whoever administers it, looked up by name.

use async_trait::async_trait;
use saga::StoreError;
use uuid::Uuid;

use super::IfMatch;
use crate::Invalid;
use crate::audit::Draft;
use crate::model::{Freeze, Workspace};
use crate::workspaces::edit::Edit;

/// An edit that is asked for.
#[derive(Debug, Clone)]
pub struct EditWorkspace {
    pub workspace_id: Uuid,
    pub edit: Edit,
    pub if_match: Option<IfMatch>,
    /// What was before and what is afterwards is filled in.
    pub audit: Draft,
}

/// Nothing was changed unless it is `Done`.
#[derive(Debug, Clone, PartialEq)]
pub enum EditAnswer {
    /// The workspace as it is now; with nothing to change, as it was.
    Done(Box<Workspace>),
    /// It is gone.
    Gone,
    /// The row is not one that the caller takes.
    OtherRevision { revision: i64 },
    /// The workspace's gate is shut.
    Frozen(Vec<Freeze>),
    /// With what there is already, it breaks a rule.
    Invalid(Vec<Invalid>),
}

/// What an account knows under a name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Named {
    /// Whose the name is, whatever has become of it: the first that had it, and has not failed and is not purged.
    pub alias: Option<Workspace>,
    /// Live (provisioning or active) workspaces that have the name now, by id; not more than a hundred.
    pub live: Vec<Workspace>,
}

#[async_trait]
pub trait Edits: Send + Sync + 'static {
    /// Gate, row, alias of the new name, audit entry: one commit.
    async fn edit(&self, new: EditWorkspace) -> Result<EditAnswer, StoreError>;
    /// `folded_name` as [`crate::names::Name::folded`] makes it.
    async fn by_name(&self, account: Uuid, folded_name: &str) -> Result<Named, StoreError>;
}
