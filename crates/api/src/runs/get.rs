//! `GET /v1/provisioning-runs/{id}`: a run, and a wait for its next change.

use std::time::Duration;

use axum::Json;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse as _, Response};
use domain::runs::View;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use saga::RunId;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Progress, Reason, Run, RunOutcome, RunState, RunWaitingFor, Step, steps};
use crate::State;
use crate::caller::Authenticated;
use crate::path::PathId;
use crate::problem::Problem;
use crate::query::Query;
use crate::timestamp::Timestamp;

const WAIT_MAX_SECONDS: u64 = 60;

/// A run with its steps.
#[derive(Serialize, ToSchema)]
pub struct RunDetail {
    id: Uuid,
    #[schema(examples("create-workspace"))]
    saga: String,
    /// Of the saga: the run is pinned to it.
    version: u32,
    account_id: Uuid,
    /// Null for a run about an account.
    #[schema(required)]
    workspace_id: Option<Uuid>,
    /// The run that this one tries again.
    #[schema(required)]
    retry_of: Option<Uuid>,
    /// The run that tries this one again.
    #[schema(required)]
    retried_by: Option<Uuid>,
    #[schema(inline)]
    state: RunState,
    /// The run has ended; its state changes no more.
    terminal: bool,
    #[schema(required, inline)]
    outcome: Option<RunOutcome>,
    /// Why the run left the forward path, if it did.
    #[schema(required)]
    reason: Option<Reason>,
    /// What a `waiting` run waits for.
    #[schema(required, inline)]
    waiting_for: Option<RunWaitingFor>,
    /// Pauses that hold the run, or steps of it, back.
    #[schema(examples("backend:local"))]
    paused_by: Vec<String>,
    progress: Progress,
    /// When the run turns back by itself; null until it has begun.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    deadline_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// In the order of the definition; empty where the process that answers does not know it.
    steps: Vec<Step>,
    /// Steps whose effects an abandoned run left where they are; a person has to look after them.
    leftovers: Vec<String>,
}

impl From<View> for RunDetail {
    fn from(view: View) -> Self {
        let run = Run::from(view.detail.run);
        Self {
            id: run.id,
            saga: run.saga,
            version: run.version,
            account_id: run.account_id,
            workspace_id: run.workspace_id,
            retry_of: run.retry_of,
            retried_by: run.retried_by,
            state: run.state,
            terminal: run.terminal,
            outcome: run.outcome,
            reason: run.reason,
            waiting_for: run.waiting_for,
            paused_by: run.paused_by,
            progress: run.progress,
            deadline_at: run.deadline_at,
            created_at: run.created_at,
            updated_at: run.updated_at,
            steps: view.state.as_ref().map(|state| steps::of(&view.steps, state)).unwrap_or_default(),
            leftovers: view.state.map(|state| state.leftovers).unwrap_or_default(),
        }
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what `get` takes")]
pub struct Waiting {
    /// With `If-None-Match`: how long to wait for another version, at most `60s`.
    #[param(pattern = "^([0-9]|[1-5][0-9]|60)s$", nullable = false, required = false, example = "30s")]
    wait: Option<String>,
}

fn seconds(text: &str) -> Option<Duration> {
    let digits = text.strip_suffix('s')?;
    let right = (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    right.then(|| digits.parse().ok()).flatten().filter(|n| *n <= WAIT_MAX_SECONDS).map(Duration::from_secs)
}

/// The versions that the client has, as `If-None-Match` lists them.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    values.map(str::trim).any(|v| v == "*" || v.strip_prefix("W/").unwrap_or(v) == tag)
}

/// A provisioning run
///
/// The run with its steps, as its journal tells it. Seen by those who may read its workspace, or its account while that is
/// provisioning or failed. Each version has its own strong `ETag`: with `If-None-Match` an unchanged run is 304, and with `wait`
/// the answer comes when the run changes, or 304 when the time is up.
#[utoipa::path(get, path = "/v1/provisioning-runs/{id}", operation_id = "getProvisioningRun", tag = "Provisioning runs",
    params(("id" = Uuid, Path, description = "The run's id"), Waiting,
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "The `ETag` of the version that the client has", example = json!("\"7\""))),
    responses((status = 200, description = "The run", body = RunDetail, headers(("ETag" = String, description = "The run's version")),
            example = json!({"id": "0197b7a2-52a5-7c3e-b9a4-6f1d2c3b4ae0", "saga": "create-workspace", "version": 1,
                "account_id": "7d0f2f0c-9a63-4c55-8d1b-0d3a5a1c77e0", "workspace_id": "0197b7a2-52a4-7d10-8c2f-3b4a5d6e7fe0", "retry_of": null,
                "retried_by": null, "state": "running", "terminal": false, "outcome": null, "reason": null, "waiting_for": null, "paused_by": [],
                "progress": {"done": 1, "total": 7}, "deadline_at": "2026-11-22T20:00:00.123456Z", "created_at": "2026-11-22T19:30:00.123456Z",
                "updated_at": "2026-11-22T19:30:00.223456Z", "steps": [{"name": "create-environments", "state": "succeeded", "attempts": 1,
                    "started_at": "2026-11-22T19:30:00.133456Z", "ended_at": "2026-11-22T19:30:00.143456Z", "next_attempt_at": null, "error": null,
                    "compensation": null}], "leftovers": []})),
        (status = 304, description = "The client has this version", headers(("ETag" = String, description = "The run's version"))),
        (status = 404, description = "There is no such run, or you may not see it"),
        (status = 423, description = "A freeze blocks it, and you do not administer it")))]
pub async fn get(
    Extracted(state): Extracted<State>,
    Authenticated(caller): Authenticated,
    PathId(id): PathId,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wait = query.parsed("wait", &format!("whole seconds from `0s` to `{WAIT_MAX_SECONDS}s`"), seconds).unwrap_or_default();
    query.finish()?;
    let until = Instant::now() + wait;
    loop {
        // Rights are checked again each time: they may have gone while the request waited.
        let view = domain::runs::get(&state.berth, &caller, RunId(id)).await?;
        let version = view.detail.run.version;
        let tag = format!("\"{version}\"");
        let etag = HeaderValue::from_str(&tag).map(|value| [(header::ETAG, value)]).ok();
        if !has(&headers, &tag) {
            return Ok((etag.into_iter().flatten().collect::<HeaderMap>(), Json(RunDetail::from(view))).into_response());
        }
        let mut watcher = state.watch.watch(RunId(id), version);
        let changed = tokio::select! {
            () = watcher.newer_than(version) => true,
            () = tokio::time::sleep_until(until) => false,
            () = state.draining.cancelled() => false,
        };
        if !changed {
            return Ok((StatusCode::NOT_MODIFIED, etag.into_iter().flatten().collect::<HeaderMap>()).into_response());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_whole_seconds_up_to_sixty() {
        assert_eq!(seconds("0s"), Some(Duration::ZERO));
        assert_eq!(seconds("60s"), Some(Duration::from_mins(1)));
        for bad in ["", "s", "61s", "1", "1m", "-1s", "1.5s", "+1s", "1000000000000000000000s"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn tags_are_compared_weakly_and_a_star_is_any() {
        let with = |value: &'static str| has(&HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(value))]), "\"7\"");
        assert!(with("\"7\"") && with("\"6\", W/\"7\"") && with("*"));
        assert!(!with("\"8\"") && !with("7") && !with(""));
        assert!(!has(&HeaderMap::new(), "\"7\""));
    }
}
