//! What an account says about what is made for it.

use serde_json::json;
use uuid::Uuid;

use crate::access::{Freshness, Ground};
use crate::audit::Draft;
use crate::{Berth, Caller, Error, accounts};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where a workspace goes that a token was asked for by name.
    pub default_region: Option<String>,
}

/// # Errors
/// `NotFound` about the account, or an outage.
pub async fn get(berth: &Berth, caller: &Caller, account: Uuid) -> Result<Settings, Error> {
    let account = accounts::find(berth, account).await?;
    Ground::account(&account).require_sight(berth, caller, Freshness::Full).await?;
    Ok(Settings { default_region: berth.account_settings.default_region(account.id).await? })
}

/// # Errors
/// `NotFound`/`Forbidden` about the account, [`Error::Invalid`] for a region that there is not, or an outage.
pub async fn set_default_region(berth: &Berth, caller: &Caller, account: Uuid, region: Option<String>) -> Result<Settings, Error> {
    let found = accounts::find(berth, account).await?;
    Ground::account(&found).require_action(berth, caller).await?;
    if let Some(region) = region.as_ref().filter(|region| berth.settings.regions.iter().all(|known| known.name != **region)) {
        let known = berth.settings.regions.iter().map(|r| format!("`{}`", r.name)).collect::<Vec<_>>().join(", ");
        return Err(Error::invalid("/default_region", format!("There is no region `{region}` here; the regions are {known}.")));
    }
    let audit = Draft::of(caller, &*berth.ids, account, None, "account.update")
        .target("account", account)
        .outcome("succeeded")
        .after(json!({ "default_region": region }));
    berth.account_settings.set_default_region(account, region.clone(), audit).await?;
    Ok(Settings { default_region: region })
}
