//! Deletes a workspace, restores it while that is possible, and begins its purge when it no longer is.

use std::collections::HashMap;
use std::time::Duration;

use saga::RunId;
use saga::ports::OnFailure;
use uuid::Uuid;

use super::read::find;
use super::status::{self, Transition};
use crate::access::Ground;
use crate::audit::Draft;
use crate::berth::{Replay, Reply};
use crate::model::{FreezeSource, Workspace};
use crate::names::parse_slug;
use crate::ports::{DeleteAnswer, DeleteWorkspace, Ended, IfMatch, NewRun, RestoreAnswer, RestoreWorkspace, StartPurge};
use crate::runs::new_run::{NewRunOf, newest};
use crate::steps::input::{ApplyFreezesInput, CreateWorkspaceInput, PurgeWorkspaceInput};
use crate::{Berth, Caller, Error};

/// The saga that takes away all that a deleted workspace had.
pub const SAGA: &str = "purge-workspace";

/// Freezes that a deletion waits for, and a purge.
pub const HOLDING: &[FreezeSource] = &[FreezeSource::Security, FreezeSource::Legal];

/// The code of the reason that a deletion's own freeze carries.
pub const REASON: &str = "deleted";

/// Whoever deletes says which revision he has seen. Deleting what is deleted changes nothing, whatever that revision: it may
/// be this very request, come a second time.
///
/// # Errors
/// `NotFound`, `Forbidden` (`administer`), [`Error::PreconditionRequired`], [`Error::PreconditionFailed`],
/// [`Error::RunInProgress`], [`Error::InvalidTransition`], [`Error::Frozen`], [`Error::TerminationProtected`], an outage.
pub async fn delete(berth: &Berth, caller: &Caller, id: Uuid, if_match: Option<IfMatch>) -> Result<Ended, Error> {
    let (workspace, ground) = administered(berth, caller, id).await?;
    let if_match = if_match.ok_or(Error::PreconditionRequired)?;
    let new = DeleteWorkspace {
        workspace_id: id,
        if_match,
        purge_after: berth.settings.purge_after,
        by: caller.principal,
        run: apply(berth, caller, &workspace),
        audit: draft(berth, caller, &workspace, "workspace.delete"),
    };
    match berth.deletions.delete(new).await? {
        DeleteAnswer::Deleted(ended) => {
            berth.wake.wake();
            Ok(*ended)
        }
        DeleteAnswer::Already(ended) => Ok(*ended),
        DeleteAnswer::Gone => Err(ground.not_found()),
        DeleteAnswer::OtherRevision { revision } => Err(Error::PreconditionFailed { revision }),
        DeleteAnswer::RunInProgress { run } => Err(Error::RunInProgress { run }),
        DeleteAnswer::NotAllowed { status } => Err(Transition::Delete.refused(status)),
        DeleteAnswer::Held(freezes) => Err(Error::Frozen { freezes }),
        DeleteAnswer::Protected => Err(Error::TerminationProtected),
    }
}

/// What the workspace was before it was deleted it is again; with `slug`, under another one.
///
/// # Errors
/// `NotFound`, `Forbidden` (`administer`), [`Error::Invalid`], [`Error::InvalidTransition`], [`Error::SlugTaken`], a reused key,
/// an outage.
pub async fn restore(
    berth: &Berth,
    caller: &Caller,
    id: Uuid,
    slug: Option<String>,
    replay: Option<Replay<Ended>>,
) -> Result<Reply<Ended>, Error> {
    let (workspace, ground) = administered(berth, caller, id).await?;
    let slug = slug.map(|slug| parse_slug("/slug", &slug)).transpose().map_err(Error::Invalid)?;
    let new = RestoreWorkspace {
        workspace_id: id,
        slug,
        by: caller.principal,
        run: apply(berth, caller, &workspace),
        audit: draft(berth, caller, &workspace, "workspace.restore"),
        idempotency: replay.map(|replay| replay.keyed(caller, workspace.account_id)),
    };
    match berth.deletions.restore(new).await?.fresh()? {
        Reply::Replayed(answer) => Ok(Reply::Replayed(answer)),
        Reply::Fresh(RestoreAnswer::Restored(ended)) => {
            berth.wake.wake();
            Ok(Reply::Fresh(*ended))
        }
        Reply::Fresh(RestoreAnswer::Gone) => Err(ground.not_found()),
        Reply::Fresh(RestoreAnswer::NotAllowed { status }) => Err(Transition::Restore.refused(status)),
        Reply::Fresh(RestoreAnswer::SlugTaken { slug }) => Err(Error::SlugTaken { slug }),
    }
}

async fn administered(berth: &Berth, caller: &Caller, id: Uuid) -> Result<(Workspace, Ground), Error> {
    let workspace = find(berth, id).await?;
    let ground = Ground::workspace(berth, &workspace).await?;
    ground.require_action(berth, caller).await?;
    Ok((workspace, ground))
}

fn draft(berth: &Berth, caller: &Caller, workspace: &Workspace, action: &str) -> Draft {
    Draft::of(caller, &*berth.ids, workspace.account_id, Some(workspace.id), action).target("workspace", workspace.id)
}

fn apply(berth: &Berth, caller: &Caller, workspace: &Workspace) -> NewRun {
    let account_id = workspace.account_id;
    NewRunOf {
        id: RunId(berth.ids.within(account_id)),
        saga: status::SAGA,
        account_id,
        workspace_id: Some(workspace.id),
        retry_of: None,
        exclusive: false,
        on_failure: OnFailure::Rollback,
    }
    .with(berth, caller, &ApplyFreezesInput { workspace_id: workspace.id, account_id })
}

/// Begins the purge of a workspace that is due, or begins it again; false if it is to be purged no more, or not yet.
///
/// # Errors
/// The run that made the workspace is not kept, or is of a version of Berth that this one does not know; an outage.
pub(crate) async fn start_purge(berth: &Berth, workspace: &Workspace, rest: Duration) -> Result<bool, Error> {
    let unknown =
        |why: &str| Error::VerbConflict { detail: format!("What workspace {} was made with cannot be told: {why}.", workspace.id) };
    let made = berth.runs.get(workspace.made_by).await?.ok_or_else(|| unknown("its run is not kept"))?;
    let made_with: CreateWorkspaceInput = serde_json::from_value(made.run.input).map_err(|e| unknown(&e.to_string()))?;
    let definition = newest(berth, SAGA);
    let run = NewRun {
        id: RunId(berth.ids.within(workspace.account_id)),
        definition: definition.id.clone(),
        account_id: workspace.account_id,
        workspace_id: Some(workspace.id),
        retry_of: None,
        exclusive: true,
        input: serde_json::to_value(PurgeWorkspaceInput::of(workspace.made_by, made_with)).expect("a run's input has string keys only"),
        on_failure: OnFailure::Rollback,
        total: u32::try_from(definition.steps.len()).unwrap_or(u32::MAX),
        // It carries out what that principal has asked for.
        created_by: workspace.freezes.iter().find(|f| f.source == FreezeSource::Deletion).map_or(workspace.created_by, |f| f.created_by),
        trace: HashMap::new(),
    };
    let audit = Draft::by_berth(&*berth.ids, workspace.account_id, Some(workspace.id), "workspace.purge")
        .target("workspace", workspace.id)
        .run(run.id);
    Ok(berth.deletions.purge(StartPurge { workspace_id: workspace.id, revision: workspace.revision, rest, run, audit }).await?)
}
