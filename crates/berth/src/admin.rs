//! The admin listener: liveness, readiness with details, and metrics. It is for operators, never for the public network.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use domain::Berth;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// What the admin listener asks.
#[derive(Clone)]
pub struct Admin {
    pub berth: Berth,
    pub engine: Arc<dyn saga::Runs<domain::Change>>,
    pub metrics: PrometheusHandle,
    /// Whether the database's role may change audit entries; `None` where there are no roles.
    pub rewrites_audit: Option<bool>,
    /// Fires when the process drains: it is not ready any more.
    pub draining: CancellationToken,
}

/// Installs the process's metrics recorder; what is measured before is lost.
///
/// # Errors
/// A recorder was installed before.
pub fn recorder() -> Result<PrometheusHandle, Failure> {
    let seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
    PrometheusBuilder::new()
        .set_buckets(&seconds)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|e| Failure::new(format!("metrics cannot be set up: {e}")))
}

pub fn router(admin: Admin) -> Router {
    Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(ready)).route("/metrics", get(metrics)).with_state(admin)
}

/// What can be said of the fleet now, if the database answers.
struct Standing {
    counts: domain::ports::RunCounts,
    unclaimable: Vec<(saga::DefinitionId, u64)>,
    outbox: domain::ports::Backlog,
}

async fn standing(admin: &Admin) -> Result<Standing, saga::StoreError> {
    let known: Vec<_> = admin.berth.sagas.all().map(|saga| saga.definition.id.clone()).collect();
    Ok(Standing {
        counts: admin.berth.runs.counts().await?,
        unclaimable: admin.engine.unclaimable(&known).await?,
        outbox: admin.berth.members.backlog().await?,
    })
}

impl Standing {
    fn oldest_seconds(&self) -> f64 {
        self.counts.oldest_live_at.map_or(0.0, |at| self.counts.now.since(at).as_secs_f64())
    }
}

async fn ready(State(admin): State<Admin>) -> Response {
    let database = standing(&admin).await;
    let permissions = admin.berth.permissions.ready().await;
    let mut details = json!({
        "database": database.as_ref().map_or_else(ToString::to_string, |_| "ok".to_owned()),
        "permissions": permissions.as_ref().map_or_else(ToString::to_string, |()| "ok".to_owned()),
    });
    if let Ok(standing) = &database {
        details["runs"] =
            standing.counts.by_state.iter().map(|(state, n)| (name(*state), json!(n))).collect::<serde_json::Map<_, _>>().into();
        details["oldest_live_run_seconds"] = json!(standing.oldest_seconds());
        details["unclaimable_runs"] = standing
            .unclaimable
            .iter()
            .map(|(id, n)| json!({"saga": id.name, "version": id.version, "digest": id.digest, "runs": n}))
            .collect();
    }
    if let Some(rewrites) = admin.rewrites_audit {
        details["audit_log"] = json!(if rewrites { "the database's role may change and remove entries" } else { "append-only" });
    }
    let draining = admin.draining.is_cancelled();
    details["draining"] = json!(draining);
    let ready = database.is_ok() && permissions.is_ok() && !draining;
    details["ready"] = json!(ready);
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(details)).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match standing(&admin).await {
        Ok(standing) => {
            for state in LIVE {
                let n = standing.counts.by_state.iter().find(|(s, _)| s == state).map_or(0, |(_, n)| *n);
                metrics::gauge!("berth_runs_live", "state" => name(*state)).set(gauge(n));
            }
            metrics::gauge!("berth_runs_oldest_live_seconds").set(standing.oldest_seconds());
            metrics::gauge!("berth_runs_unclaimable").set(gauge(standing.unclaimable.iter().map(|(_, n)| n).sum()));
            metrics::gauge!("berth_membership_changes_undelivered").set(gauge(standing.outbox.undelivered));
            let oldest = standing.outbox.oldest_at.map_or(0.0, |at| standing.outbox.now.since(at).as_secs_f64());
            metrics::gauge!("berth_membership_changes_oldest_seconds").set(oldest);
            metrics::gauge!("berth_database_up").set(1.0);
        }
        Err(error) => {
            tracing::warn!(%error, "the database does not answer the metrics");
            metrics::gauge!("berth_database_up").set(0.0);
        }
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.metrics.render()).into_response()
}

use saga::ports::State as RunState;

/// States of runs that have not ended; each is always exported, so that an alert on `stuck` has something to look at.
const LIVE: &[RunState] = &[RunState::Pending, RunState::Running, RunState::Waiting, RunState::Compensating, RunState::Stuck];

fn name(state: RunState) -> String {
    serde_json::to_value(state).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Counts of runs stay far below 2^32.
fn gauge(n: u64) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

/// Names and helps for what the crates count.
pub fn describe() {
    metrics::describe_gauge!("berth_runs_live", "Provisioning runs that have not ended, by state");
    metrics::describe_gauge!("berth_runs_oldest_live_seconds", "Age of the oldest provisioning run that has not ended");
    metrics::describe_gauge!("berth_runs_unclaimable", "Live runs of a saga version that no live worker knows");
    metrics::describe_gauge!("berth_membership_changes_undelivered", "Changes of roles that the permission system was not told of yet");
    metrics::describe_gauge!("berth_membership_changes_oldest_seconds", "Age of the oldest of these changes");
    metrics::describe_gauge!(
        "berth_permissions_drift",
        "What the last whole comparison found to differ in the permission system, by class"
    );
    metrics::describe_gauge!("berth_permissions_left_alone", "What it left alone because a run or a change of a role was on its way");
    metrics::describe_gauge!("berth_permissions_compared_at_seconds", "When it ended, in seconds since 1970");
    metrics::describe_counter!("berth_permissions_repaired_total", "Differences that comparisons of this process have repaired, by class");
    metrics::describe_gauge!("berth_database_up", "Whether the database answered this scrape");
}
