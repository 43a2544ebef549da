//! Who the caller is.

use crate::access::{Right, ask};
use crate::model::StoredPrincipal;
use crate::permissions::Consistency;
use crate::{Berth, Caller, Error};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    pub principal: StoredPrincipal,
    /// The user for whom it acts.
    pub on_behalf_of: Option<StoredPrincipal>,
    /// The caller's rights on the platform: of `administer`, `read`.
    pub platform_permissions: Vec<&'static str>,
}

/// # Errors
/// `NotFound` for a principal that is no longer stored, or an outage.
pub async fn me(berth: &Berth, caller: &Caller) -> Result<Me, Error> {
    let principal = berth.principals.get(caller.principal).await?.ok_or(Error::NotFound { what: "principal" })?;
    let on_behalf_of = match caller.on_behalf_of {
        Some(user) => Some(berth.principals.get(user).await?.ok_or(Error::NotFound { what: "principal" })?),
        None => None,
    };
    let rights = [Right::on_platform("administer"), Right::on_platform("read")];
    let held = ask(berth, caller, &Consistency::MinimizeLatency, &rights.each_ref()).await?;
    let platform_permissions = rights.iter().zip(held).filter(|(_, held)| *held).map(|(right, _)| right.permission).collect();
    Ok(Me { principal, on_behalf_of, platform_permissions })
}
