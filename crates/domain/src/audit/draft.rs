//! How use cases write an entry: from the caller, then what is particular to the action.

use saga::RunId;
use serde_json::Value;
use uuid::Uuid;

use super::{Actor, Draft, Personal, Target};
use crate::Caller;
use crate::ports::Ids;

impl Draft {
    /// An `accepted` entry about what `caller` does. `account` says whose chain it joins (the nil uuid: the platform's).
    #[must_use]
    pub fn of(caller: &Caller, ids: &dyn Ids, account: Uuid, workspace: Option<Uuid>, action: &str) -> Self {
        let personal = |value: Option<String>| value.map(|value| Personal::new(&value, ids.key()));
        let mut draft = Self::by_berth(ids, account, workspace, action);
        draft.actor = Some(Actor { principal: caller.principal, on_behalf_of: caller.on_behalf_of });
        draft.credential_id.clone_from(&caller.credential_id);
        draft.source_ip = personal(caller.source_ip.map(|ip| ip.to_string()));
        draft.user_agent = personal(caller.user_agent.clone());
        draft.request_id = Some(caller.request_id.clone());
        draft.trace_id = caller.traceparent.as_deref().and_then(trace_id).map(str::to_owned);
        draft
    }

    /// An entry about what Berth does by itself, such as ending a run.
    #[must_use]
    pub fn by_berth(ids: &dyn Ids, account: Uuid, workspace: Option<Uuid>, action: &str) -> Self {
        Self::with_id(ids.within(account), account, workspace, action)
    }

    /// As [`Draft::by_berth`], under an id that was made elsewhere.
    #[must_use]
    pub fn with_id(id: Uuid, account: Uuid, workspace: Option<Uuid>, action: &str) -> Self {
        Self {
            id,
            account_id: account,
            workspace_id: workspace,
            actor: None,
            credential_id: None,
            source_ip: None,
            user_agent: None,
            action: action.to_owned(),
            targets: Vec::new(),
            outcome: "accepted".to_owned(),
            problem_type: None,
            request_id: None,
            trace_id: None,
            run_id: None,
            step: None,
            before: None,
            after: None,
            reason: None,
            journal_sha256: None,
        }
    }

    #[must_use]
    pub fn target(mut self, kind: &str, id: Uuid) -> Self {
        self.targets.push(Target { kind: kind.to_owned(), id });
        self
    }

    #[must_use]
    pub fn run(mut self, run: RunId) -> Self {
        self.run_id = Some(run);
        self
    }

    #[must_use]
    pub fn step(mut self, step: Option<String>) -> Self {
        self.step = step;
        self
    }

    #[must_use]
    pub fn outcome(mut self, outcome: &str) -> Self {
        outcome.clone_into(&mut self.outcome);
        self
    }

    #[must_use]
    pub fn before(mut self, before: Value) -> Self {
        self.before = Some(before);
        self
    }

    /// Never a secret, and nothing about a person: this stays when personal values are erased.
    #[must_use]
    pub fn after(mut self, after: Value) -> Self {
        self.after = Some(after);
        self
    }

    /// What the caller gave as the reason.
    #[must_use]
    pub fn reason(mut self, ids: &dyn Ids, reason: Option<&str>) -> Self {
        self.reason = reason.map(|reason| Personal::new(reason, ids.key()));
        self
    }
}

/// The trace id of a W3C `traceparent`: `00-TRACE-SPAN-FLAGS`.
fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1).filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}
