//! How a use case pins a new run to the newest version of its saga.

use std::collections::HashMap;

use saga::ports::OnFailure;
use saga::{Definition, RunId};
use serde::Serialize;
use uuid::Uuid;

use crate::ports::NewRun;
use crate::{Berth, Caller};

/// What a run is about, but for its input.
pub(crate) struct NewRunOf<'a> {
    pub id: RunId,
    pub saga: &'a str,
    pub account_id: Uuid,
    pub workspace_id: Option<Uuid>,
    pub retry_of: Option<RunId>,
    pub exclusive: bool,
    pub on_failure: OnFailure,
}

impl NewRunOf<'_> {
    pub fn with(self, berth: &Berth, caller: &Caller, input: &impl Serialize) -> NewRun {
        let definition = newest(berth, self.saga);
        NewRun {
            id: self.id,
            definition: definition.id.clone(),
            account_id: self.account_id,
            workspace_id: self.workspace_id,
            retry_of: self.retry_of,
            exclusive: self.exclusive,
            input: serde_json::to_value(input).expect("a run's input has string keys only"),
            on_failure: self.on_failure,
            total: u32::try_from(definition.steps.len()).unwrap_or(u32::MAX),
            created_by: caller.principal,
            trace: trace(caller),
        }
    }
}

/// Which request a run comes from.
pub(crate) fn trace(caller: &Caller) -> HashMap<String, String> {
    let mut trace = HashMap::from([("request_id".to_owned(), caller.request_id.clone())]);
    if let Some(traceparent) = &caller.traceparent {
        trace.insert("traceparent".to_owned(), traceparent.clone());
    }
    trace
}

/// The definition that a new run of `saga` is pinned to.
pub(crate) fn newest<'a>(berth: &'a Berth, saga: &str) -> &'a Definition {
    &berth.sagas.newest(saga).expect("the sagas that use cases start are part of the binary").definition
}
