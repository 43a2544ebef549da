//! What the tests ask of the store.

use domain::ports::{DeleteWorkspace, IfMatch, NewRun, RestoreWorkspace};
use saga::DefinitionId;
use uuid::Uuid;

use super::MONTH;
use crate::world::{draft, new_run, user};

pub fn carrier(account: Uuid, workspace: Uuid) -> NewRun {
    let definition = DefinitionId { name: "apply-freezes".to_owned(), version: 1, digest: "digest".to_owned() };
    NewRun { definition, exclusive: false, ..new_run(account, Some(workspace)) }
}

pub fn delete_of(account: Uuid, workspace: Uuid) -> DeleteWorkspace {
    DeleteWorkspace {
        workspace_id: workspace,
        if_match: IfMatch::Any,
        purge_after: MONTH,
        by: user(),
        run: carrier(account, workspace),
        audit: draft(account, Some(workspace), "workspace.delete"),
    }
}

pub fn restore_of(account: Uuid, workspace: Uuid, slug: Option<&str>) -> RestoreWorkspace {
    RestoreWorkspace {
        workspace_id: workspace,
        slug: slug.map(str::to_owned),
        by: user(),
        run: carrier(account, workspace),
        audit: draft(account, Some(workspace), "workspace.restore"),
        idempotency: None,
    }
}
