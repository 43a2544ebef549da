//! Reads of the audit log. They are fully consistent: who has lost the right to read it reads it no more.

use uuid::Uuid;

use super::Entry;
use crate::access::{Freshness, Right, ask};
use crate::ids::PLATFORM;
use crate::paging::LIMIT_MAX;
use crate::permissions::Consistency;
use crate::ports::{AuditFilter, AuditOf, AuditPage};
use crate::runs::require_runs_of;
use crate::workspaces::read::require_sight;
use crate::{Berth, Caller, Error};

/// A page, and whether there are more entries behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub entries: Vec<Entry>,
    pub is_more: bool,
}

/// A workspace's entries; needs to see the workspace.
///
/// # Errors
/// `NotFound`, [`Error::Frozen`] where a freeze blocks it and the caller does not administer it, or an outage.
pub async fn of_workspace(berth: &Berth, caller: &Caller, id: Uuid, filter: &AuditFilter, page: AuditPage) -> Result<Found, Error> {
    require_sight(berth, caller, id, Freshness::Full).await?;
    list(berth, AuditOf::Workspace(id), filter, page).await
}

/// An account's chain, those of its workspaces included that are no more; needs `read_workspaces` on the account. One that is
/// not active is read by who sees its runs. The nil uuid is the platform's chain, which its readers read.
///
/// # Errors
/// `NotFound` and `Forbidden` about the account, or an outage.
pub async fn of_account(berth: &Berth, caller: &Caller, id: Uuid, filter: &AuditFilter, page: AuditPage) -> Result<Found, Error> {
    if id == PLATFORM {
        let read = Right::on_platform("read");
        if !ask(berth, caller, &Consistency::FullyConsistent, &[&read]).await?[0] {
            return Err(Error::NotFound { what: "account" });
        }
    } else {
        require_runs_of(berth, caller, id).await?;
    }
    list(berth, AuditOf::Account(id), filter, page).await
}

/// One more than asked for tells whether there are more.
async fn list(berth: &Berth, of: AuditOf, filter: &AuditFilter, page: AuditPage) -> Result<Found, Error> {
    let limit = page.limit.clamp(1, LIMIT_MAX);
    let mut entries = berth.audit.list(of, filter, AuditPage { limit: limit + 1, ..page }).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = entries.len() > wanted;
    entries.truncate(wanted);
    Ok(Found { entries, is_more })
}
