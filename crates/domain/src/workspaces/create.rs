//! Creates a workspace: checks what was asked, fixes every id, and records the run that does the rest.

use saga::RunId;
use saga::ports::OnFailure;
use uuid::Uuid;

use crate::berth::{Replay, Reply};
use crate::model::TenancyModel;
use crate::{Berth, Caller, Error};

/// As the caller asked; nothing is checked yet.
#[derive(Debug, Clone)]
pub struct Request {
    pub account_id: Uuid,
    pub name: String,
    pub region: String,
    pub slug: Option<String>,
    pub tenancy_model: TenancyModel,
    pub on_failure: OnFailure,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub workspace_id: Uuid,
    pub run_id: RunId,
}

/// What a create would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub saga: String,
    pub version: u32,
    pub slug: String,
    pub steps: Vec<PlannedStep>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    pub name: String,
    pub stage: u32,
    /// `None`: nothing to undo.
    pub undo: Option<String>,
}

/// # Errors
/// [`Error::Invalid`], `NotFound`/`Forbidden` about the account, the conflicts, a reused key, an outage.
pub async fn create(berth: &Berth, caller: &Caller, request: Request, replay: Option<Replay<Accepted>>) -> Result<Reply<Accepted>, Error> {
    let _ = (berth, caller, request, replay);
    unimplemented!()
}

/// Checks permission, quota, slug and region; writes nothing but the audit entry.
///
/// # Errors
/// As [`create`].
pub async fn plan(berth: &Berth, caller: &Caller, request: Request) -> Result<Plan, Error> {
    let _ = (berth, caller, request);
    unimplemented!()
}
