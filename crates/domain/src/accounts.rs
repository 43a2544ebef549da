//! Use cases about accounts.

use saga::RunId;
use uuid::Uuid;

use crate::berth::{Replay, Reply};
use crate::model::Account;
use crate::paging::Listed;
use crate::ports::Page;
use crate::{Berth, Caller, Error};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub account_id: Uuid,
    pub run_id: RunId,
}

/// # Errors
/// [`Error::Invalid`], `Forbidden` on the platform, a reused key, an outage.
pub async fn create(berth: &Berth, caller: &Caller, name: String, replay: Option<Replay<Accepted>>) -> Result<Reply<Accepted>, Error> {
    let _ = (berth, caller, name, replay);
    unimplemented!()
}

/// # Errors
/// `NotFound`, or an outage.
pub async fn get(berth: &Berth, caller: &Caller, id: Uuid) -> Result<Account, Error> {
    let _ = (berth, caller, id);
    unimplemented!()
}

/// Those the caller created or is a member of; all of them with `platform#read`.
///
/// # Errors
/// An outage.
pub async fn list(berth: &Berth, caller: &Caller, page: Page) -> Result<Listed<Account>, Error> {
    let _ = (berth, caller, page);
    unimplemented!()
}
