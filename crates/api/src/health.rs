//! `GET /livez` and `GET /readyz`: whether the process lives, and whether it can serve.

use std::time::Duration;

use axum::Json;
use axum::extract::State as Extracted;
use serde::Serialize;
use utoipa::ToSchema;

use crate::State;
use crate::problem::{Code, Problem};
use crate::query::NoQuery;

/// A part that has not answered by then is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// The answer of a probe.
#[derive(Serialize, ToSchema)]
pub struct Health {
    #[schema(examples("ok"))]
    status: &'static str,
}

/// Liveness
///
/// Answers as long as the process does; asks nothing of any other part.
#[utoipa::path(get, path = "/livez", operation_id = "getLiveness", tag = "Service", security(()),
    responses((status = 200, description = "The process lives", body = Health, example = json!({"status": "ok"}))))]
pub async fn livez(_: NoQuery) -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Readiness
///
/// Whether requests can be served: the database and the permission system answer, and the process is not shutting down.
#[utoipa::path(get, path = "/readyz", operation_id = "getReadiness", tag = "Service", security(()),
    responses((status = 200, description = "Ready", body = Health, example = json!({"status": "ok"})),
        (status = 503, description = "A part is away, or the process is shutting down")))]
pub async fn readyz(Extracted(state): Extracted<State>, _: NoQuery) -> Result<Json<Health>, Problem> {
    if state.draining.is_cancelled() {
        return Err(Problem::new(Code::Unavailable, "This process is shutting down; another one will answer.").retry_after(1));
    }
    let parts = async {
        state.berth.health.now().await.map_err(domain::Error::from)?;
        // A schema that is not this version's heals as soon as it is written: to a probe it is no other than an outage.
        state.berth.permissions.ready().await.map_err(|error| {
            tracing::warn!(%error, "the permission system is not ready");
            Problem::away()
        })?;
        Ok(Json(Health { status: "ok" }))
    };
    tokio::time::timeout(PATIENCE, parts).await.unwrap_or_else(|_| Err(Problem::away()))
}
