//! Use cases about provisioning runs.

use saga::journal::Verb;
use saga::{RunId, RunState, Time};

use crate::berth::{Replay, Reply};
use crate::model::{ProvisioningRun, RunDetail};
use crate::paging::Listed;
use crate::ports::{Page, RunFilter};
use crate::{Berth, Caller, Error};

/// A run as people see it: its row, and the state folded from its journal with the step names of its definition.
#[derive(Debug, Clone)]
pub struct View {
    pub detail: RunDetail,
    /// `None` where this binary does not know the run's definition: the row is shown, the steps are not.
    pub state: Option<RunState>,
    pub steps: Vec<String>,
    pub now: Time,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// The run that the verb acts on; for `retry` of an ended run the new one.
    pub run_id: RunId,
    pub verb: Verb,
    /// A new run was made.
    pub new_run: bool,
}

/// # Errors
/// `NotFound`, or an outage.
pub async fn get(berth: &Berth, caller: &Caller, id: RunId) -> Result<View, Error> {
    let _ = (berth, caller, id);
    unimplemented!()
}

/// Newest first. Without a filter: of all accounts whose workspaces the caller may read, or all with `platform#read`.
///
/// # Errors
/// `NotFound` about the account or workspace of the filter, or an outage.
pub async fn list(berth: &Berth, caller: &Caller, filter: &RunFilter, page: Page) -> Result<Listed<ProvisioningRun>, Error> {
    let _ = (berth, caller, filter, page);
    unimplemented!()
}

/// `cancel`, `retry`, `skip` or `abandon`.
///
/// # Errors
/// `NotFound`, `Forbidden`, [`Error::Invalid`] (a missing comment or step), [`Error::VerbConflict`], an outage.
pub async fn request(
    berth: &Berth,
    caller: &Caller,
    id: RunId,
    verb: Verb,
    step: Option<String>,
    comment: Option<String>,
    replay: Option<Replay<Requested>>,
) -> Result<Reply<Requested>, Error> {
    let _ = (berth, caller, id, verb, step, comment, replay);
    unimplemented!()
}
