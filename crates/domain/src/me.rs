//! Who the caller is.

use crate::model::StoredPrincipal;
use crate::{Berth, Caller, Error};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    pub principal: StoredPrincipal,
    /// The caller's rights on the platform: of `administer`, `read`.
    pub platform_permissions: Vec<&'static str>,
}

/// # Errors
/// An outage.
pub async fn me(berth: &Berth, caller: &Caller) -> Result<Me, Error> {
    let _ = (berth, caller);
    unimplemented!()
}
