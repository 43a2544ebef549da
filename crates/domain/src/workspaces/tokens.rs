//! Tokens for exactly one workspace, by its id or by its name. Who has one may do there what its holder may, and nothing elsewhere.
//!
//! A name that stands for nothing yet can be the way to a new workspace. Requests that ask for the same one at once are led to one
//! workspace by an idempotency key of the name's own, whoever sends them; the next try after a workspace that failed has the key of
//! that one, so that a name is never stuck with a failure.

use std::time::Duration;

use saga::RunId;
use saga::ports::OnFailure;
use serde_json::json;
use uuid::Uuid;

use super::create::{Accepted, Request, create_with};
use super::named::{self, Found};
use super::read::find;
use crate::access::{Freshness, Ground};
use crate::audit::Draft;
use crate::berth::Reply;
use crate::labels::Labels;
use crate::model::{TenancyModel, Workspace, WorkspaceStatus};
use crate::names::Name;
use crate::ports::{Answer, Idempotency, IdempotencyKey, MintAnswer};
use crate::{Berth, Caller, Error, Principal, PrincipalKind};

/// How long such a token lives.
pub const TOKEN_LIFETIME: Duration = Duration::from_mins(20);
/// How many failed workspaces of one name are passed over, all of one day.
const FAILED_MAX: usize = 100;

/// A token that may be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minted {
    pub token_id: Uuid,
    pub workspace_id: Uuid,
    /// While the workspace is being made: by which run.
    pub run_id: Option<RunId>,
}

/// # Errors
/// `NotFound`, [`Error::Frozen`], [`Error::WorkspaceNotActive`] for what is deleted or has failed, or an outage.
pub async fn mint(berth: &Berth, caller: &Caller, id: Uuid) -> Result<Minted, Error> {
    let workspace = find(berth, id).await?;
    Ground::workspace(berth, &workspace).await?.require_open(berth, caller, Freshness::Full).await?;
    mint_for(berth, caller, &workspace).await
}

/// By name; one that stands for nothing makes a workspace, where the installation allows it.
///
/// # Errors
/// As [`mint`]; `NameAmbiguous` and `NameRetired`; as a create, where it comes to that; [`Error::DefaultRegionMissing`].
pub async fn mint_by_name(berth: &Berth, caller: &Caller, account: Uuid, name: &str) -> Result<Minted, Error> {
    let parsed = Name::parse("/name", name).map_err(Error::Invalid)?;
    match named::find(berth, caller, account, &parsed).await? {
        Found::One(workspace) => {
            let ground = Ground::workspace(berth, &workspace).await?;
            ground.require_open(berth, caller, Freshness::Full).await?;
            mint_for(berth, caller, &workspace).await
        }
        Found::Nothing if berth.settings.mint_creates => create_and_mint(berth, caller, account, &parsed).await,
        Found::Nothing => Err(Error::NotFound { what: "workspace" }),
    }
}

async fn mint_for(berth: &Berth, caller: &Caller, workspace: &Workspace) -> Result<Minted, Error> {
    let token_id = berth.ids.within(workspace.account_id);
    let audit = Draft::of(caller, &*berth.ids, workspace.account_id, Some(workspace.id), "token.issue")
        .target("workspace", workspace.id)
        .target("token", token_id)
        .outcome("succeeded")
        .after(json!({ "kind": "workspace" }));
    match berth.tokens.minted(workspace.id, audit).await? {
        MintAnswer::Minted => {
            let run_id = (workspace.status == WorkspaceStatus::Provisioning).then_some(workspace.run_id);
            Ok(Minted { token_id, workspace_id: workspace.id, run_id })
        }
        MintAnswer::Frozen(freezes) => Err(Error::Frozen { freezes }),
        MintAnswer::NotAllowed { status } => Err(Error::WorkspaceNotActive { status: status.as_str() }),
    }
}

async fn create_and_mint(berth: &Berth, caller: &Caller, account: Uuid, name: &Name) -> Result<Minted, Error> {
    let region = region(berth, account).await?;
    let mut after = Uuid::nil();
    for _ in 0..FAILED_MAX {
        let request = Request {
            account_id: account,
            name: name.as_str().to_owned(),
            region: region.clone(),
            slug: None,
            tenancy_model: TenancyModel::Shared,
            on_failure: OnFailure::Rollback,
            labels: Labels::default(),
            termination_protection: false,
        };
        let keep = |accepted: &Accepted| Some(Idempotency { key: key(account, name, after), answer: told(accepted) });
        let id = match create_with(berth, caller, request, keep).await? {
            Reply::Fresh(accepted) => accepted.workspace_id,
            Reply::Replayed(answer) => workspace_in(&answer)?,
        };
        let workspace = find(berth, id).await?;
        if workspace.status != WorkspaceStatus::Failed {
            return mint_for(berth, caller, &workspace).await;
        }
        after = id;
    }
    Err(Error::WorkspaceNotActive { status: WorkspaceStatus::Failed.as_str() })
}

/// The account's default, or the only one that there is.
async fn region(berth: &Berth, account: Uuid) -> Result<String, Error> {
    if let Some(region) = berth.account_settings.default_region(account).await? {
        return Ok(region);
    }
    match berth.settings.regions.as_slice() {
        [only] => Ok(only.name.clone()),
        _ => Err(Error::DefaultRegionMissing),
    }
}

/// Of all requests for this name, whoever sends them; `after` the workspace that failed last.
fn key(account: Uuid, name: &Name, after: Uuid) -> IdempotencyKey {
    IdempotencyKey {
        account_id: account,
        principal: Principal { kind: PrincipalKind::User, id: Uuid::nil() },
        on_behalf_of: None,
        method: "MINT".to_owned(),
        path: name.folded(),
        key: after.to_string(),
        fingerprint: Vec::new(),
    }
}

fn told(accepted: &Accepted) -> Answer {
    Answer { status: 202, location: None, body: json!({ "workspace_id": accepted.workspace_id }) }
}

fn workspace_in(answer: &Answer) -> Result<Uuid, Error> {
    let id = answer.body["workspace_id"].as_str().and_then(|id| Uuid::try_parse(id).ok());
    id.ok_or_else(|| Error::Store(saga::StoreError::Broken("a kept answer names no workspace".to_owned())))
}
