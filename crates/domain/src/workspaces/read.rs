//! Reads of workspaces and what belongs to them, each under its permission.

use uuid::Uuid;

use crate::audit::Entry;
use crate::model::{Environment, ProvisioningRun, Workspace};
pub use crate::paging::Listed;
use crate::ports::{Page, WorkspaceFilter};
use crate::{Berth, Caller, Error};

/// A workspace with its latest run and what the caller may do with it.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub workspace: Workspace,
    pub run: Option<ProvisioningRun>,
    /// Such as `read`, `audit`, `cancel`, `retry`.
    pub allowed_actions: Vec<&'static str>,
}

/// # Errors
/// `NotFound`, or an outage.
pub async fn get(berth: &Berth, caller: &Caller, id: Uuid) -> Result<View, Error> {
    let _ = (berth, caller, id);
    unimplemented!()
}

/// Workspaces that the caller is a member of.
///
/// # Errors
/// An outage.
pub async fn mine(berth: &Berth, caller: &Caller, filter: &WorkspaceFilter, page: Page) -> Result<Listed<Workspace>, Error> {
    let _ = (berth, caller, filter, page);
    unimplemented!()
}

/// # Errors
/// `NotFound` about the account, or an outage.
pub async fn by_account(
    berth: &Berth,
    caller: &Caller,
    account: Uuid,
    filter: &WorkspaceFilter,
    page: Page,
) -> Result<Listed<Workspace>, Error> {
    let _ = (berth, caller, account, filter, page);
    unimplemented!()
}

/// # Errors
/// `NotFound`, or an outage.
pub async fn environments(berth: &Berth, caller: &Caller, id: Uuid) -> Result<Vec<Environment>, Error> {
    let _ = (berth, caller, id);
    unimplemented!()
}

/// Newest first, entries with `seq` below `before`.
///
/// # Errors
/// `NotFound`, or an outage.
pub async fn audit(berth: &Berth, caller: &Caller, id: Uuid, before: Option<u64>, limit: u32) -> Result<Vec<Entry>, Error> {
    let _ = (berth, caller, id, before, limit);
    unimplemented!()
}

/// Whether the caller may read this workspace: what the reserved pillar paths ask.
///
/// # Errors
/// `NotFound`, or an outage.
pub async fn authorize_read(berth: &Berth, caller: &Caller, id: Uuid) -> Result<(), Error> {
    let _ = (berth, caller, id);
    unimplemented!()
}
