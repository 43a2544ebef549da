//! `GET /v1/regions`: where workspaces can live.

use axum::Json;
use axum::extract::State as Extracted;
use serde::Serialize;
use utoipa::ToSchema;

use crate::State;
use crate::caller::Authenticated;
use crate::query::NoQuery;

/// A residency region.
#[derive(Serialize, ToSchema)]
pub struct Region {
    #[schema(examples("local"))]
    name: String,
    /// The kind of data platform that the region's backend workspaces are made on.
    #[schema(examples("local"))]
    backend: String,
}

/// Regions
///
/// The regions of this installation; a workspace's `region` is one of these names.
#[utoipa::path(get, path = "/v1/regions", operation_id = "listRegions", tag = "Service",
    responses((status = 200, description = "All regions", body = [Region], example = json!([{"name": "local", "backend": "local"}]))))]
pub async fn regions(Extracted(state): Extracted<State>, _: Authenticated, _: NoQuery) -> Json<Vec<Region>> {
    let regions = &state.berth.settings.regions;
    Json(regions.iter().map(|r| Region { name: r.name.clone(), backend: r.backend.clone() }).collect())
}
